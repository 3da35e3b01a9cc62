"""The state of a repository before a push, and which of its files a push may change."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError, PublishError
from ncfm_hub.publishing.cards.merging import Card, parse_card, salvage_card
from ncfm_hub.publishing.cards.pool_card import POOL
from ncfm_hub.publishing.dataset.layout import CARD, CONFIGS, PIPELINE, PREVIEW, RESULTS, SHARD, SHARD_PATTERN, TENSORS
from ncfm_hub.publishing.dataset.studies import study_files
from ncfm_hub.publishing.hub.held import Held, held_by_card, held_pool, held_set
from ncfm_hub.utils.files import sha256_file
from ncfm_hub.utils.hub_client import RepoType
from ncfm_hub.utils.hub_errors import is_missing
from ncfm_hub.utils.mappings import UNFIT_SCALAR

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_GIT_ID = 40  # hex digits of the SHA-1 that identifies a small file in Git
_KINDS: dict[RepoType, str] = {"dataset": "distilled dataset", "model": "extractor pool"}
# The file that marks a repository of ncfm-hub, and the one that describes its content.
MARK: dict[RepoType, str] = {"dataset": TENSORS, "model": POOL}
_DESCRIBED: dict[RepoType, str] = {"dataset": PIPELINE, "model": POOL}
# Files of an earlier push with other names, which would be loaded together with the new ones.
_LEFT_OVER: dict[RepoType, re.Pattern[str]] = {
    "dataset": re.compile(rf"(?:{'|'.join(CONFIGS)})/{SHARD_PATTERN.replace('*', '.*')}\.parquet"),
    "model": re.compile(r"[0-9]+(?:-init|-trained)\.safetensors|[0-9]+\.json"),
}
# Further files that describe specific images.
_ABOUT_IMAGES = re.compile(rf"{re.escape(PREVIEW)}|{Path(RESULTS).stem}(?:-\d+)?\.json")
# What every push writes, for checks before there is a folder.
PLANNED: dict[RepoType, frozenset[str]] = {
    "dataset": frozenset({TENSORS, PIPELINE, RESULTS, PREVIEW, *(f"{config}/{SHARD}" for config in CONFIGS)}),
    "model": frozenset({POOL, "model.safetensors", "config.json"}),
}


@dataclass(frozen=True)
class Remote:
    """A repository at one commit.

    head: commit id, None if there is none
    files: path -> SHA-256 of the content, or Git's id for a small file
    described: content of the file that describes the repository; None if unreadable
    card: its README, None if missing
    damage: what is wrong with the card's header, which is then left out of `card`
    """

    repo_id: str
    repo_type: RepoType
    head: str | None
    private: bool
    files: Mapping[str, str | None]
    described: Mapping[str, Any] | None
    card: Card | None
    damage: str | None

    @property
    def ours(self) -> bool:
        """Whether it was made by a push of ncfm-hub, even if damaged since."""
        marked = MARK[self.repo_type] in self.files or "ncfm_hub" in (self.described or {})
        return marked or bool(self.card and self.card.block)

    @property
    def held(self) -> Held | None:
        """What a repository of ncfm-hub holds, if known; for a damaged one, according to its card."""
        if self.repo_type == "model":
            return held_pool(self.described or {})
        return held_set(self.described or {}) or (held_by_card(self.card) if self.card else None)

    def has(self, name: str, files: Mapping[str, Path]) -> bool:
        """Return whether its file `name` equals the one in `files`, byte by byte."""
        from huggingface_hub.utils.sha import git_hash

        stated = self.files.get(name) or ""
        if len(stated) == _GIT_ID:
            return git_hash(files[name].read_bytes()) == stated
        return sha256_file(files[name]) == stated

    def holds_another(self, coming: Held) -> bool:
        """Return whether pushing `coming` would replace something other than an earlier version of it."""
        return self.ours and not (self.held and self.held.is_replaced_by(coming, self.repo_id))

    def check_same(self, coming: Held, instead: str) -> None:
        """Raise PublishError if the repository holds a dataset or pool other than `coming`.

        instead: how to replace it
        """
        if self.holds_another(coming):
            kind = _KINDS[self.repo_type]
            found = f"another {kind} ({self.held})" if self.held else f"a {kind} that does not say what it is of"
            raise PublishError(
                f"{self.repo_id} holds {found}, and this one is {coming}; choose another name by --repo-id, or replace "
                f"what is there {instead}",
                again=False,
            )

    def left_over(self, planned: Collection[str], same_images: bool) -> list[str]:
        """Return files of an earlier push that are not in `planned`, and would be loaded with the new ones."""
        old = {name for name in self.files if _LEFT_OVER[self.repo_type].fullmatch(name)}
        if self.repo_type == "dataset" and not same_images:
            old |= {name for name in self.files if _ABOUT_IMAGES.fullmatch(name)} | study_files(self.files).keys()
        return sorted(old - set(planned))

    def not_ours(self, planned: Collection[str]) -> list[str]:
        """Return files that others added, which stay."""
        return sorted(self.files.keys() - {*planned, *self.left_over(planned, same_images=False), ".gitattributes"})

    def check_ours_to_write(self, planned: Collection[str]) -> None:
        """Raise PublishError if pushing `planned` would overwrite, delete or hide files that others added."""
        if self.ours:
            return
        if self.damage:
            raise PublishError(self.damage)
        clashes = sorted(self.files.keys() & set(planned) - {CARD, ".gitattributes"})
        clashes += self.left_over(planned, same_images=True)
        header = self.card.header if self.card and self.repo_type == "dataset" else {}
        configs = header.get("configs") if isinstance(header.get("configs"), list) else []
        named = [entry.get("config_name", "default") for entry in configs or [] if isinstance(entry, dict)]
        if clashes:
            found = f"the file {clashes[0]}"
        elif hidden := [name for name in CONFIGS if name in named]:
            found = f"a config {hidden[0]!r} of its own"
        else:
            return
        raise PublishError(
            f"{self.repo_id} already holds something else ({found}), which this push would replace; "
            "choose another name with --repo-id",
            again=False,
        )


def look_at(api: "HfApi", repo_id: str, repo_type: RepoType) -> Remote | None:
    """Return the repository at the head of its main branch; None if it is missing or not visible to this user."""
    ask = api.dataset_info if repo_type == "dataset" else api.model_info
    try:
        info = ask(repo_id, files_metadata=True)
    except Exception as error:
        if is_missing(error):
            return None
        raise
    files = {s.rfilename: s.lfs.sha256 if s.lfs else s.blob_id for s in info.siblings or ()}

    def text(name: str) -> str:
        with downloaded(api, repo_id, repo_type, name, info.sha) as path:
            return path.read_text(encoding="utf-8", errors="replace")

    described = _described(text(_DESCRIBED[repo_type])) if _DESCRIBED[repo_type] in files else None
    card, damage = _card(text(CARD), f"{CARD} of {repo_id}") if CARD in files else (None, None)
    return Remote(repo_id, repo_type, info.sha, bool(info.private), files, described, card, damage)


@contextmanager
def downloaded(api: "HfApi", repo_id: str, repo_type: RepoType, name: str, revision: str | None) -> Iterator[Path]:
    """Download a file into a new folder, so that the cache cannot answer for the Hub; removed after the context."""
    with TemporaryDirectory(prefix="ncfm-hub-") as folder:
        yield Path(api.hf_hub_download(repo_id, name, repo_type=repo_type, revision=revision, local_dir=folder))


def _described(text: str) -> Mapping[str, Any] | None:
    import yaml

    try:
        content = yaml.safe_load(text)  # also reads pool.json, since JSON is YAML
    except (yaml.YAMLError, ValueError, RecursionError, *UNFIT_SCALAR):
        return None
    return content if isinstance(content, dict) else None


def _card(text: str, what: str) -> tuple[Card, str | None]:
    try:
        return parse_card(text, what), None
    except DistilledError as error:
        return salvage_card(text), str(error)
