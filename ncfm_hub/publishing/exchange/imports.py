"""Import a distilled dataset released as torch files, so that it can be evaluated, described and pushed.

Shapes: S stored images, C classes, c channels, (H, W) resolution.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.dataset import Distilled
from ncfm_hub.publishing.dataset.folders import new_folder
from ncfm_hub.publishing.dataset.layout import PIPELINE, PREVIEW
from ncfm_hub.publishing.dataset.names import default_repo_name
from ncfm_hub.publishing.exchange.conventions import PixelStatistics, choose_figures, convention_of
from ncfm_hub.publishing.exchange.foreign import arrange, check_images, check_labels, to_stored
from ncfm_hub.publishing.exchange.torch_files import read_pair, read_tensor
from ncfm_hub.utils.files import sha256_file, write_text
from ncfm_hub.utils.named import Named, path_of
from ncfm_hub.utils.progress import Progress, Silent

if TYPE_CHECKING:
    import torch

    from ncfm_hub.recipes.resolve import ResolvedPipeline
    from ncfm_hub.sources import Source


@dataclass(frozen=True)
class Imported:
    """A finished import: its folder, and what pipeline.yaml records about the imported file."""

    folder: Path
    ipc: int
    about: dict[str, Any] = field(repr=False)


def import_set(
    file: Named,
    dataset: Named,
    factor: int,
    *,
    labels_file: Named | None = None,
    normalised: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    clip: bool = False,
    made_by: str | None = None,
    output: Named | None = None,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    token: str | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Convert a released `.pt` dataset to the Hub layout.

    file: written by torch.save, with images float or uint8 (S, c, H, W) and labels (S,) or probabilities (S, C): a
        pair, a list of pairs, of which the last counts, or a dict with `data` or `images` (and `labels` or `targets`)
    dataset: pipeline, Hub id, local folder or pipeline file the images were distilled from; labels count its classes in
        its order
    factor: stored images are factor x factor tilings; 2 for those of the NCFM authors, 1 for plain images
    labels_file: separate file that holds the labels
    normalised: images are (pixel - mean) / std, as for DC-Bench
    mean, std: per channel; default: DC-Bench's values for this dataset, else the statistics of its training images
    clip: clip values outside [0, 1], which 8 bits cannot represent
    made_by: authors to credit in the card
    output: new or empty folder; default: `<pipeline>-imported-ipc<N>` in the current folder
    preset, overrides: evaluation settings, as for `distill`
    token, progress: as for `distill`
    Returns the folder, and what pipeline.yaml records about the file.
    Raises DistilledError for a file in another form or one that does not match the dataset.
    """
    from ncfm_hub.recipes.resolve import resolve
    from ncfm_hub.sources import load_source

    file, labels_file, progress = path_of(file), path_of(labels_file), progress or Silent()
    pipeline = resolve(dataset, preset, overrides)
    images, labels = _read(file, labels_file)
    source = load_source(pipeline.recipe.source, token=token, progress=progress, test="if there")
    check_images(images, source.info.channels, source.info.resolution)
    hard, soft = check_labels(labels, len(images), source.info.class_names)
    figures = _figures(pipeline.name, source, normalised, mean, std)
    stored, cut = to_stored(images, figures, clip)
    distilled = arrange(stored, hard, soft, source.info.class_names, factor)
    about = {
        "file": file.name,
        "sha256": sha256_file(file),
        **({"labels_file": labels_file.name, "labels_sha256": sha256_file(labels_file)} if labels_file else {}),
        **({"made_by": made_by} if made_by else {}),
        "soft_labels": soft is not None,
        **({"normalised_by": figures.as_dict()} if figures else {}),
        **({"cut": cut} if cut else {}),
    }
    folder = new_folder(path_of(output) or Path(default_repo_name(pipeline.name, distilled.ipc, imported=True)))
    _write(folder, distilled, pipeline, source, about)
    return Imported(folder, distilled.ipc, about)


def _read(file: Path, labels_file: Path | None) -> "tuple[torch.Tensor, torch.Tensor]":
    images, labels = read_pair(file)
    if labels_file is not None:
        if labels is not None:
            raise DistilledError(f"{file} holds labels already; leave --labels out")
        labels = read_tensor(labels_file)
    if labels is None:
        raise DistilledError(f"{file} holds images and no labels; name the file of the labels by --labels")
    return images, labels


def _figures(
    name: str, source: "Source", normalised: bool, mean: Sequence[float] | None, std: Sequence[float] | None
) -> PixelStatistics | None:
    """Return the mean and std that the images were normalised with; None if they were not normalised."""
    if not normalised:
        if mean is not None or std is not None:
            raise DistilledError("--mean and --std do nothing without --normalised")
        return None
    info = source.info
    known = convention_of("dc-bench", name, info.class_ids, info.channels, info.resolution)
    return choose_figures("dc-bench", known, mean, std, source.train.images, "of the source's training images")


def _write(
    folder: Path, distilled: Distilled, pipeline: "ResolvedPipeline", source: "Source", about: dict[str, Any]
) -> None:
    import yaml

    from ncfm_hub.publishing.cards.dataset_card import write_card
    from ncfm_hub.publishing.dataset.contact_sheet import contact_sheet
    from ncfm_hub.publishing.dataset.provenance import describe_import, remember_places
    from ncfm_hub.publishing.dataset.writing import write_data

    write_data(folder, distilled)
    remember_places(pipeline.recipe, source.info)
    described = describe_import(pipeline, source, about, ipc=distilled.ipc, factor=distilled.factor)
    write_text(folder / PIPELINE, yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=110))
    contact_sheet(distilled.stored, distilled.stored_labels, distilled.class_names, folder / PREVIEW)
    write_card(folder)
