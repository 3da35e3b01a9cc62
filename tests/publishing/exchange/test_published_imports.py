"""Importing third-party torch files: all supported forms, and one readable line for anything else."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import DatasetCard

from ncfm_hub import api as run
from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing import load_distilled
from ncfm_hub.publishing.exchange.exports import export_set
from ncfm_hub.publishing.exchange.imports import Imported, import_set
from ncfm_hub.sources import load_source
from tests.publishing.noise_sets import tiles

CLASSES, IPC, SIDE = 10, 2, 16
MEAN, STD = (0.3,), (0.4,)
SHUFFLED = torch.randperm(CLASSES * IPC, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(CLASSES).repeat_interleave(IPC)[SHUFFLED]


pytestmark = pytest.mark.usefixtures("home")  # `digits` is the packaged copy


def pixels() -> torch.Tensor:
    """uint8 (20, 1, 16, 16) of noise, shuffled as LABELS are."""
    draws = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (CLASSES * IPC, 1, SIDE, SIDE), dtype=torch.uint8, generator=draws)


def in_class_order(images: torch.Tensor) -> torch.Tensor:
    """Images of class 0 in the file's order, then those of class 1, ..."""
    return torch.stack([images[i] for c in range(CLASSES) for i in range(len(LABELS)) if LABELS[i] == c])


def normalised() -> torch.Tensor:
    return (pixels().float() / 255 - MEAN[0]) / STD[0]


def imported(tmp_path: Path, content: Any, factor: int = 1, **options: Any) -> Imported:
    file = tmp_path / "released.pt"
    torch.save(content, file)
    return import_set(file, "digits", factor, preset="cpu", output=tmp_path / "set", **options)


def described(made: Imported) -> dict[str, Any]:
    return yaml.safe_load((made.folder / made.name / "pipeline.yaml").read_text())


def test_a_dry_run_says_what_is_assumed_and_writes_nothing(tmp_path):
    content = [pixels().float() / 255, LABELS]
    rehearsed = imported(tmp_path, content, factor=2, dry_run=True)
    assert not rehearsed.folder.exists()
    assert rehearsed == imported(tmp_path, content, factor=2)
    with pytest.raises(DistilledError, match="is not empty"):
        imported(tmp_path, content, factor=2, dry_run=True)


def test_a_pair_of_the_authors_is_decoded_and_put_in_class_order(tmp_path):
    made = imported(tmp_path, [pixels().float() / 255, LABELS], factor=2, made_by="Ada | Eve")
    distilled = load_distilled(made.folder)
    stored = in_class_order(pixels())
    assert torch.equal(distilled.stored, stored)
    assert distilled.ipc == made.ipc == IPC
    assert (distilled.images.double() - tiles(stored, 2)).abs().max() <= 0.5 + 1e-3
    assert torch.equal(distilled.soft_labels, torch.nn.functional.one_hot(distilled.labels, CLASSES).float())
    assert distilled.class_names == tuple("0123456789")
    found = described(made)
    assert found["imported"] == {
        "file": "released.pt",
        "sha256": hashlib.sha256((tmp_path / "released.pt").read_bytes()).hexdigest(),
        "made_by": "Ada | Eve",
        "soft_labels": False,
        "assumed": [
            "values are pixels from 0 to 1",
            "labels count the classes as the source does, 0 = 0 to 9 = 9",
        ],
    }
    assert found["recipe"]["distillation"] == {"factor": 2}
    assert not {"seed", "pool", "machine", "wall_time_seconds"} & found.keys()
    assert (made.folder / made.name / "preview.png").stat().st_size > 1000


def test_the_card_claims_nothing_of_how_it_was_distilled(tmp_path):
    made = imported(tmp_path, [pixels().float() / 255, LABELS], factor=2, made_by="Ada | Eve <b>")
    text = (made.folder / "README.md").read_text()
    for said in ("by a third party, imported with ncfm-hub", "`released.pt`, SHA-256 `", "Ada &#124; Eve &#60;b&#62;"):
        assert said in text
    assert "| evaluation | updates |" in text
    for claimed in ("(NCFM) with ncfm-hub", "wang2025", "with soft labels", "| distillation |", "| pool |", "seed"):
        assert claimed not in text
    header = DatasetCard(text, ignore_metadata_errors=False).data.to_dict()
    assert "ncfm" not in header["tags"]
    assert header["pretty_name"] == "digits distilled by a third party, 2 images per class"
    assert [info["splits"][0]["num_examples"] for info in header["dataset_info"]] == [80, 20]


def test_the_last_experiment_of_a_file_as_dc_bench_reads_it_is_taken(tmp_path):
    accuracies = {"ConvNet": [np.float64(0.5), np.float32(0.25), np.int64(3)]}
    content = {"data": [[normalised() * 0, LABELS], [normalised(), LABELS]], "accs_all_exps": accuracies}
    made = imported(tmp_path, content, normalised=True, mean=MEAN, std=STD)
    assert torch.equal(load_distilled(made.folder).stored, in_class_order(pixels()))
    assert made.about["normalised_by"] == {"mean": [0.3], "std": [0.4], "origin": "given"}
    assert "with mean 0.3 and std 0.4 (given)" in (made.folder / "README.md").read_text()


