"""What a card states of one of its distilled datasets."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.layout import PIPELINE, Config


@dataclass(frozen=True)
class CardSet:
    """A distilled dataset on a card.

    name: its directory and configuration
    pipeline, results: content of pipeline.yaml and results.json
    sizes: (bytes in memory, bytes on disk) of each config, None before files exist
    preview: whether it has a contact sheet
    """

    name: str
    pipeline: Mapping[str, Any]
    results: Mapping[str, Any]
    sizes: Mapping[Config, tuple[int, int]] | None = None
    preview: bool = True

    @cached_property
    def rows(self) -> dict[Config, int]:
        """Images in each config. Raises DistilledError if pipeline.yaml lacks what tells."""
        try:
            stored = len(self.pipeline["source"]["class_names"]) * self.pipeline["ipc"]
            return {"default": stored * self.pipeline["recipe"]["distillation"]["factor"] ** 2, "stored": stored}
        except (KeyError, TypeError) as error:
            raise DistilledError(f"{PIPELINE} lacks what a card needs: {error}") from error

    @property
    def images(self) -> int:
        """Number of training images."""
        return self.rows["default"]

    @property
    def class_names(self) -> list[str]:
        return list(self.pipeline["source"]["class_names"])
