"""Resolve `source.dataset`: a repository pinned to a commit, or a local folder identified by its content."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from ncfm_hub.errors import SourceError
from ncfm_hub.recipes.schema import SourceRecipe
from ncfm_hub.sources.listing import local_files
from ncfm_hub.sources.lookup import NotAvailable, account_of, current_token, hub_errors, pin, quiet_clients
from ncfm_hub.utils.files import sha256_file
from ncfm_hub.utils.mappings import UNFIT_SCALAR
from ncfm_hub.utils.places import LOCAL_SOURCE

_USER = "{user}"
HUB = "hf://datasets/"  # prefix of an id: on the Hub, even if a local folder has that name
PACKAGED_NAME = "digits (packaged with ncfm-hub)"


class LicenseTerms(TypedDict):
    """A card's licence: an id, and a name and link for a licence without an id."""

    license: str | None
    license_name: str | None
    license_link: str | None


@dataclass(frozen=True)
class Place:
    """Where a source is.

    dataset: as shown to people (Hub id, or the folder as the user named it)
    loadable: as passed to `datasets`
    folder: the local folder, None on the Hub
    revision: the commit on the Hub, None for a folder
    identity: changes whenever the content does
    card: YAML header of its README
    files: paths of all its files; hidden files of a folder are left out
    """

    dataset: str
    loadable: str
    folder: Path | None
    revision: str | None
    identity: str
    card: dict[str, Any]
    token: str | None
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def license_terms(self) -> LicenseTerms:
        """Return licence, name and link as stated in the card; several are joined."""
        return {
            "license": self._stated("license"),
            "license_name": self._stated("license_name"),
            "license_link": self._stated("license_link"),
        }

    @property
    def citation(self) -> str | None:
        """Return the citation in the card's header, if any."""
        info = self.card.get("dataset_info")
        for holder in [self.card, *(info if isinstance(info, list) else [info])]:
            if isinstance(holder, dict) and isinstance(holder.get("citation"), str) and holder["citation"].strip():
                return str(holder["citation"]).strip()
        return None

    def _stated(self, field: str) -> str | None:
        stated = self.card.get(field)
        several = stated if isinstance(stated, list) else [stated]
        return ", ".join(str(one) for one in several if one) or None


def packaged_digits() -> Path:
    """Return the folder of the handwritten digits included in the package, in the layout of a Hub repository."""
    return Path(__file__).resolve().parents[1] / "data" / "digits"


def find_place(spec: SourceRecipe, token: str | None = None) -> Place:
    """Find the source: on the Hub one request to pin the revision and one for the card; none for a folder.

    Raises SourceError if it is missing, private or gated, or the Hub cannot be reached.
    """
    dataset = spec.dataset
    if dataset.startswith(LOCAL_SOURCE):
        raise SourceError(
            f"{dataset.removeprefix(LOCAL_SOURCE)!r} is a folder on another machine, and no copy of it is known "
            "here; give one with --source (`distill`: --set source.dataset=DIR)"
        )
    if dataset == PACKAGED_NAME:
        return _folder(packaged_digits(), PACKAGED_NAME, spec.revision)
    if dataset == f"{_USER}/digits" and spec.revision is None:
        return _digits(spec, token)
    if _USER in dataset:
        return _on_the_hub(_of_user(dataset, current_token(token)), spec.revision, current_token(token))
    on_a_hub, dataset = dataset.startswith(HUB), dataset.removeprefix(HUB)
    folder = Path(dataset).expanduser()
    if folder.is_dir() and not on_a_hub:
        return _folder(folder, dataset, spec.revision)
    return _on_the_hub(dataset, spec.revision, token)


def _digits(spec: SourceRecipe, token: str | None) -> Place:
    """Return the user's own copy of the digits, else the packaged one, with a note."""
    token = current_token(token)
    why = "no Hub token found"
    if token is not None:
        try:
            return _on_the_hub(_of_user(spec.dataset, token), None, token)
        except NotAvailable as error:
            why = str(error)
    note = f"{why}: using the copy of the digits that ships with ncfm-hub"
    return _folder(packaged_digits(), PACKAGED_NAME, None, (note,))


def _of_user(dataset: str, token: str | None) -> str:
    """Return a dataset's id in the namespace of the token's owner."""
    if token is None:
        raise SourceError(f"dataset {dataset}: {_USER} needs a token; log in with `hf auth login`")
    return dataset.replace(_USER, account_of(token))


def _on_the_hub(dataset: str, wanted: str | None, token: str | None) -> Place:
    revision, files = pin(dataset, wanted, token)
    card = _hub_card(dataset, revision, token)
    # `hf://` keeps `datasets` from mistaking a local folder of the same name for the repository.
    identity = f"hub:{dataset}@{revision}"
    return Place(dataset, f"{HUB}{dataset}", None, revision, identity, card, token, files)


def _folder(folder: Path, dataset: str, revision: str | None, notes: tuple[str, ...] = ()) -> Place:
    if revision is not None:
        raise SourceError(f"{dataset} is a local folder, which has no revisions; remove revision {revision!r}")
    if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
        raise SourceError(
            f"{dataset} was written by `save_to_disk`; write parquet instead: "
            "datasets.load_from_disk(folder)['train'].to_parquet('train.parquet')"
        )
    readme = folder / "README.md"
    card = _header(readme, dataset) if readme.is_file() else {}
    files = local_files(folder, dataset)
    identity = _content(folder, files, dataset)
    return Place(dataset, str(folder.resolve()), folder.resolve(), None, identity, card, None, tuple(files), notes)


def _content(folder: Path, files: Sequence[str], dataset: str) -> str:
    """Return a digest of the names and bytes of a folder's files."""
    if not files:
        raise SourceError(
            f"the folder {dataset} is empty; expected the files of a Hub dataset (README.md, parquet, images)"
        )
    digest = hashlib.sha256()
    for name in files:
        try:
            digest.update(f"{name}\0{sha256_file(folder / name)}\n".encode(errors="surrogateescape"))
        except OSError as error:
            raise SourceError(f"{dataset}: {name} cannot be read ({error.strerror})") from error
    return f"sha256:{digest.hexdigest()}"


def _hub_card(dataset: str, revision: str, token: str | None) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    with quiet_clients(), hub_errors(f"dataset {dataset}", revision):
        try:
            path = hf_hub_download(dataset, "README.md", repo_type="dataset", revision=revision, token=token)
        except RemoteEntryNotFoundError:  # a file missing from the local cache only may exist on the Hub
            return {}
    return _header(Path(path), dataset)


def _header(readme: Path, dataset: str) -> dict[str, Any]:
    import yaml
    from huggingface_hub import DatasetCard

    try:
        with quiet_clients():  # a README need not have a header
            return DatasetCard(readme.read_text(encoding="utf-8"), ignore_metadata_errors=False).data.to_dict()
    except (ValueError, RecursionError, yaml.YAMLError, *UNFIT_SCALAR) as error:
        raise SourceError(f"{dataset}: the YAML header of its README.md cannot be read") from error
