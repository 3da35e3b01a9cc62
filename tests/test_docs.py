"""README and docs: their links lead somewhere, their commands exist, and the settings they list are those there are."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest
import yaml

from ncfm_hub import __version__, load_pipeline
from ncfm_hub.cli import main

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")] + sorted(DOCS.rglob("*.md"))
PRESETS = list(yaml.safe_load((ROOT / "pipelines" / "defaults.yaml").read_text())["presets"])
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?:\]\(|src=\")([^)\s\"]+)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _blocks(page: Path, language: str) -> Iterator[str]:
    yield from (text for found, text in _FENCE.findall(page.read_text()) if found == language)


def test_the_readme_has_at_most_130_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_the_citation_is_of_this_version():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_and_images_lead_somewhere(page):
    for target in _LINK.findall(_FENCE.sub("", page.read_text())):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        place, _, anchor = target.partition("#")
        found = (page.parent / place).resolve() if place else page
        assert found.exists(), target
        if anchor:
            assert anchor in _anchors(found), target
        if page.is_relative_to(DOCS):
            assert found.is_relative_to(DOCS), f"{target} is not on the documentation site"


def test_the_site_has_every_page_once():
    def leaves(entry: object) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        else:
            for inner in entry.values() if isinstance(entry, dict) else entry:
                yield from leaves(inner)

    named = sorted(leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert named == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_shown_have_these_options(page):
    for block in _blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["ncfm-hub"]:
                _check_command(words[1:], line)


def _check_command(words: list[str], line: str) -> None:
    command: click.Command = main
    while isinstance(command, click.Group) and words:
        assert words[0] in command.commands, line
        command, words = command.commands[words[0]], words[1:]
    options = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
    for word, value in pairwise([*words, ""]):
        if word.startswith("-"):
            assert word in options, f"{word} in: {line}"
        if word == "--set":
            section, key = value.partition("=")[0].split(".")
            assert key in load_pipeline("owner/name").recipe.model_dump()[section], f"{value} in: {line}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_python_shown_is_python(page):
    for block in _blocks(page, "python"):
        compile(block, _name(page), "exec")


def test_every_setting_is_listed_with_its_default():
    """`paper 20; cpu 3` where presets differ, one value where they agree."""
    recipes = {preset: load_pipeline("owner/name", preset=preset).recipe.model_dump() for preset in PRESETS}
    sections = re.split(r"^### (\w+):.*$", (DOCS / "configuration.md").read_text(), flags=re.MULTILINE)[1:]
    listed = {
        section: dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE))
        for section, text in zip(sections[::2], sections[1::2], strict=True)
    }
    expected: dict[str, dict[str, str]] = {}
    for section, keys in recipes[PRESETS[0]].items():
        for key in keys:
            values = {preset: _shown(recipe[section][key]) for preset, recipe in recipes.items()}
            same = len(set(values.values())) == 1
            shown = next(iter(values.values())) if same else "; ".join(f"{name} {x}" for name, x in values.items())
            expected.setdefault(section, {})[key] = "required" if (section, key) == ("source", "dataset") else shown
    assert listed == expected


def _shown(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
