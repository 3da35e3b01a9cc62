"""Cards for the tests, and what a reader of one sees."""

import re
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard

from ncfm_hub.publishing import render_card
from tests.publishing.noise_sets import described, measured, noise_set

FOUR_ROWS = (
    ("random", "hard", 39.6),
    ("start", "hard", 47.6),
    ("distilled", "hard", 63.4),
    ("distilled", "soft", 63.9),
)


def header(text: str) -> dict:
    """As the Hub's own client reads it."""
    return DatasetCard(text, ignore_metadata_errors=False).data.to_dict()


def card(results: dict | None = None, **source: object) -> str:
    return render_card(described(noise_set(), **source), results or measured(*FOUR_ROWS), repo_id="ada/insects")


def grown() -> tuple[dict[str, Any], dict[str, Any]]:
    """pipeline.yaml and results.json of a dataset to which classes were appended with other settings."""
    made = {"versions": {"ncfm_hub": "0.1.0"}, "created": "2030-01-02T03:04:05Z"}
    reasons = [f"distillation.setting_{number} was something and is another thing" for number in range(5)]
    pipeline = described(noise_set()) | {
        "parts": [{"classes": ["ant", "cat"], **made}, {"classes": ["bee"]}],
        "differs_from_all_at_once": reasons,
    }
    losses = {"classes": ["bee"], "first": {"loss": 61.0}, "last": {"loss": 34.5}}
    return pipeline, measured(*FOUR_ROWS) | {"distillation": losses}


def body_without_code(text: str) -> str:
    """The card as a Markdown renderer would take it for markup: header, fenced blocks and code spans removed."""
    body = DatasetCard(text, ignore_metadata_errors=False).text
    body = re.sub(r"(?ms)^(`{3,})[^\n]*\n.*?^\1$", "", body)
    return re.sub(r"`[^`\n]*`", "", body)


def edit(folder: Path, *changes: tuple[str, str]) -> None:
    text = (folder / "README.md").read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "README.md").write_text(text)
