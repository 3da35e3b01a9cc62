"""Compare the settings and the accuracies of two distilled datasets."""

from collections.abc import Mapping
from typing import Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.layout import PIPELINE, RESULTS

_SOURCE = ("dataset", "config", "revision", "fingerprint", "train_split", "test_split", "resolution", "channels")
_POOL = ("key", "digest", "architecture", "members", "pretrained")


def compare_recipes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the settings that differ between two pipeline.yaml, by dotted key; None for one that is not there."""
    one, other = _settings(a), _settings(b)
    keys = dict.fromkeys([*one, *other])
    return [{"key": key, "a": one.get(key), "b": other.get(key)} for key in keys if one.get(key) != other.get(key)]


def _settings(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings; what the source and the pool were found to be stands beside what was asked for."""
    try:
        found = {f"{section}.{key}": x for section, values in described["recipe"].items() for key, x in values.items()}
        found |= {f"distillation.{key}": described.get(key) for key in ("ipc", "seed")}
        for section, keys in (("source", _SOURCE), ("pool", _POOL)):
            recorded = described.get(section) or {}
            found |= {f"{section}.{key}": recorded[key] for key in keys if key in recorded}
        found |= {f"imported.{key}": value for key, value in (described.get("imported") or {}).items()}
        return {"preset": described.get("preset"), **found}
    except (KeyError, TypeError, AttributeError) as error:
        raise DistilledError(f"{PIPELINE} is not as documented: {type(error).__name__} {error}") from error


def compare_accuracies(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Return the accuracies of rows in both results.json, with B minus A and its standard error.

    The standard error is that of a difference of two means over independent students; None for single students.
    """
    try:
        rows = [{(row["set"], row["labels"]): row["accuracy"] for row in it.get("rows") or []} for it in (a, b)]
        protocols = [it.get("protocol") or {} for it in (a, b)]
        keys = dict.fromkeys([*protocols[0], *protocols[1]])
        return {
            "rows": [
                {"set": key[0], "labels": key[1], **compare_figures(rows[0][key], rows[1][key])}
                for key in rows[0]
                if key in rows[1]
            ],
            "protocol_differs": [key for key in keys if protocols[0].get(key) != protocols[1].get(key)],
        }
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise DistilledError(f"{RESULTS} is not as documented: {type(error).__name__} {error}") from error


def compare_figures(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return two means, the second minus the first, and the standard error of that; None for single students."""
    spread = None
    if one["std"] is not None and other["std"] is not None:
        spread = (one["std"] ** 2 / one["n"] + other["std"] ** 2 / other["n"]) ** 0.5
    return {
        "a": one["mean"],
        "b": other["mean"],
        "difference": round(other["mean"] - one["mean"], 2),
        "standard_error": None if spread is None else round(spread, 3),
    }
