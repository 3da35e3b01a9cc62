"""Resolve what a user names (`cifar10`, a file, a Hub id, a folder) to one recipe.

Configuration precedence (later entries win): `pipelines/defaults.yaml`, its preset, the pipeline's file, its preset,
the user's defaults (the file that `NCFM_HUB_CONFIG` names), their preset, the command line.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

from ncfm_hub.errors import PipelineError
from ncfm_hub.recipes.builtin import DEFAULTS, pipeline_names
from ncfm_hub.recipes.files import SECTIONS, check_value, expected, nearest, parse_yaml, read_file
from ncfm_hub.recipes.schema import Recipe
from ncfm_hub.utils.named import Named, path_of, text_of
from ncfm_hub.utils.resources import data_folder
from ncfm_hub.utils.slugs import slug

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# Alternatives for one setting: a layer that sets one of them clears the other from earlier layers.
_ALTERNATIVES = {"evaluation": ("updates", "epochs")}


@dataclass(frozen=True)
class ResolvedPipeline:
    """A recipe and where it came from.

    name: the pipeline's name, or one derived from the file, Hub id or folder; valid as a repository name
    described_by: the files (and "command line") that contributed, first to last
    """

    name: str
    preset: str
    recipe: Recipe
    described_by: tuple[str, ...]


def pipeline_path(name: str) -> Path:
    """Return the file of a built-in pipeline. Raises PipelineError with the nearest name if there is none."""
    names = pipeline_names()
    if name not in names:
        raise PipelineError(f"unknown pipeline {name!r}{nearest(name, names, 'pipelines')}")
    return data_folder("pipelines") / f"{name}.yaml"


def pipeline_description(name: str) -> str:
    """Return the one-line description in a built-in pipeline's file; empty if it has none."""
    return str(read_file(pipeline_path(name)).get("description", ""))


def parse_assignment(text: str) -> tuple[str, Any]:
    """Parse `distillation.steps=100`, as given to `--set`, to (dotted key, YAML value).

    Raises PipelineError without `=`.
    """
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise PipelineError(f"--set {text!r}: expected section.key=value, for example distillation.steps=100")
    return key.strip(), parse_yaml(value, f"--set {key.strip()}")