def test_without_figures_the_statistics_of_the_source_are_taken(tmp_path):
    from ncfm_hub.recipes.resolve import load_pipeline

    train = load_source(load_pipeline("digits", preset="cpu").recipe.source).train.images.double() / 255
    values = (pixels().double() / 255 - train.mean()) / train.std(correction=0)
    made = imported(tmp_path, [values, LABELS.float()], normalised=True)
    assert torch.equal(load_distilled(made.folder).stored, in_class_order(pixels()))
    assert made.about["normalised_by"]["origin"] == "of the source's training images"


def test_labels_may_be_in_a_file_of_their_own(tmp_path):
    torch.save(LABELS, tmp_path / "labels_best.pt")
    made = imported(tmp_path, pixels(), labels_file=tmp_path / "labels_best.pt")
    assert torch.equal(load_distilled(made.folder).stored, in_class_order(pixels()))
    assert made.about["labels_sha256"] == hashlib.sha256((tmp_path / "labels_best.pt").read_bytes()).hexdigest()


@pytest.mark.parametrize("keys", [("data", "targets"), ("images", "labels")])
def test_soft_labels_of_a_file_are_kept_for_each_tile(tmp_path, keys):
    soft = torch.nn.functional.one_hot(LABELS, CLASSES) * 0.6 + 0.04
    made = imported(tmp_path, dict(zip(keys, (pixels(), soft), strict=True)), factor=2)
    distilled = load_distilled(made.folder)
    assert torch.equal(distilled.soft_labels[::4], in_class_order(soft.float()))
    assert torch.equal(distilled.soft_labels[3::4], distilled.soft_labels[::4])
    assert distilled.labels.tolist() == sorted(LABELS.tolist() * 4)
    text = (made.folder / "README.md").read_text()
    assert ", with soft labels" in text
    assert "one-hot" not in text


def test_an_export_for_dc_bench_comes_back_as_it_was(tmp_path):
    first = imported(tmp_path, [pixels(), LABELS], factor=2)
    export, about = export_set(first.folder, "dc-bench", tmp_path / "export")
    figures = {key: about["normalised_by"][key] for key in ("mean", "std")}
    back = import_set(export / "distilled.pt", "digits", 1, normalised=True, output=tmp_path / "back", **figures)
    ours, theirs = load_distilled(first.folder), load_distilled(back.folder)
    assert torch.equal(ours.images, theirs.stored)
    assert torch.equal(ours.labels, theirs.stored_labels)


def test_values_outside_are_cut_only_if_wanted_and_said_to_be(tmp_path):
    values = pixels().float() / 255
    values[0, 0, 0, :4] = torch.tensor([-0.5, 1.25, 1.005, -0.001])
    with pytest.raises(DistilledError, match=r"from -0\.5 to 1\.25 .* lie outside 0 to 1.*--clip"):
        imported(tmp_path, [values, LABELS])
    made = imported(tmp_path, [values, LABELS], clip=True)
    share = 3 / values.numel()  # the last one is only rounded
    assert made.about["cut"] == {"share": pytest.approx(share, abs=1e-6), "lowest": -0.5, "highest": 1.25}
    first = int(LABELS[0]) * IPC  # in class order, image 0 is the first of its class
    assert load_distilled(made.folder).stored[first, 0, 0, :4].tolist() == [0, 255, 255, 0]
    assert (
        f"{share:.2%} of the values were outside [0, 1] (from -0.5 to 1.25)" in (made.folder / "README.md").read_text()
    )


def test_what_an_optimiser_leaves_a_little_outside_is_taken(tmp_path):
    values = pixels().float() / 255
    values[0, 0, 0, 0] = 1.01
    assert imported(tmp_path, [values, LABELS]).about["cut"]["highest"] == 1.01


def float_images() -> torch.Tensor:
    return pixels().float() / 255


def spoiled(value: float) -> torch.Tensor:
    images = float_images()
    images[3, 0, 2, 2] = value
    return images


