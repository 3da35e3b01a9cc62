"""The state of a repository as a push finds it, and what of it a push may touch."""

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ncfm_hub.errors import PublishError
from ncfm_hub.hub import RepoType, is_missing
from ncfm_hub.publishing.card_text import Card, parse_card
from ncfm_hub.publishing.layout import CARD, CONFIGS, PIPELINE, PREVIEW, RESULTS, SHARD, SHARD_PATTERN, TENSORS

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# The file that only a repository of ours has, and those that an earlier push may have left under other names.
_MARK: dict[RepoType, str] = {"dataset": TENSORS, "model": "pool.json"}
_LEFT_OVER: dict[RepoType, tuple[str, ...]] = {
    "dataset": tuple(f"{config}/{SHARD_PATTERN}.parquet" for config in CONFIGS),
    "model": ("[0-9][0-9]*-init.safetensors", "[0-9][0-9]*-trained.safetensors", "[0-9][0-9]*.json"),
}
# What every push writes, for checks made before there is anything to push.
PLANNED: dict[RepoType, frozenset[str]] = {
    "dataset": frozenset({TENSORS, PIPELINE, RESULTS, PREVIEW, *(f"{config}/{SHARD}" for config in CONFIGS)}),
    "model": frozenset({"pool.json", "model.safetensors", "config.json"}),
}


@dataclass(frozen=True)
class Remote:
    """One commit of a repository. head: its id, None while there is none; card: its README, None without one."""

    repo_id: str
    repo_type: RepoType
    head: str | None
    private: bool
    files: frozenset[str]
    card: Card | None

    @property
    def ours(self) -> bool:
        """Whether an earlier push of ours made it what it is."""
        return _MARK[self.repo_type] in self.files

    def left_over(self, planned: Collection[str]) -> list[str]:
        """Files of an earlier push that this one, writing `planned`, does not replace: they would be loaded with it."""
        patterns = _LEFT_OVER[self.repo_type]
        return sorted(f for f in self.files if f not in planned and any(fnmatchcase(f, p) for p in patterns))

    def check_ours_to_write(self, planned: Collection[str]) -> None:
        """Raise PublishError if pushing `planned` would overwrite, delete or hide what somebody else put there."""
        if self.ours:
            return
        clashes = sorted(self.files & set(planned) - {CARD, ".gitattributes"}) + self.left_over(planned)
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
            "choose another name with --repo-id"
        )


def look_at(api: "HfApi", repo_id: str, repo_type: RepoType) -> Remote | None:
    """The repository at the head of its main branch; None if there is none that this user may see."""
    try:
        info = api.dataset_info(repo_id) if repo_type == "dataset" else api.model_info(repo_id)
    except Exception as error:
        if is_missing(error):
            return None
        raise
    files = frozenset(sibling.rfilename for sibling in info.siblings or ())
    card = _card(api, repo_id, repo_type, info.sha) if CARD in files else None
    return Remote(repo_id, repo_type, info.sha, bool(info.private), files, card)


def _card(api: "HfApi", repo_id: str, repo_type: RepoType, revision: str | None) -> Card:
    # Into a folder of its own: the cache must not answer for the Hub.
    with TemporaryDirectory(prefix="ncfm-hub-") as folder:
        path = api.hf_hub_download(repo_id, CARD, repo_type=repo_type, revision=revision, local_dir=folder)
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    return parse_card(text, f"{CARD} of {repo_id}")
