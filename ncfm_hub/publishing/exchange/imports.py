"""Import a distilled dataset released as torch files, so that it can be evaluated, described and pushed.

Shapes: S stored images, C classes, c channels, (H, W) resolution.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.conversion import convert
from ncfm_hub.publishing.dataset.dataset import Distilled
from ncfm_hub.publishing.dataset.folders import check_beside, check_new, check_root, new_folder
from ncfm_hub.publishing.dataset.layout import PIPELINE, PREVIEW
from ncfm_hub.publishing.dataset.names import check_name, default_name, default_repo_name
from ncfm_hub.publishing.dataset.place import SetPlace
from ncfm_hub.publishing.exchange.assumptions import label_assumptions, pixel_assumptions
from ncfm_hub.publishing.exchange.class_order import file_labels
from ncfm_hub.publishing.exchange.conventions import PixelStatistics, choose_figures, convention_of
from ncfm_hub.publishing.exchange.foreign import LabelValues, arrange, check_images, check_labels, to_stored
from ncfm_hub.publishing.exchange.torch_files import read_labels, read_released
from ncfm_hub.publishing.exchange.whitening import FIT, Whitening, fit_whitening, read_whitening
from ncfm_hub.utils.files import sha256_file, write_text
from ncfm_hub.utils.named import Named, path_of
from ncfm_hub.utils.progress import Progress, Silent

if TYPE_CHECKING:
    import torch

    from ncfm_hub.recipes.resolve import ResolvedPipeline
    from ncfm_hub.sources import Source


@dataclass(frozen=True)
class Imported:
    """A finished import.

    folder: as `datasets.load_dataset` reads it
    name: directory and configuration of the dataset there
    ipc: stored images per class
    about: what pipeline.yaml records about the imported file
    """

    folder: Path
    name: str
    ipc: int
    about: dict[str, Any] = field(repr=False)


def import_set(
    file: Named,
    dataset: Named,
    factor: int,
    *,
    labels_file: Named | None = None,
    label_values: LabelValues = "probabilities",
    class_order: Named | None = None,
    zca: Named | None = None,
    normalised: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    clip: bool = False,
    made_by: str | None = None,
    output: Named | None = None,
    name: str | None = None,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    token: str | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Convert a released `.pt` dataset to the Hub layout.

    file: written by torch.save, with images float or uint8 (S, c, H, W) or (S, H, W, c) and labels (S,) or (S, C): a
        pair, a list of pairs, of which the last counts, or a dict with `data` or `images` (and `labels` or `targets`)
    dataset: pipeline, Hub id, local folder or pipeline file the images were distilled from
    factor: stored images are factor x factor tilings; 2 for those of the NCFM authors, 1 for plain images
    labels_file: separate file that holds the labels
    label_values: what labels (S, C) are: probabilities, logits (DATM), or centred (one-hot less 1/C: KIP, FRePo, RCIG)
    class_order: classes in the order of the labels: a file of names, `sorted`, `ids` or `mtt`; default: the source's
    zca: undo ZCA whitening: a torch file of mean and matrix, or `fit` to fit it to the source's training images with
        eps 0.1, as MTT and DATM do; values outside [0, 1] are then clipped
    normalised: images are (pixel - mean) / std, as for DC-Bench; before whitening, if both
    mean, std: per channel; default: DC-Bench's values for this dataset, else the statistics of its training images
    clip: clip values outside [0, 1], which 8 bits cannot represent
    made_by: authors to credit in the card
    output: folder to write; default: `<pipeline>-imported` in the current folder. Other distilled datasets of the same
        source in it stay, and share its card
    name: directory and configuration of the dataset there; default: `ipc<N>`
    preset, overrides: evaluation settings, as for `distill`
    dry_run: read and check everything, and write nothing
    token, progress: as for `distill`
    Returns the folder, and what pipeline.yaml records about the file, with the assumptions made.
    Raises DistilledError for a file in another form or one that does not match the dataset.
    """
    from ncfm_hub.recipes.resolve import resolve
    from ncfm_hub.sources import load_source

    file, labels_file, progress = path_of(file), path_of(labels_file), progress or Silent()
    pipeline = resolve(dataset, preset, overrides)
    images, labels, read_as = _read(file, labels_file)
    source = load_source(pipeline.recipe.source, token=token, progress=progress, test="if there")
    info = source.info
    channels_last = check_images(images, info.channels, info.resolution)
    order = None if class_order is None else file_labels(class_order, info)
    hard, soft = check_labels(labels, len(images), info.class_names, label_values, order)
    figures = _figures(pipeline.name, source, normalised, mean, std)
    whitening = _whitening(zca, images, source, figures, channels_last, progress)
    plain = whitening.undo(images) if whitening else images
    plain = plain.permute(0, 3, 1, 2).contiguous() if channels_last else plain
    stored, cut = to_stored(plain, figures, clip or whitening is not None)
    distilled = arrange(stored, hard, soft, info.class_names, factor)
    about_pixels = pixel_assumptions(images, channels_last, whitening, figures)
    about_labels = label_assumptions(soft is not None, label_values, class_order, info.class_names)
    about = {
        **_origin(file, labels_file, made_by),
        "soft_labels": soft is not None,
        **({"normalised_by": figures.as_dict()} if figures else {}),
        **({"zca": dict(whitening.about)} if whitening else {}),
        **({"cut": cut} if cut else {}),
        **({"class_order": path_of(class_order).name} if class_order is not None else {}),
        "assumed": [*read_as, *about_pixels, *about_labels],
    }
    root = path_of(output) or Path(default_repo_name(pipeline.name, imported=True))
    place = SetPlace(root, check_name(name or default_name(distilled.ipc)))
    check_root(root)
    check_beside(place, source.info.public_name)
    check_new(place.folder)
    if not dry_run:
        convert(root, progress)
        new_folder(place.folder)
        _write(place, distilled, pipeline, source, about)
    return Imported(root, place.folder.name, distilled.ipc, about)


