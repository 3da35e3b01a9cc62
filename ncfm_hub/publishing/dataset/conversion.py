"""Convert a folder of the former layout, one distilled dataset at the root, to a directory per distilled dataset."""

from pathlib import Path

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.layout import (
    CONFIGS,
    DIRECTORIES,
    FORMER_DIRECTORIES,
    PIPELINE,
    PREVIEW,
    RESULTS_FILE,
    SHARD_PATTERN,
    TENSORS,
)
from ncfm_hub.publishing.dataset.place import WORK_FOLDER, SetPlace, name_of_former, places_in
from ncfm_hub.publishing.dataset.studies import study_files
from ncfm_hub.utils.progress import Progress


def new_paths(files: list[str], name: str) -> dict[str, str]:
    """Return where files of the former layout move to, from the root; files that users added stay."""
    moved: dict[str, str] = {}
    for config in CONFIGS:
        before, now = FORMER_DIRECTORIES[config], DIRECTORIES[config]
        start = f"{before}/{SHARD_PATTERN.rstrip('*')}"
        moved |= {file: f"{name}/{now}/{file.removeprefix(f'{before}/')}" for file in files if _shard(file, start)}
    own = {TENSORS, PREVIEW, *study_files(files), *(file for file in files if RESULTS_FILE.fullmatch(file))}
    moved |= {file: f"{name}/{file}" for file in files if file in own}
    # Last, since it marks a finished dataset.
    return moved | ({PIPELINE: f"{name}/{PIPELINE}"} if PIPELINE in files else {})


def convert(root: Path, progress: Progress, name: str | None = None) -> None:
    """Move the dataset of the former layout in `root` to its own directory; without one, do nothing.

    name: of an unfinished dataset; a finished one is named by its IPC
    Raises DistilledError if that directory is taken.
    """
    places = places_in(root)
    if not places or places[0].name is not None:
        return
    name = name_of_former(root) if places[0].finished else name
    if name is None:
        raise DistilledError(f"{root} holds an unfinished distilled dataset; finish or remove it first")
    folder = root / name
    if folder.exists():
        raise DistilledError(f"{root} holds a distilled dataset of the former layout, and {folder} is taken; move one")
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    for before, now in new_paths(files, name).items():
        (root / now).parent.mkdir(parents=True, exist_ok=True)
        (root / before).rename(root / now)
    if (root / WORK_FOLDER).exists():
        folder.mkdir(exist_ok=True)
        (root / WORK_FOLDER).rename(folder / WORK_FOLDER)
    for directory in FORMER_DIRECTORIES.values():
        if (root / directory).is_dir() and not any((root / directory).iterdir()):
            (root / directory).rmdir()
    progress.note(f"{root} had the former layout; its distilled dataset lies in {folder} now")


def place_to_write(place: SetPlace, progress: Progress) -> SetPlace:
    """Return `place` in the present layout, converting its folder if necessary."""
    if place.name is not None:
        return place
    name = name_of_former(place.root)
    convert(place.root, progress)
    return SetPlace(place.root, name)


def _shard(file: str, start: str) -> bool:
    return file.startswith(start) and file.endswith(".parquet") and "/" not in file.removeprefix(start)
