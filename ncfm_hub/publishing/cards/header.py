"""The YAML header of a card: metadata for the Hub, and features for `datasets`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ncfm_hub.publishing.cards.card_set import CardSet
from ncfm_hub.publishing.cards.escaping import web_address
from ncfm_hub.publishing.dataset.layout import (
    CONFIGS,
    FORMER_DIRECTORIES,
    SHARD_PATTERN,
    Config,
    config_of,
    data_path,
)

TAGS = ("dataset-distillation", "dataset-condensation", "synthetic")
TAGS_OF_NCFM = ("ncfm", "arxiv:2502.20653")

# Identifiers known to the Hub; any other licence is `other` with a name.
_LICENSES = (
    "apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 "
    "bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 "
    "cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 "
    "cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 "
    "cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 "
    "gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl "
    "apple-amlr mpl-2.0 odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl "
    "lgpl-lr deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 "
    "llama4 grok2-community gemma unknown other "
)
LICENSES = frozenset(_LICENSES.split())
LICENSE_KEYS = ("license", "license_name", "license_link")  # as stated by a source and passed to `license_fields`


def license_fields(stated: str | None, name: str | None = None, link: str | None = None) -> dict[str, str]:
    """Return `license`, and for a licence without a Hub id its `license_name` and `license_link`, if any.

    name, link: as stated by the source; `stated` is the name if it is not an id and there is no other
    """
    known = (stated or "").strip().lower()
    if known in LICENSES - {"other"}:
        return {"license": known}
    fields = {
        "license_name": _license_id(name or ("" if known == "other" else known)),
        "license_link": web_address(link),
    }
    given = {key: value for key, value in fields.items() if value}
    return {"license": "other" if given or known == "other" else "unknown", **given}


def _license_id(name: str) -> str:
    """Return a licence's name in the characters that the Hub accepts."""
    return re.sub(r"[^a-z0-9.]+", "-", str(name).lower())[:60].strip("-.")


def size_category(rows: int) -> str:
    """Return the Hub's size category for a number of rows."""
    bounds = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for bound, name in bounds if rows < bound), "1M<n<10M")


def dataset_header(title: str, sets: Sequence[CardSet], default: str) -> dict[str, Any]:
    """Return the header of a card.

    default: the distilled dataset that is loaded where none is named
    """
    sources = [one.pipeline["source"] for one in sets]
    terms = [license_fields(*(source.get(key) for key in LICENSE_KEYS)) for source in sources]
    named = dict.fromkeys(source["dataset"] for source in sources if not source.get("is_local", True))
    sizes = dict.fromkeys(size_category(one.rows["default"]) for one in sorted(sets, key=lambda one: one.images))
    ours = any("imported" not in one.pipeline for one in sets)
    parts = [(one, config) for one in sets for config in CONFIGS]
    return {
        "pretty_name": title,
        **(terms[0] if all(term == terms[0] for term in terms) else {"license": "other"}),
        "task_categories": ["image-classification"],
        "size_categories": list(sizes),
        **({"source_datasets": list(named)} if named else {}),
        "library_name": "datasets",
        "tags": [*TAGS, *(TAGS_OF_NCFM if ours else ())],
        "configs": [_config(one.name, config, default) for one, config in parts],
        "dataset_info": [_info(one, config) for one, config in parts],
    }


def generated_configs(header: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the configs in a header that a card of ncfm-hub lists, with the distilled dataset that each is of.

    Those of the former layout, `default` and `stored`, are of None.
    """
    found: dict[str, str | None] = {}
    for entry in _entries(header):
        name = entry.get("config_name")
        if not isinstance(name, str):
            continue
        for config in CONFIGS:
            of = name.removesuffix(config_of("", config))
            if _path(entry) == data_path(of, config) and config_of(of, config) == name:
                found[name] = of
            elif name == config and _path(entry) == f"{FORMER_DIRECTORIES[config]}/{SHARD_PATTERN}":
                found[name] = None
    return found


def default_of(header: Mapping[str, Any]) -> str | None:
    """Return the distilled dataset that a card marks as default; None if it marks none."""
    ours = generated_configs(header)
    marked = [entry["config_name"] for entry in _entries(header) if entry.get("default") and _is_in(entry, ours)]
    return ours[marked[0]] if marked else None


def _entries(header: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = header.get("configs")
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def _is_in(entry: Mapping[str, Any], names: Mapping[str, Any]) -> bool:
    return isinstance(entry.get("config_name"), str) and entry["config_name"] in names


def _path(entry: Mapping[str, Any]) -> str | None:
    files = entry.get("data_files")
    only = files[0] if isinstance(files, list) and len(files) == 1 else None
    path = only.get("path") if isinstance(only, dict) else None
    return path if isinstance(path, str) else None


def _config(name: str, config: Config, default: str) -> dict[str, Any]:
    marked = {"default": True} if config == "default" and name == default else {}
    return {
        "config_name": config_of(name, config),
        "data_files": [{"split": "train", "path": data_path(name, config)}],
        **marked,
    }


def _info(one: CardSet, config: Config) -> dict[str, Any]:
    class_names = one.class_names
    names = {str(number): name for number, name in enumerate(class_names)}
    features: list[dict[str, Any]] = [
        {"name": "image", "dtype": "image"},
        {"name": "label", "dtype": {"class_label": {"names": names}}},
    ]
    if config == "default":
        features.append({"name": "soft_label", "list": "float32", "length": len(class_names)})
        features += [{"name": "stored_index", "dtype": "int32"}, {"name": "tile", "dtype": "int8"}]
    else:
        features.append({"name": "index", "dtype": "int32"})
    info: dict[str, Any] = {"config_name": config_of(one.name, config), "features": features}
    if one.sizes:
        in_memory, on_disk = one.sizes[config]
        info["splits"] = [{"name": "train", "num_bytes": in_memory, "num_examples": one.rows[config]}]
        info |= {"download_size": on_disk, "dataset_size": in_memory}
    return info
