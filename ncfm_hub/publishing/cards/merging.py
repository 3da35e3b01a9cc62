"""Merge cards. A card has three parts: YAML header, a generated block between two markers, and the user's own text.

The markers contain digests of what was generated, so that a person's changes are recognised and kept.

Not by `huggingface_hub.RepoCard`, which loses what a person wrote: it drops empty fields and folds long lines. It also
keeps fields as attributes, so a field named `to_yaml`, or `1`, ends in a TypeError, and it follows aliases.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.cards.header import LICENSE_KEYS, generated_configs
from ncfm_hub.utils.mappings import UNFIT_SCALAR, load_yaml

_HEADER = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(?:(.*?)\r?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_BLOCK = re.compile(r"<!-- ncfm-hub:begin ([^>]*?)-->\n?(.*?)\n?<!-- ncfm-hub:end -->", re.DOTALL)
_ADVICE = "; what stands between these marks is rewritten, so write above or below them"
_BY_CONFIG = ("configs", "dataset_info")  # lists with one entry per config: generated ones are replaced, others kept
_EDITED = "<details>\n<summary>Earlier text of this card, edited by hand</summary>\n\n{}\n\n</details>"


@dataclass(frozen=True)
class Card:
    """A parsed card.

    header: YAML fields in order
    block: the generated text
    before, after: the user's text
    marks: digests of what was generated
    """

    header: dict[str, Any]
    block: str
    before: str = ""
    after: str = ""
    marks: Mapping[str, str] | None = None

    def text(self) -> str:
        """Return the complete README."""
        marks = " ".join(f"{key}={value}" for key, value in (self.marks or {}).items())
        block = f"<!-- ncfm-hub:begin {marks}{_ADVICE} -->\n{self.block}\n<!-- ncfm-hub:end -->" if self.block else ""
        parts = (part.strip("\n") for part in (self.before, block, self.after))
        return f"---\n{_dump(self.header)}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"

    @property
    def edited_text(self) -> bool:
        """Whether a person changed the generated text."""
        return bool(self.block) and _text_digest(self.block) != (self.marks or {}).get("text")

    def edited(self, key: str) -> bool:
        """Return whether a person set header field `key`."""
        return key in self.header and (self.marks or {}).get(key) != _digest(self.header[key])


def make_card(header: dict[str, Any], block: str) -> Card:
    """Return a newly generated card."""
    generated = {key: _digest(value) for key, value in header.items() if key not in _BY_CONFIG}
    return Card(header, block.strip(), marks={"text": _text_digest(block)} | generated)


def parse_card(text: str, what: str = "README.md") -> Card:
    """Parse a README. Raises DistilledError naming `what` if its header is not a plain YAML mapping."""
    import yaml

    header: Any = {}
    found = _HEADER.match(text)
    if found:
        try:
            header = load_yaml(found.group(1) or "", aliases=False) or {}
        except (yaml.YAMLError, ValueError, RecursionError, *UNFIT_SCALAR) as error:
            line = " ".join(str(error).split())[:200]
            raise DistilledError(f"the header of {what} cannot be read ({line}); mend or remove it") from error
        if not isinstance(header, dict):
            raise DistilledError(f"the header of {what} is a {type(header).__name__}, not fields; mend or remove it")
        text = text[found.end() :]
    return _parts(header, text)


def salvage_card(text: str) -> Card:
    """Return the user's text of a README with an unreadable header, without that header."""
    found = _HEADER.match(text)
    return _parts({}, text[found.end() :] if found else text)


def _parts(header: dict[str, Any], text: str) -> Card:
    block = _BLOCK.search(text.replace("\r\n", "\n"))
    if not block:
        return Card(header, "", after=text)
    marks = dict(re.findall(r"(\w+)=([0-9a-f]{12})", block.group(1)))
    return Card(header, block.group(2), block.string[: block.start()], block.string[block.end() :], marks)


def merge_cards(ours: Card, theirs: Card, *, of_another: bool = False) -> Card:
    """Return `ours` with everything that a person added or changed in `theirs`: header fields, configs, tags and text.

    of_another: `theirs` describes another dataset, so fields that ncfm-hub generates are not taken from it
    """
    header = {key: _merged_field(key, ours, theirs, of_another) for key in ours.header}
    about_theirs = {*(theirs.marks or {}), *LICENSE_KEYS} if of_another else set()
    for key, value in theirs.header.items():
        if key not in header and key not in about_theirs and theirs.edited(key):
            header[key] = value
    after = theirs.after
    if theirs.edited_text and _text_digest(theirs.block) != _text_digest(ours.block):
        after = f"{after.strip()}\n\n{_EDITED.format(theirs.block)}"
    return replace(ours, header=header, before=_both(theirs.before, ours.before), after=_both(after, ours.after))


def _merged_field(key: str, ours: Card, theirs: Card, of_another: bool) -> Any:
    mine, other = ours.header[key], theirs.header.get(key)
    if key in _BY_CONFIG:
        return _merged_configs(mine, other, generated_configs(theirs.header))
    if key == "tags" and isinstance(other, list):
        return [*mine, *(tag for tag in other if tag not in mine)]
    return other if theirs.edited(key) and not ours.edited(key) and not of_another else mine


def _merged_configs(mine: list[dict[str, Any]], other: Any, generated: Collection[str]) -> list[dict[str, Any]]:
    """Return `mine` and the entries that a person added to `other`, of which `generated` names the others."""
    entries = other if isinstance(other, list) else [other]
    gone = {*generated, *(entry["config_name"] for entry in mine)}
    kept = [e for e in entries if isinstance(e, dict) and e.get("config_name", "default") not in gone]
    if any(entry.get("default") or entry.get("config_name", "default") == "default" for entry in kept):
        # A card with two defaults cannot be loaded; the person's stays.
        mine = [{key: value for key, value in entry.items() if key != "default"} for entry in mine]
    return [*mine, *kept]


def _both(one: str, other: str) -> str:
    one, other = one.strip(), other.strip()
    if other in one:
        return one
    return other if one in other else f"{one}\n\n{other}"


def _digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


def _text_digest(text: str) -> str:
    return _digest(" ".join(text.split()))  # editors change line endings and trailing spaces


def _dump(header: dict[str, Any]) -> str:
    import yaml

    # Sorted keys would break `List(length=)` and ClassLabel names; folded lines are hard to edit.
    return yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=float("inf"))
