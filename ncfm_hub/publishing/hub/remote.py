"""The state of a repository before a push, and which of its files a push may change."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError, PublishError, ReplaceNeeded
from ncfm_hub.publishing.cards.header import generated_configs
from ncfm_hub.publishing.cards.merging import Card, parse_card, salvage_card
from ncfm_hub.publishing.cards.pool_card import POOL
from ncfm_hub.publishing.dataset.conversion import new_paths
from ncfm_hub.publishing.dataset.layout import (
    CARD,
    CONFIGS,
    DIRECTORIES,
    PIPELINE,
    PLOT,
    PREVIEW,
    RESULTS,
    RESULTS_FILE,
    SHARD,
    SHARD_PATTERN,
    TENSORS,
    config_of,
)
from ncfm_hub.publishing.dataset.names import default_name, is_name
from ncfm_hub.publishing.dataset.studies import study_files
from ncfm_hub.publishing.hub.held import Held, held_by_card, held_pool, held_set
from ncfm_hub.utils.files import sha256_file
from ncfm_hub.utils.hub_client import RepoType
from ncfm_hub.utils.hub_errors import is_missing
from ncfm_hub.utils.mappings import UNFIT_SCALAR, load_yaml

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_GIT_ID = 40  # hex digits of the SHA-1 that identifies a small file in Git
_KINDS: dict[RepoType, str] = {"dataset": "distilled dataset", "model": "extractor pool"}
# The file that marks a distilled dataset or pool, and the one that describes it.
MARK: dict[RepoType, str] = {"dataset": TENSORS, "model": POOL}
_DESCRIBED: dict[RepoType, str] = {"dataset": PIPELINE, "model": POOL}
# Files of an earlier push with other names, which would be loaded together with the new ones.
_LEFT_OVER: dict[RepoType, re.Pattern[str]] = {
    "dataset": re.compile(rf"(?:{'|'.join(DIRECTORIES.values())})/{SHARD_PATTERN.replace('*', '.*')}\.parquet"),
    "model": re.compile(r"[0-9]+(?:-init|-trained)\.safetensors|[0-9]+\.json"),
}


def planned_files(repo_type: RepoType, name: str | None) -> set[str]:
    """Return what every push of a distilled dataset `name` or a pool writes, for checks before there is a folder."""
    if repo_type == "model":
        return {POOL, "model.safetensors", "config.json"}
    shards = (f"{directory}/{SHARD}" for directory in DIRECTORIES.values())
    return {f"{name}/{file}" for file in (TENSORS, PIPELINE, RESULTS, PREVIEW, *shards)}


@dataclass(frozen=True)
class Remote:
    """A repository at one commit.

    head: commit id, None if there is none
    files: path -> SHA-256 of the content, or Git's id for a small file
    described: content of the file that describes each distilled dataset, by name, None if unreadable; the pool's, and
        that of a dataset of the former layout, is under None
    card: its README, None if missing
    damage: what is wrong with the card's header, which is then left out of `card`
    """

    repo_id: str
    repo_type: RepoType
    head: str | None
    private: bool
    files: Mapping[str, str | None]
    described: Mapping[str | None, Mapping[str, Any] | None]
    card: Card | None
    damage: str | None

    @property
    def ours(self) -> bool:
        """Whether it was made by a push of ncfm-hub, even if damaged since."""
        return bool(self.described) or bool(self.card and self.card.block)

    @property
    def former_name(self) -> str | None:
        """The name that a dataset of the former layout gets; None if there is none, or its IPC is unknown."""
        held = self._held(None) if self.has_former else None
        return default_name(held.ipc) if held and held.ipc else None

    @property
    def has_former(self) -> bool:
        """Whether it holds a dataset of the former layout, at the root."""
        return self.repo_type == "dataset" and None in self.described

    @property
    def names(self) -> set[str]:
        """The names of its distilled datasets."""
        return {*(name for name in self.described if name), *filter(None, [self.former_name])}

    def held(self, name: str | None) -> Held | None:
        """What it holds under `name`, if known; for what is damaged, according to the card."""
        return self._held(self.key(name))

    def key(self, name: str | None) -> str | None:
        """Return the key in `described` of the distilled dataset `name`."""
        return name if name in self.described or not self.has_former else None

    def holds(self, name: str | None) -> bool:
        """Return whether it holds something under `name`; what does not say its IPC may be anything."""
        if self.repo_type == "model":
            return self.ours
        return self.ours and (name in self.described or (self.has_former and self.former_name in (None, name)))

    def has(self, name: str, content: Path | bytes) -> bool:
        """Return whether its file `name` equals the one at a path, or `content`, byte by byte."""
        from huggingface_hub.utils.sha import git_hash

        stated = self.files.get(name)
        if stated is None:
            return False
        if len(stated) == _GIT_ID:
            return git_hash(content if isinstance(content, bytes) else content.read_bytes()) == stated
        return (sha256(content).hexdigest() if isinstance(content, bytes) else sha256_file(content)) == stated

    def holds_another(self, name: str | None, coming: Held) -> bool:
        """Return whether pushing `coming` would replace something other than an earlier version of it."""
        held = self.held(name)
        return self.holds(name) and not (held and held.is_replaced_by(coming, self.repo_id))

    def check_same(self, name: str | None, coming: Held, instead: str) -> None:
        """Raise PublishError if the repository holds something other than an earlier version under `name`.

        instead: how to replace it
        """
        if self.holds_another(name, coming):
            kind, held = _KINDS[self.repo_type], self.held(name)
            found = f"another {kind} ({held})" if held else f"a {kind} that does not say what it is of"
            raise PublishError(
                f"{self.repo_id} holds {found}, and this one is {coming}; choose another name by --repo-id, or replace "
                f"what is there {instead}",
                again=False,
            )

    def check_source(self, name: str | None, coming: Held) -> None:
        """Raise PublishError if distilled datasets that stay in the repository are of another source than `coming`."""
        for other in sorted(self.names - {name}):
            held = self.held(other)
            if held and not held.shares_source(coming):
                raise PublishError(
                    f"{self.repo_id} holds {other} ({held}), and this one is {coming}; distilled datasets in one "
                    "repository share a source: choose another by --repo-id",
                    again=False,
                )

    def check_asked(self, name: str | None, coming: Held, instead: str) -> None:
        """Raise ReplaceNeeded if a push of `coming` would replace an earlier version that it did not grow from."""
        held = self.held(name)
        if self.repo_type == "dataset" and self.holds(name) and not (held and held.grew_into(coming, self.repo_id)):
            raise ReplaceNeeded(
                f"{self.repo_id} holds {name} already ({held}); name this one otherwise by --name, choose another "
                f"repository by --repo-id, or replace what is there {instead}"
            )

    def left_over(self, name: str | None, planned: Collection[str], same_images: bool) -> list[str]:
        """Return files of an earlier push under `name` that are not in `planned`, and would be taken for new ones."""
        start = f"{name}/" if name else ""
        inside = [file.removeprefix(start) for file in self.files if file.startswith(start)]
        old = {file for file in inside if _LEFT_OVER[self.repo_type].fullmatch(file)}
        if self.repo_type == "dataset" and not same_images:
            old |= {file for file in inside if file == PREVIEW or RESULTS_FILE.fullmatch(file)}
            old |= study_files(inside).keys()
        return sorted({f"{start}{file}" for file in old} - set(planned))

    def not_ours(self, planned: Collection[str]) -> list[str]:
        """Return files that others added, which stay."""
        own = {*planned, CARD, PLOT, ".gitattributes", *self.former_files}
        for name in filter(None, self.described):
            own |= {*planned_files("dataset", name), *self.left_over(name, (), same_images=False)}
        if self.repo_type == "model":
            own |= set(self.left_over(None, (), same_images=False))
        return sorted(self.files.keys() - own)

    @property
    def former_files(self) -> list[str]:
        """The files of the dataset of the former layout; empty if there is none."""
        return list(new_paths(sorted(self.files), "any")) if self.has_former else []

    def check_ours_to_write(self, names: Collection[str | None], planned: Collection[str]) -> None:
        """Raise PublishError if pushing `planned` would overwrite, delete or hide files that others added."""
        if self.ours:
            return
        if self.damage:
            raise PublishError(self.damage)
        clashes = sorted(self.files.keys() & set(planned) - {CARD, ".gitattributes"})
        clashes += [file for name in names for file in self.left_over(name, planned, same_images=True)]
        header = self.card.header if self.card and self.repo_type == "dataset" else {}
        configs = header.get("configs") if isinstance(header.get("configs"), list) else []
        named = [entry.get("config_name", "default") for entry in configs or [] if isinstance(entry, dict)]
        own = ["default", *(config_of(name, config) for name in names if name for config in CONFIGS)]
        if clashes:
            found = f"the file {clashes[0]}"
        elif hidden := [name for name in own if name in named]:
            found = f"a config {hidden[0]!r} of its own"
        else:
            return
        raise PublishError(
            f"{self.repo_id} already holds something else ({found}), which this push would replace; "
            "choose another name with --repo-id",
            again=False,
        )

    def _held(self, key: str | None) -> Held | None:
        described = self.described.get(key) or {}
        if self.repo_type == "model":
            return held_pool(described)
        return held_set(described) or (held_by_card(self.card, key) if self.card else None)


def look_at(api: "HfApi", repo_id: str, repo_type: RepoType, revision: str | None = None) -> Remote | None:
    """Return the repository at `revision` or the head of its main branch; None if it is missing, or hidden."""
    ask = api.dataset_info if repo_type == "dataset" else api.model_info
    try:
        info = ask(repo_id, revision=revision, files_metadata=True)
    except Exception as error:
        if is_missing(error):
            return None
        raise
    files = {s.rfilename: s.lfs.sha256 if s.lfs else s.blob_id for s in info.siblings or ()}

    def text(name: str) -> str:
        with downloaded(api, repo_id, repo_type, name, info.sha) as path:
            return path.read_text(encoding="utf-8", errors="replace")

    card, damage = _card(text(CARD), f"{CARD} of {repo_id}") if CARD in files else (None, None)
    listed = generated_configs(card.header).values() if card else ()
    described: dict[str | None, Mapping[str, Any] | None] = {}
    for name in _names_in(files, repo_type):
        start = f"{name}/" if name else ""
        path = f"{start}{_DESCRIBED[repo_type]}"
        content = mapping_of(text(path)) if path in files else None
        # A file of this name may be the user's.
        if f"{start}{MARK[repo_type]}" in files or "ncfm_hub" in (content or {}) or name in listed:
            described[name] = content
    return Remote(repo_id, repo_type, info.sha, bool(info.private), files, described, card, damage)


def _names_in(files: Iterable[str], repo_type: RepoType) -> list[str | None]:
    """Return the names of what lies in a repository; None for a pool, or a dataset of the former layout."""
    marks = (MARK[repo_type], _DESCRIBED[repo_type])
    names = {path.rpartition("/")[0] for path in files if path.rpartition("/")[2] in marks}
    return [name or None for name in sorted(names) if not name or (repo_type == "dataset" and is_name(name))]


@contextmanager
def downloaded(api: "HfApi", repo_id: str, repo_type: RepoType, name: str, revision: str | None) -> Iterator[Path]:
    """Download a file into a new folder, so that the cache cannot answer for the Hub; removed after the context."""
    with TemporaryDirectory(prefix="ncfm-hub-") as folder:
        yield Path(api.hf_hub_download(repo_id, name, repo_type=repo_type, revision=revision, local_dir=folder))


def mapping_of(text: str) -> Mapping[str, Any] | None:
    """Return the mapping in YAML or JSON text; None if it is none."""
    import yaml

    try:
        content = load_yaml(text)  # also reads pool.json, since JSON is YAML
    except (yaml.YAMLError, ValueError, RecursionError, *UNFIT_SCALAR):
        return None
    return content if isinstance(content, dict) else None


def _card(text: str, what: str) -> tuple[Card, str | None]:
    try:
        return parse_card(text, what), None
    except DistilledError as error:
        return salvage_card(text), str(error)