def load_pipeline(
    dataset: Named,
    *,
    preset: str | None = None,
    device: str = "cpu",
    user_file: Named | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> ResolvedPipeline:
    """Resolve a pipeline, Hub id, folder or file to a validated recipe.

    dataset: the first that matches: name of a built-in pipeline, path ending in .yaml, existing folder, Hub id. A Path
        is always a file or folder
    preset: "paper", "gpu" or "cpu"; default: "gpu" on a CUDA GPU, else "cpu"
    device: device type that the default preset depends on, unless files or overrides name another
    user_file: the user's defaults; default: the file that `NCFM_HUB_CONFIG` names, if set
    overrides: settings by dotted key, for example {"distillation.steps": 100}
    Raises PipelineError naming file and key, what was found and what was expected.
    """
    dataset, user_file = text_of(dataset), path_of(user_file)
    name, own = _find(dataset)
    files = [data_folder("pipelines") / f"{DEFAULTS}.yaml"]
    if own is not None:
        files.append(own)
    if user_file is None and os.environ.get("NCFM_HUB_CONFIG"):
        user_file = Path(os.environ["NCFM_HUB_CONFIG"]).expanduser()
    contents = [(str(path), read_file(path)) for path in files]
    if user_file is not None:
        contents.append((str(user_file), read_file(user_file)))
    if own is None:
        contents.append((f"--dataset {dataset}", {"source": {"dataset": dataset}}))
    chosen = _choose_preset(contents, preset, _device(contents, overrides) or device)
    layers = [layer for where, content in contents for layer in _layers(where, content, chosen)]
    if overrides:
        layers.append(("command line", _nest(overrides)))
    recipe = _recipe(_merge(layers), name, chosen)
    return ResolvedPipeline(name, chosen, recipe, tuple(dict.fromkeys(where for where, _ in layers)))


def change_evaluation(recipe: Recipe, preset: str | None, overrides: Mapping[str, Any] | None) -> Recipe:
    """Return a recipe with other evaluation settings: those of a preset, if named, then single settings.

    overrides: dotted keys of the sections `evaluation` and `engine`; raises PipelineError for any other
    """
    changes = _nest(overrides or {})
    refused = sorted(set(changes) - {"evaluation", "engine"})
    if refused:
        raise PipelineError(f"section `{refused[0]}` is fixed in a finished dataset; expected `evaluation` or `engine`")
    layers = [("recipe", recipe.model_dump())]
    if preset is not None:
        layers.append(("preset", {"evaluation": preset_section("evaluation", preset)}))
    merged = _merge([*layers, ("command line", changes)])
    return _recipe(merged, "recipe", preset or "as it was made")


def change_recipe(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """Return a recipe with single settings changed. Raises PipelineError for an unknown key."""
    return _recipe(_merge([("recipe", recipe.model_dump()), ("command line", _nest(overrides))]), "recipe", "its own")


def preset_section(section: str, preset: str) -> dict[str, Any]:
    """Return a section of the built-in defaults with a preset applied. Raises PipelineError for an unknown preset."""
    path = data_folder("pipelines") / f"{DEFAULTS}.yaml"
    content = read_file(path)
    chosen = _choose_preset([(str(path), content)], preset, "cpu")
    return _merge(list(_layers(str(path), content, chosen)))[section]


def _find(dataset: str) -> tuple[str, Path | None]:
    """Return (name, pipeline file); the file is None for a Hub id or folder."""
    if dataset in pipeline_names():
        return dataset, pipeline_path(dataset)
    if dataset.endswith((".yaml", ".yml")):
        path = Path(dataset).expanduser()
        return slug(path.stem).lower(), path
    if Path(dataset).expanduser().is_dir():
        return slug(Path(dataset).expanduser().resolve().name).lower(), None
    if _HUB_ID.fullmatch(dataset):
        return slug(dataset.split("/")[1]).lower(), None
    if _looks_like_path(dataset):
        raise PipelineError(_no_folder(Path(dataset).expanduser(), dataset))
    close = nearest(dataset, pipeline_names(), "pipelines")
    raise PipelineError(f"{dataset!r} is no pipeline, .yaml file, folder or Hub id (owner/name){close}")


def _looks_like_path(dataset: str) -> bool:
    return dataset.startswith((".", "~", "/")) or dataset.endswith("/") or dataset.count("/") > 1 or "\\" in dataset


def _no_folder(path: Path, dataset: str) -> str:
    expected = "expected a folder with parquet, or images as train/CLASS/IMAGE and test/CLASS/IMAGE"
    if path.is_file():
        return f"{dataset} is a file; {expected}"
    beside = [one.name for one in path.parent.iterdir() if one.is_dir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, beside, 1)
    hint = f"; did you mean {path.parent / close[0]}?" if close else f"; {expected}"
    return f"there is no folder {dataset}{hint}"


def _choose_preset(contents: list[tuple[str, dict[str, Any]]], preset: str | None, device: str) -> str:
    known = list(contents[0][1]["presets"])
    for where, content in contents[1:]:
        for name in content.get("presets", {}):
            if name not in known:
                raise PipelineError(f"{where}: unknown preset `presets.{name}`{nearest(name, known, 'presets')}")
    chosen = preset or ("gpu" if device.startswith("cuda") else "cpu")
    if chosen not in known:
        raise PipelineError(f"unknown preset {chosen!r}{nearest(chosen, known, 'presets')}")
    return chosen


def _device(contents: list[tuple[str, dict[str, Any]]], overrides: Mapping[str, Any] | None) -> str | None:
    """Return the device that the last layer to name one asks for; None for none, or auto."""
    named = [content.get("engine", {}).get("device") for _, content in contents]
    asked = [value for value in (*named, (overrides or {}).get("engine.device")) if value is not None]
    return str(asked[-1]) if asked and asked[-1] != "auto" else None


def _layers(where: str, content: dict[str, Any], preset: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield where, {key: value for key, value in content.items() if key in SECTIONS}
    yield where, content.get("presets", {}).get(preset, {})


def _nest(overrides: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for dotted, value in overrides.items():
        section, _, key = dotted.partition(".")
        if section not in SECTIONS:
            raise PipelineError(f"--set {dotted}: unknown section{nearest(section, SECTIONS, 'sections')}")
        keys = SECTIONS[section].model_fields
        if key not in keys:
            raise PipelineError(f"--set {dotted}: unknown key{nearest(key, keys, f'valid keys of {section}')}")
        value = _plain(value)
        check_value(f"--set {dotted}", section, key, value)
        nested.setdefault(section, {})[key] = value
    return nested


def _plain(value: Any) -> Any:
    """A value as a file could give it: a tuple is a list, and a Path is text."""
    if isinstance(value, os.PathLike):
        return text_of(value)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)  # numpy's
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value


def _merge(layers: list[tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for where, layer in layers:
        for section, values in layer.items():
            given = [key for key in _ALTERNATIVES.get(section, ()) if values.get(key) is not None]
            if len(given) > 1:
                raise PipelineError(f"{where}: give `{section}.{given[0]}` or `{section}.{given[1]}`, not both")
            if given:
                merged[section].update(dict.fromkeys(_ALTERNATIVES[section]))
            merged[section].update(values)
    return merged


def _recipe(merged: dict[str, dict[str, Any]], name: str, preset: str) -> Recipe:
    for section, model in SECTIONS.items():
        for key, field in model.model_fields.items():
            if field.is_required() and key not in merged[section]:
                raise PipelineError(
                    f"pipeline {name!r}, preset {preset!r}: `{section}.{key}` is missing; "
                    f"expected {expected(field.annotation)}"
                )
    for section, keys in _ALTERNATIVES.items():
        if all(merged[section].get(key) is None for key in keys):
            raise PipelineError(f"pipeline {name!r}: give `{section}.{keys[0]}` or `{section}.{keys[1]}`")
    return Recipe.model_validate(merged)


def resolve(dataset: Named, preset: str | None, overrides: Mapping[str, Any] | None) -> ResolvedPipeline:
    """Resolve `dataset` for this machine's device."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_pipeline(dataset, preset=preset, device=device, overrides=overrides)