def _read(file: Path, labels_file: Path | None) -> "tuple[torch.Tensor, torch.Tensor, tuple[str, ...]]":
    """Return images, labels, and what was assumed to find them."""
    released = read_released(file)
    labels = released.labels
    if labels_file is not None:
        if labels is not None:
            raise DistilledError(f"{file} holds labels already; leave --labels out")
        labels = read_labels(labels_file)
    if labels is None:
        raise DistilledError(f"{file} holds images and no labels; name the file of the labels by --labels")
    return released.images, labels, released.assumed


def _origin(file: Path, labels_file: Path | None, made_by: str | None) -> dict[str, str]:
    return {
        "file": file.name,
        "sha256": sha256_file(file),
        **({"labels_file": labels_file.name, "labels_sha256": sha256_file(labels_file)} if labels_file else {}),
        **({"made_by": made_by} if made_by else {}),
    }


def _whitening(
    zca: Named | None,
    images: "torch.Tensor",
    source: "Source",
    figures: PixelStatistics | None,
    channels_last: bool,
    progress: Progress,
) -> Whitening | None:
    """Return the whitening to undo, in the file's order of values; None if there was none."""
    import torch

    if zca is None:
        return None
    if images.dtype == torch.uint8:
        raise DistilledError("images are uint8, which are no whitened values; leave --zca out")
    if zca != FIT:
        return read_whitening(path_of(zca), images[0].numel())
    progress.note(f"fitting the ZCA whitening to {len(source.train.images):,} training images")
    pixels = source.train.images.float() / 255
    pixels = figures.apply(pixels) if figures else pixels
    return fit_whitening(pixels.permute(0, 2, 3, 1) if channels_last else pixels)


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
    place: SetPlace, distilled: Distilled, pipeline: "ResolvedPipeline", source: "Source", about: dict[str, Any]
) -> None:
    import yaml

    from ncfm_hub.publishing.cards.dataset_card import write_card
    from ncfm_hub.publishing.dataset.contact_sheet import contact_sheet
    from ncfm_hub.publishing.dataset.provenance import describe_import, remember_places
    from ncfm_hub.publishing.dataset.writing import write_data

    folder = place.folder
    write_data(folder, distilled)
    remember_places(pipeline.recipe, source.info)
    described = describe_import(pipeline, source, about, ipc=distilled.ipc, factor=distilled.factor)
    contact_sheet(distilled.stored, distilled.stored_labels, distilled.class_names, folder / PREVIEW)
    # Last, since it marks a finished dataset for other runs that write the card of this folder.
    write_text(folder / PIPELINE, yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=110))
    write_card(place.root)
