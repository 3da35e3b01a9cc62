"""The YAML header of a card: metadata for the Hub, and features for `datasets`."""

import re
from collections.abc import Mapping
from typing import Any

from ncfm_hub.publishing.cards.escaping import web_address
from ncfm_hub.publishing.dataset.layout import CONFIGS, SHARD_PATTERN, Config

TAGS = ("dataset-distillation", "dataset-condensation", "ncfm", "synthetic")

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


def dataset_header(
    *,
    title: str,
    class_names: list[str],
    rows: Mapping[Config, int],
    sizes: Mapping[Config, tuple[int, int]] | None,
    source: str | None,
    license_terms: Mapping[str, str],
) -> dict[str, Any]:
    """Return the header of a distilled dataset.

    rows: images in each config
    sizes: (bytes in memory, bytes on disk) of each config, None before files exist
    source: Hub id of the source, None for a local folder
    license_terms: arguments of `license_fields`
    """
    return {
        "pretty_name": title,
        **license_terms,
        "task_categories": ["image-classification"],
        "size_categories": [size_category(rows["default"])],
        **({"source_datasets": [source]} if source else {}),
        "tags": list(TAGS),
        "configs": [
            {"config_name": config, "data_files": [{"split": "train", "path": f"{config}/{SHARD_PATTERN}"}]}
            for config in CONFIGS
        ],
        "dataset_info": [
            _info(config, class_names, rows[config], sizes[config] if sizes else None) for config in CONFIGS
        ],
    }


def _info(config: Config, class_names: list[str], rows: int, size: tuple[int, int] | None) -> dict[str, Any]:
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
    info: dict[str, Any] = {"config_name": config, "features": features}
    if size:
        in_memory, on_disk = size
        info["splits"] = [{"name": "train", "num_bytes": in_memory, "num_examples": rows}]
        info |= {"download_size": on_disk, "dataset_size": in_memory}
    return info
