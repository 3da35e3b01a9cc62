"""Export a distilled dataset for other benchmarks: torch files of plain tensors, and JSON that describes them.

Shapes: M training images (config `default`), C classes, c channels, (H, W) resolution.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.dataset import Distilled
from ncfm_hub.publishing.dataset.folders import check_new, new_folder
from ncfm_hub.publishing.dataset.loading import locate
from ncfm_hub.publishing.dataset.names import slug
from ncfm_hub.publishing.dataset.reading import read_data
from ncfm_hub.publishing.dataset.records import read_pipeline
from ncfm_hub.publishing.exchange.conventions import Benchmark, PixelStatistics, choose_figures, convention_of
from ncfm_hub.publishing.exchange.torch_files import save_torch_file
from ncfm_hub.utils.files import write_json
from ncfm_hub.utils.named import Named, path_of

if TYPE_CHECKING:
    import torch

ABOUT = "export.json"
_LEAST = 1e-8  # lower bound of a probability before the logarithm


def export_set(
    target: Named,
    benchmark: Benchmark,
    output: Named | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    dry_run: bool = False,
    revision: str | None = None,
    token: str | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Export a distilled dataset for a benchmark; returns the new folder and the description in its JSON file.

    target: folder or Hub repository
    benchmark: "dd-ranking" or "dc-bench"
    output: new or empty folder; default: `<pipeline>-ipc<N>-<benchmark>` in the current folder
    mean, std: per channel, with which the benchmark normalises test images; default: its own values for datasets it
        knows, else the statistics of the distilled images
    dry_run: check everything, and write nothing
    revision, token: as for `load_distilled`
    Raises DistilledError if the target is not a distilled dataset, mean and std do not match it, or the folder is in
    use.
    """
    folder = locate(target, revision=revision, token=token)
    described, distilled = read_pipeline(folder), read_data(folder)
    try:
        name, source = str(described["name"]), described["source"]
        known = convention_of(benchmark, name, source["class_ids"], source["channels"], source["resolution"])
    except (KeyError, TypeError) as error:
        raise DistilledError(f"{folder}/pipeline.yaml is not as documented: {type(error).__name__} {error}") from error
    figures = choose_figures(benchmark, known, mean, std, distilled.images, "of the exported images")
    images = normalise_with(distilled.images, figures)
    write = {"dd-ranking": _dd_ranking, "dc-bench": _dc_bench}[benchmark]
    files, about = write(distilled, images)
    folder = path_of(output) or Path(f"{slug(name)}-ipc{distilled.ipc}-{benchmark}")
    check_new(folder)
    facts = {
        "benchmark": benchmark,
        "dataset": known.name if known else None,
        "source": {key: source.get(key) for key in ("dataset", "config", "revision")},
        "class_names": list(distilled.class_names),
        "stored_images_per_class": distilled.ipc,
        "images_per_class": distilled.ipc * distilled.factor**2,
        "normalised_by": figures.as_dict(),
        **about,
    }
    if not dry_run:
        new_folder(folder)
        for file, content in files.items():
            save_torch_file(folder / file, content)
        write_json(folder / ABOUT, facts)
    return folder, facts


def normalise_with(images: "torch.Tensor", figures: PixelStatistics) -> "torch.Tensor":
    """Normalise uint8 (M, c, H, W) to float32 (M, c, H, W): (pixel / 255 - mean) / std."""
    import torch

    mean, std = (torch.tensor(values)[:, None, None] for values in (figures.mean, figures.std))
    return (images.float() / 255 - mean) / std


def _dd_ranking(distilled: Distilled, images: "torch.Tensor") -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Return (file -> content, facts).

    DD-Ranking 0.2.0 expects class-ordered images and, as soft labels, the logits of a teacher.
    """
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1).contiguous()  # DD-Ranking's networks expect three channels
    logits = distilled.soft_labels.clamp_min(_LEAST).log()
    per_class = distilled.ipc * distilled.factor**2
    return {"images.pt": images, "labels.pt": logits, "hard_labels.pt": distilled.labels}, {
        "version": "0.2.0",
        "files": {
            "images.pt": f"image_tensor: float32 {list(images.shape)}, class by class",
            "labels.pt": f"soft_labels: float32 {list(logits.shape)}, log(max(p, {_LEAST:g})) of the probabilities",
            "hard_labels.pt": f"hard_labels: int64 {list(distilled.labels.shape)}",
        },
        "use": {
            "ipc": per_class,
            "soft_label_mode": "S",
            "loss_fn_kwargs": {"temperature": 1.0, "scale_loss": False},
            "use_zca": False,
        },
        "note": (
            f"`ipc` counts the images that are trained on, {per_class} a class, which are stored as {distilled.ipc}; "
            "with hard_labels given, LabelRobustScoreHard takes any `ipc` for its random images."
        ),
    }


def _dc_bench(distilled: Distilled, images: "torch.Tensor") -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Return (file -> content, facts).

    DC-Bench's loader for DC, DSA and DM reads the last pair under the key `data`.
    """
    shapes = f"images float32 {list(images.shape)}, labels int64 {list(distilled.labels.shape)}"
    return {"distilled.pt": {"data": [[images, distilled.labels]]}}, {
        "files": {"distilled.pt": f"data: [[{shapes}]]"},
        "note": "read as the files of DC, DSA and DM are: images, labels = torch.load(file)['data'][-1]",
    }
