"""Find the image column and the label column by their types."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import SourceError
from ncfm_hub.recipes.files import nearest

if TYPE_CHECKING:
    from datasets import Features

_LABEL_NAMES = frozenset({"label", "labels", "class", "target", "category", "y"})
_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_FLOATS = frozenset({"float16", "float32", "float64"})
_STRINGS = frozenset({"string", "large_string"})


def list_columns(features: "Features") -> str:
    """List all columns with their types, for example `img: Image, label: ClassLabel of 10`."""
    return ", ".join(f"{name}: {_kind(feature)}" for name, feature in features.items()) or "none"


def image_column(
    features: "Features", wanted: str | None, dataset: str, remedy: str = "choose one with --image-column"
) -> str:
    """Return the image column: `wanted` if given, else the only one of type Image.

    Raises SourceError, ending in `remedy`, if there is none or several.
    """
    from datasets import Image

    if wanted is not None:
        _must_exist(features, wanted, dataset, "--image-column")
        if not isinstance(features[wanted], Image) and not _holds_bytes(features[wanted]):
            raise SourceError(
                f"{dataset}: --image-column {wanted} is not an image column; columns: {list_columns(features)}"
            )
        return wanted
    return _only(
        [name for name, feature in features.items() if isinstance(feature, Image)],
        features,
        dataset,
        ("image", remedy),
    )


def label_column(
    features: "Features", wanted: str | None, dataset: str, remedy: str = "choose one with --label-column"
) -> str:
    """Return the label column: `wanted` if given, else the only one of the first type that occurs.

    Types are tried in this order: ClassLabel, text or integer, bool. Among several columns, one with a usual name
        (`label`,
    `class`, `target` ...) is taken if it is the only one, even if it holds floats: integers become floats where a value
    is missing. Raises SourceError as `image_column` does.
    """
    if wanted is not None:
        _must_exist(features, wanted, dataset, "--label-column")
        _refuse_several(features, [wanted], dataset)
        if _label_kind(features[wanted]) is None:
            raise SourceError(
                f"{dataset}: --label-column {wanted} cannot be a label column (expected ClassLabel, integers or text); "
                f"columns: {list_columns(features)}"
            )
        return wanted
    # WebDataset adds the columns `__key__` and `__url__`, which are never labels.
    kinds = {name: _label_kind(feature) for name, feature in features.items() if not name.startswith("__")}
    classes = [name for name, kind in kinds.items() if kind == "class"]
    usual = [name for name in classes or kinds if kinds[name] and name.lower() in _LABEL_NAMES]
    plain = [name for name, kind in kinds.items() if kind in ("integer", "text")]
    candidates = classes or plain or [name for name, kind in kinds.items() if kind == "bool"]
    if len(usual) != 1:
        named = [name for name in features if name.lower() in _LABEL_NAMES]
        _refuse_several(features, named if candidates else list(features), dataset)
    return _only(usual if len(usual) == 1 else candidates, features, dataset, ("label", remedy))


def _refuse_several(features: "Features", names: Sequence[str], dataset: str) -> None:
    for name in names:
        inner = getattr(features[name], "feature", None)
        if inner is not None and _label_kind(inner) not in (None, "float"):
            raise SourceError(
                f"{dataset}: column {name!r} holds lists; multi-label images are not supported; "
                f"choose another with --label-column; columns: {list_columns(features)}"
            )


def _only(candidates: list[str], features: "Features", dataset: str, role: tuple[str, str]) -> str:
    what, remedy = role
    if len(candidates) == 1:
        return candidates[0]
    count = "no column that could hold the" if not candidates else "several columns that could hold the"
    raise SourceError(f"{dataset} has {count} {what}; {remedy}; columns: {list_columns(features)}")


def _must_exist(features: "Features", name: str, dataset: str, flag: str) -> None:
    if name not in features:
        close = nearest(name, list(features), "columns")
        raise SourceError(f"{dataset}: {flag} {name}: no such column{close}; columns: {list_columns(features)}")


def _label_kind(feature: Any) -> str | None:
    from datasets import ClassLabel, Value

    if isinstance(feature, ClassLabel):
        return "class"
    if isinstance(feature, Value) and feature.dtype in _INTEGERS:
        return "integer"
    if isinstance(feature, Value) and feature.dtype in _STRINGS:
        return "text"
    if isinstance(feature, Value) and feature.dtype in _FLOATS:
        return "float"
    return "bool" if isinstance(feature, Value) and feature.dtype == "bool" else None


def _holds_bytes(feature: Any) -> bool:
    """Return whether a column holds encoded images without being of type Image: binary, or Image's storage struct."""
    from datasets import Value

    if isinstance(feature, dict):
        return isinstance(feature.get("bytes"), Value) and "binary" in feature["bytes"].dtype
    return isinstance(feature, Value) and feature.dtype in ("binary", "large_binary")


def _kind(feature: Any) -> str:
    from datasets import ClassLabel, Value

    if isinstance(feature, ClassLabel):
        return f"ClassLabel of {feature.num_classes}"
    if isinstance(feature, Value):
        return str(feature.dtype)
    return "struct" if isinstance(feature, dict) else type(feature).__name__