ONE = torch.ones(1)
MALFORMED = {
    "nothing": ({}, "holds no pair of tensors"),
    "three tensors": ([ONE, ONE, ONE], "holds no pair of tensors"),
    "nested too deep": ([[[[[[pixels(), LABELS]]]]]], "holds no pair of tensors"),
    "no labels": (pixels(), "name the file of the labels by --labels"),
    "flat images": ([pixels().flatten(1), LABELS], r"shape \(20, 256\)"),
    "no images": ([pixels()[:0], LABELS[:0]], r"shape \(0, 1, 16, 16\)"),
    "other channels": ([pixels().expand(-1, 3, -1, -1).clone(), LABELS], "3 x 16 x 16; the source gives 1 x 16 x 16"),
    "other pixels": ([pixels()[..., :8], LABELS], "--resolution"),
    "whole numbers": ([pixels().long(), LABELS], "torch.int64; expected float, or uint8"),
    "complex": ([pixels().to(torch.complex64), LABELS], "expected float"),
    "NaN": ([spoiled(float("nan")), LABELS], "image 3 holds NaN"),
    "infinite": ([spoiled(float("inf")), LABELS], "image 3 holds NaN or infinite"),
    "0 to 255": ([pixels().float(), LABELS], "from 0 to 255"),
    "normalised": ([normalised(), LABELS], "--normalised"),
    "too few labels": ([pixels(), LABELS[1:]], r"shape \(19,\); expected \(20,\)"),
    "fewer classes": ([pixels(), LABELS % 5], "has 0"),
    "more classes": ([pixels(), LABELS + 1], "from 1 to 10; the source has 10 classes, numbered 0 to 9"),
    "negative": ([pixels(), LABELS - 1], "from -1 to 8"),
    "unequal": ([pixels(), LABELS.clone().index_fill_(0, LABELS.argmax()[None], 0)], "'9' .9. has 1, '0' .0. has 3"),
    "halves": ([pixels(), LABELS / 2], "no whole numbers"),
    "logits": ([pixels(), torch.nn.functional.one_hot(LABELS, CLASSES) * 9.0], "taken for probabilities"),
    "NaN labels": ([pixels(), LABELS * float("nan")], "no whole numbers"),
    "of 100 classes": ([pixels(), torch.ones(20, 100) / 100], r"shape \(20, 100\)"),
    "memory told twice": ([torch.zeros(1).expand(20, 1, 16, 16), LABELS], "not all there"),
    "sparse": ([float_images().to_sparse(), LABELS], "sparse"),
}


@pytest.mark.filterwarnings("ignore:Validating sparse")
@pytest.mark.parametrize(("content", "message"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_content_is_one_readable_line(tmp_path, content, message):
    with pytest.raises(DistilledError, match=message) as raised:
        imported(tmp_path, content)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "set").exists()


class Command:
    """Unpickled by the ordinary loader, it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_file_is_run(tmp_path):
    with pytest.raises(DistilledError, match=r"holds \w+\.mkdir, which is no tensor"):
        imported(tmp_path, [Command(tmp_path / "made"), LABELS])
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [b"", b"no torch file", b"\x80\x02]q\x00.", b"PK\x03\x04" + bytes(60)])
def test_a_damaged_file_is_named(tmp_path, content):
    file = tmp_path / "damaged.pt"
    file.write_bytes(content)
    with pytest.raises(DistilledError, match=r"damaged\.pt"):
        import_set(file, "digits", 1)


def test_half_a_file_is_named(tmp_path):
    file = tmp_path / "half.pt"
    torch.save([pixels(), LABELS], file)
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(DistilledError, match=r"half\.pt cannot be read"):
        import_set(file, "digits", 1)


def test_options_that_contradict_the_file_are_refused(tmp_path):
    torch.save(LABELS, tmp_path / "labels.pt")
    torch.save([LABELS], tmp_path / "list.pt")
    for content, options, message in (
        ([pixels(), LABELS], {"labels_file": tmp_path / "labels.pt"}, "holds labels already"),
        (pixels(), {"labels_file": tmp_path / "list.pt"}, "holds a list; expected one tensor"),
        ([pixels(), LABELS], {"normalised": True}, "leave --normalised out"),
        ([pixels(), LABELS], {"mean": MEAN, "std": STD}, "do nothing without --normalised"),
        ([normalised(), LABELS], {"normalised": True, "mean": MEAN}, "expected both"),
        ([pixels(), LABELS], {"factor": 3}, "cannot be cut into 3 x 3"),
    ):
        with pytest.raises(DistilledError, match=message):
            imported(tmp_path, content, **options)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").touch()
    with pytest.raises(DistilledError, match="not empty"):
        imported(tmp_path, [pixels(), LABELS])


def test_an_import_is_measured_and_pushed_as_one_of_ours(tmp_path, hub, client):
    made = imported(tmp_path, [pixels(), LABELS], factor=2)
    changes = {"evaluation.students": 1, "evaluation.updates": 2, "engine.compile": "off"}
    results = run.evaluate(made.folder, overrides=changes)
    assert {(row["set"], row["labels"]) for row in results["rows"]} >= {("distilled", "hard"), ("random", "hard")}
    assert not [row for row in results["rows"] if row["set"] == "start"]  # that of its makers is not known
    code = "import ncfm_hub; answer(ncfm_hub.push(sys.argv[1], repo_id='ada/of-others').repo_id)"
    assert client(code, hub.env, made.folder) == "ada/of-others"
    text = Path(hub.api().hf_hub_download("ada/of-others", "README.md", repo_type="dataset")).read_text()
    assert "by a third party, imported" in text
