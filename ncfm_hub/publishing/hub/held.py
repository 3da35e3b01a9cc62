"""Identify the distilled dataset or extractor pool in a folder or repository, to tell two of them apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ncfm_hub.publishing.cards.escaping import plain
from ncfm_hub.publishing.cards.merging import Card
from ncfm_hub.publishing.dataset.layout import config_of
from ncfm_hub.utils.counting import counted

_NAMES_SHOWN = 5
_CHANGES_SHOWN = 4


@dataclass(frozen=True)
class Held:
    """What a folder or repository holds; None for unknown properties.

    dataset: the source, a Hub id or a name
    on_hub: whether `dataset` is a Hub id
    fingerprint: of the source's images
    ipc: of a distilled dataset
    imported: SHA-256 of the imported file
    added_to: the smaller dataset that classes were appended to
    settings: settings it was made with, by dotted key
    """

    dataset: str | None
    on_hub: bool
    fingerprint: str | None
    class_names: tuple[str, ...]
    ipc: int | None = None
    imported: str | None = None
    added_to: str | None = None
    settings: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        names = ", ".join(self.class_names[:_NAMES_SHOWN]) + (", ..." if len(self.class_names) > _NAMES_SHOWN else "")
        said = [
            self.dataset or "of an unknown source",
            *([f"ipc {self.ipc}"] if self.ipc is not None else []),
            *(["imported"] if self.imported else []),
            f"{counted(len(self.class_names), 'class')}: {names}",
        ]
        return plain(", ".join(said))

    def is_replaced_by(self, other: "Held", repo_id: str) -> bool:
        """Return whether `other`, pushed to this repository `repo_id`, is a new version of the same dataset or pool.

        That is, of the same source and IPC, possibly with another seed or recipe, or with classes appended.
        """
        if (self.ipc, self.imported) != (other.ipc, other.imported):
            return False
        if self.fingerprint and self.fingerprint == other.fingerprint:
            return True
        if self.grew_into(other, repo_id):
            return True
        grown = other.added_to is not None and set(self.class_names) <= set(other.class_names)
        unknown = self.fingerprint is None and self.dataset is None  # only the card is left
        same_source = unknown or (self.on_hub and other.on_hub and self.dataset == other.dataset)
        return same_source and (grown or self.class_names == other.class_names)

    def grew_into(self, other: "Held", repo_id: str) -> bool:
        """Return whether `other` was made by appending classes to what the repository `repo_id` holds."""
        return other.added_to == repo_id and set(self.class_names) <= set(other.class_names)

    def shares_source(self, other: "Held") -> bool:
        """Return whether both are of one source, at any revision, or it is unknown."""
        if self.dataset is None or other.dataset is None or (self.fingerprint or "") == other.fingerprint:
            return True
        return (self.dataset, self.on_hub) == (other.dataset, other.on_hub)

    def changes(self, other: "Held") -> str:
        """Describe how `other` was made differently; empty if no difference is known."""
        here, there = self.settings or {}, other.settings or {}
        keys = [key for key in here if key in there and here[key] != there[key]]
        said = [f"{key} {here[key]} -> {there[key]}" for key in keys[:_CHANGES_SHOWN]]
        return plain(", ".join(said + ["..."] * (len(keys) > _CHANGES_SHOWN)))


def held_set(described: Mapping[str, Any]) -> Held | None:
    """Return the dataset described by a pipeline.yaml; None if undetermined."""
    try:
        source, recipe = described["source"], described["recipe"]
        imported, ipc = described.get("imported"), described["ipc"]
        made = {"seed": described.get("seed"), "source.revision": source.get("revision")}
        for part in ("pool", "distillation"):
            made |= {f"{part}.{key}": value for key, value in recipe.get(part, {}).items()}
        return Held(
            dataset=_text(source.get("dataset")),
            on_hub=not source["is_local"],
            fingerprint=_text(source.get("fingerprint")),
            class_names=_names(source["class_names"]),
            ipc=int(ipc),
            imported=_text(imported["sha256"]) if imported else None,
            added_to=_repository(described.get("added_to")),
            settings=_plain(made),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def held_pool(described: Mapping[str, Any]) -> Held | None:
    """Return the pool described by a pool.json; None if undetermined."""
    try:
        source = described.get("source") or {}
        return Held(
            dataset=_text(source.get("dataset")),
            on_hub=not source.get("is_local", True),
            fingerprint=_text(source.get("fingerprint")),
            class_names=_names(described["class_names"]),
            settings=_plain(described.get("recipe") or {}),
        )
    except (KeyError, TypeError, AttributeError):
        return None


def held_by_card(card: Card, name: str | None) -> Held | None:
    """Return the dataset `name` described by one of our cards, for when nothing else is readable, else None.

    name: None for the only one of the former layout
    """
    try:
        config = config_of(name, "stored") if name else "stored"
        info = next(info for info in card.header["dataset_info"] if info["config_name"] == config)
        names = next(part["dtype"]["class_label"]["names"] for part in info["features"] if part["name"] == "label")
        classes, rows = _names(list(names.values())), info["splits"][0]["num_examples"]
        source = _text((card.header.get("source_datasets") or [None])[0])
        return Held(source, source is not None, None, classes, ipc=int(rows) // len(classes))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, StopIteration, ZeroDivisionError):
        return None


# This may be third-party content, and a few lines of YAML can expand to lists that fill the memory: only plain
# values are accepted.
def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _names(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("class names are a list of text")
    return tuple(values)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value is None or isinstance(value, str | int | float)}


def _repository(added_to: Any) -> str | None:
    """Strip the commit from a repository's id."""
    return added_to.partition("@")[0] if isinstance(added_to, str) else None
