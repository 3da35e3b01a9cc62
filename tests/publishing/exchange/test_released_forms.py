"""Importing files in the forms of MTT, DATM, DC, DSA, DM and RCIG: tensors made here in their shapes."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing import load_distilled
from ncfm_hub.publishing.exchange.foreign import check_images, check_labels
from ncfm_hub.publishing.exchange.imports import Imported, import_set
from ncfm_hub.publishing.exchange.torch_files import read_released
from ncfm_hub.publishing.exchange.whitening import fit_whitening, read_whitening
from ncfm_hub.recipes.resolve import load_pipeline
from ncfm_hub.sources import load_source

CLASSES, IPC, SIDE = 10, 2, 16
VALUES = SIDE * SIDE
LABELS = torch.arange(CLASSES).repeat_interleave(IPC)
NAMES = tuple("0123456789")

pytestmark = pytest.mark.usefixtures("home")  # `digits` is the packaged copy


def pixels() -> torch.Tensor:
    """uint8 (20, 1, 16, 16)."""
    draws = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (CLASSES * IPC, 1, SIDE, SIDE), dtype=torch.uint8, generator=draws)


def floats() -> torch.Tensor:
    return pixels().float() / 255


def imported(tmp_path: Path, content: Any, factor: int = 1, **options: Any) -> Imported:
    file = tmp_path / "released.pt"
    torch.save(content, file)
    return import_set(file, "digits", factor, preset="cpu", output=tmp_path / "set", **options)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def training_images() -> torch.Tensor:
    """float64 (N, 256) of the source."""
    source = load_source(load_pipeline("digits", preset="cpu").recipe.source)
    return source.train.images.flatten(1).double() / 255


def fitted() -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and matrix of the source, by the textbook formula and an SVD: float32, as kornia keeps them."""
    images = training_images()
    directions, variances, _ = torch.linalg.svd(torch.cov(images.T))
    matrix = directions @ torch.diag((variances + 0.1) ** -0.5) @ directions.T
    return images.mean(0).float()[None], matrix.float()


def whitened() -> torch.Tensor:
    mean, matrix = fitted()
    return ((floats().flatten(1) - mean) @ matrix).reshape(floats().shape)


def said_of(made: Imported) -> list[str]:
    """The assumptions, which must be in pipeline.yaml and on the card too."""
    said = made.about["assumed"]
    assert yaml.safe_load((made.folder / made.name / "pipeline.yaml").read_text())["imported"]["assumed"] == said
    card = (made.folder / "README.md").read_text()
    assert "Assumed at import: " in card
    assert all(phrase.split(" by ")[0].split("'")[0] in card for phrase in said)
    return list(said)


COUNTED = "labels count the classes as the source does, 0 = 0 to 9 = 9"


def test_whitened_images_with_labels_apart_as_mtt_releases_them(tmp_path):
    labels = saved(tmp_path / "labels_best.pt", LABELS)
    made = imported(tmp_path, whitened(), labels_file=labels, zca="fit")
    assert torch.equal(load_distilled(made.folder).stored, pixels())
    count = len(training_images())
    fit = f"images are ZCA-whitened, fitted on the source's {count:,} training images with eps 0.1"
    assert said_of(made) == [fit, COUNTED]
    assert made.about["zca"] == {"fitted_on": count, "eps": 0.1}


MEAN, MATRIX = "mean_vector", "transform_matrix"


@pytest.mark.parametrize("form", ["dict", "names of RCIG", "pair", "other way round"])
def test_the_matrix_may_be_given(tmp_path, form):
    mean, matrix = fitted()
    content: Any = {
        "dict": {MEAN: mean, MATRIX: matrix, "transform_inv": None},
        "names of RCIG": {"zca_mean": mean[0], "whitening_transform": matrix},
        "pair": (mean, matrix),
        "other way round": [matrix, mean[0]],
    }[form]
    made = imported(tmp_path, [whitened(), LABELS], zca=saved(tmp_path / "zca.pt", content))
    assert torch.equal(load_distilled(made.folder).stored, pixels())
    assert said_of(made)[0] == "images are ZCA-whitened by the mean and matrix of zca.pt"
    assert made.about["zca"].keys() == {"file", "sha256"}


def test_a_fit_is_that_of_kornia():
    # Its own test: these four points, unbiased, become sqrt(1.5) times themselves; eps adds to the variances 2/3.
    points = torch.tensor([[0.0, 1], [1, 0], [-1, 0], [0, -1]])
    found = fit_whitening(points)
    assert torch.allclose(found.inverse, torch.eye(2, dtype=torch.float64) * (2 / 3 + 0.1) ** 0.5)
    assert torch.equal(found.mean, torch.zeros(2, dtype=torch.float64))


def test_what_whitening_leaves_outside_is_clipped_and_counted(tmp_path):
    values = floats()
    values[0, 0, 0, :2] = torch.tensor([-0.75, 1.5])
    mean, matrix = fitted()
    white = ((values.flatten(1) - mean) @ matrix).reshape(values.shape)
    made = imported(tmp_path, [white, LABELS], zca="fit")
    assert load_distilled(made.folder).stored[0, 0, 0, :2].tolist() == [0, 255]
    expected = {"share": 2 / values.numel(), "lowest": -0.75, "highest": 1.5}
    assert made.about["cut"] == pytest.approx(expected, abs=1e-3)


def test_images_normalised_before_whitening(tmp_path):
    mean, std = 0.25, 0.4
    train = (training_images() - mean) / std
    directions, variances, _ = torch.linalg.svd(torch.cov(train.T))
    matrix = directions @ torch.diag((variances + 0.1) ** -0.5) @ directions.T
    white = (((floats().flatten(1).double() - mean) / std) - train.mean(0)) @ matrix
    made = imported(
        tmp_path, [white.reshape(floats().shape), LABELS], zca="fit", normalised=True, mean=(mean,), std=(std,)
    )
    assert torch.equal(load_distilled(made.folder).stored, pixels())
    assert "images are normalised by mean and std given" in said_of(made)


def test_learned_logits_as_datm_releases_them(tmp_path):
    logits = F.one_hot(LABELS, CLASSES) * 5.0 + torch.rand(20, CLASSES, generator=torch.Generator().manual_seed(1))
    labels = saved(tmp_path / "labels_best.pt", logits)
    made = imported(tmp_path, whitened(), labels_file=labels, label_values="logits", zca="fit")
    rows = load_distilled(made.folder).soft_labels.double()
    expected = logits.double().exp() / logits.double().exp().sum(1, keepdim=True)
    assert torch.allclose(rows, expected, atol=1e-6)
    assert said_of(made)[-1] == "label rows are logits"


@pytest.mark.parametrize("experiments", [1, 3])
def test_experiments_in_a_dict_as_dc_dsa_and_dm_release_them(tmp_path, experiments):
    last = [(floats() - 0.5) / 0.25, LABELS]
    content = {"data": [[floats() * 0, LABELS]] * (experiments - 1) + [last], "accs_all_exps": {"ConvNet": [0.5]}}
    made = imported(tmp_path, content, normalised=True, mean=(0.5,), std=(0.25,))
    assert torch.equal(load_distilled(made.folder).stored, pixels())
    said = said_of(made)
    assert said[0] == "images are 'data' in the file"
    assert ("of 3 experiments in the file, the last one counts" in said) == (experiments == 3)


def test_centred_labels_and_channels_last_as_rcig_has_them(tmp_path):
    centred = F.one_hot(LABELS, CLASSES) - 1 / CLASSES
    centred[0, 1] = -0.3  # learned labels leave the simplex
    content = {"x_proto": whitened().permute(0, 2, 3, 1).clone(), "y_proto": centred}
    made = imported(tmp_path, content, label_values="centred", zca="fit")
    distilled = load_distilled(made.folder)
    assert torch.equal(distilled.stored, pixels())
    assert torch.allclose(distilled.soft_labels, torch.eye(CLASSES)[LABELS], atol=1e-6)
    said = said_of(made)
    assert "images are 'x_proto' in the file, labels 'y_proto'" in said
    assert "images are height x width x channels" in said


def test_a_matrix_counts_values_in_the_order_of_the_file(tmp_path):
    """Three channels last: the matrix is that of images in this order."""
    draws = torch.Generator().manual_seed(2)
    images = torch.rand(4, 3, 5, 5, generator=draws).permute(0, 2, 3, 1)
    matrix = torch.randn(75, 75, generator=draws) + 9 * torch.eye(75)
    white = ((images.flatten(1) - 0.5) @ matrix).reshape(images.shape)
    whitening = read_whitening(saved(tmp_path / "zca.pt", [torch.full((75,), 0.5), matrix]), 75)
    assert torch.allclose(whitening.undo(white), images, atol=1e-5)
    assert check_images(images, 3, 5)
    assert not check_images(images.permute(0, 3, 1, 2), 3, 5)


@pytest.mark.parametrize("keys", [("image", "label"), ("x", "y"), ("image_syn", "label_syn"), ("images", "targets")])
def test_dicts_with_the_usual_keys(tmp_path, keys):
    file = saved(tmp_path / "one.pt", {"lr": 0.1, **dict(zip(keys, (pixels(), LABELS), strict=True))})
    found = read_released(file)
    assert torch.equal(found.images, pixels())
    assert found.labels is not None
    assert torch.equal(found.labels, LABELS)
    assert found.assumed == (f"images are {keys[0]!r} in the file, labels {keys[1]!r}",)


@pytest.mark.parametrize("content", [(pixels(), LABELS), [(pixels(), LABELS)]])
def test_one_file_of_both(tmp_path, content):
    assert read_released(saved(tmp_path / "one.pt", content)).assumed == ()


def test_a_dict_of_images_and_a_dict_of_labels(tmp_path):
    labels = saved(tmp_path / "labels.pt", {"labels": LABELS})
    made = imported(tmp_path, {"images": pixels()}, labels_file=labels)
    assert torch.equal(load_distilled(made.folder).stored, pixels())


REVERSED = torch.tensor([CLASSES - 1 - label for label in LABELS.tolist()])


@pytest.mark.parametrize("form", ["lines", "list.json", "object.json"])
def test_a_class_order_from_a_file(tmp_path, form):
    backwards = [str(label) for label in reversed(range(CLASSES))]
    texts = {
        "lines": "\n".join(backwards) + "\n",
        "list.json": json.dumps(backwards),
        "object.json": json.dumps({name: 9 - int(name) for name in backwards}),
    }
    (tmp_path / form).write_text(texts[form])
    made = imported(tmp_path, [pixels(), REVERSED], class_order=tmp_path / form)
    distilled = load_distilled(made.folder)
    assert torch.equal(distilled.stored, pixels())
    assert torch.equal(distilled.stored_labels, LABELS)
    assert f"labels count the classes as {form} says" in said_of(made)
    assert made.about["class_order"] == form


def test_labels_may_be_any_numbers_of_a_class_order(tmp_path):
    (tmp_path / "order.json").write_text(json.dumps({name: 100 + int(name) for name in NAMES} | {"cat": 3}))
    made = imported(tmp_path, [pixels(), LABELS + 100], class_order=tmp_path / "order.json")
    assert torch.equal(load_distilled(made.folder).stored_labels, LABELS)


def test_columns_follow_a_class_order(tmp_path):
    (tmp_path / "order").write_text("\n".join(reversed(NAMES)))
    soft = torch.eye(CLASSES)[REVERSED] * 0.9 + 0.01
    made = imported(tmp_path, [pixels(), soft], class_order=tmp_path / "order")
    assert torch.equal(load_distilled(made.folder).soft_labels, torch.eye(CLASSES)[LABELS] * 0.9 + 0.01)


HOSTILE_MATRICES = {
    "a tensor": (torch.ones(3), "holds a Tensor; expected several tensors"),
    "no names": ({"a": torch.ones(1)}, "holds no mean and matrix"),
    "text": ({MEAN: "mean", MATRIX: "matrix"}, "holds no mean and matrix"),
    "other shape": ([torch.ones(VALUES), torch.eye(9)], r"images of 256 values need \(256,\) and \(256, 256\)"),
    "whole numbers": ([torch.ones(VALUES).long(), torch.eye(VALUES).long()], "not finite floats"),
    "NaN": ([torch.ones(VALUES), torch.full((VALUES, VALUES), float("nan"))], "not finite floats"),
    "complex": ([torch.ones(VALUES), torch.eye(VALUES).to(torch.complex64)], "not finite floats"),
    "singular": ([torch.ones(VALUES), torch.zeros(VALUES, VALUES)], "singular"),
    "tiny": ([torch.ones(VALUES), torch.eye(VALUES).double() * 1e-300], "not finite once the whitening is undone"),
    "not all there": ([torch.ones(VALUES), torch.ones(1).expand(VALUES, VALUES)], "not all there"),
}


@pytest.mark.parametrize(("content", "message"), HOSTILE_MATRICES.values(), ids=HOSTILE_MATRICES)
def test_a_matrix_that_does_not_fit_is_one_readable_line(tmp_path, content, message):
    with pytest.raises(DistilledError, match=message) as raised:
        imported(tmp_path, [floats(), LABELS], zca=saved(tmp_path / "zca.pt", content))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "set").exists()


def test_a_fit_is_bounded():
    with pytest.raises(DistilledError, match=r"49,152 values .* --zca FILE"):
        fit_whitening(torch.zeros(1).expand(2, 3, 128, 128))


ORDERS = {
    "a class missing": ("\n".join(NAMES[1:]), "lacks the source's class '0'"),
    "a class twice": ("\n".join((*NAMES, "3")), "names '3' twice"),
    "a label twice": (json.dumps(dict.fromkeys(NAMES, 1)), "gives label 1 to '0' and '1'"),
    "numbers": ("[1, 2]", "other JSON than a list of names"),
    "negative": (json.dumps(dict.fromkeys(NAMES, -1)), "other JSON"),
    "huge": (json.dumps(dict.fromkeys(NAMES, 1 << 80)), "other JSON"),
    "true": (json.dumps(dict.fromkeys(NAMES, True)), "other JSON"),
    "no JSON": ("{", "is not UTF-8 text or JSON"),
    "deep": ("[" * 200_000, "is not UTF-8 text or JSON"),
    "large": (" " * (1 << 20) + "x", "larger than 1,048,576 bytes"),
    "other labels": (json.dumps({name: 5 + int(name) for name in NAMES}), "label 0 is that of no class"),
}


@pytest.mark.parametrize(("text", "message"), ORDERS.values(), ids=ORDERS)
def test_a_class_order_that_does_not_fit_is_one_readable_line(tmp_path, text, message):
    order = tmp_path / ("order.json" if text[:1] in "[{" else "order.txt")
    order.write_text(text)
    with pytest.raises(DistilledError, match=message) as raised:
        imported(tmp_path, [pixels(), LABELS], class_order=order)
    assert "\n" not in str(raised.value)


def test_an_unknown_class_order_names_the_known_ones(tmp_path):
    for order, message in (("alphabetical", "no such file; expected one, or sorted, ids, mtt"), ("mtt", "Imagewoof")):
        with pytest.raises(DistilledError, match=message):
            imported(tmp_path, [pixels(), LABELS], class_order=order)


OPTIONS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "pixels, not whitened": ([pixels(), LABELS], {"zca": "fit"}, "leave --zca out"),
    "whitened, unsaid": ([floats() * 4 - 2, LABELS], {}, "ZCA-whitened. then --zca"),
    "numbers, not logits": ([pixels(), LABELS], {"label_values": "logits"}, "leave --label-values logits out"),
    "logits, unsaid": ([pixels(), torch.eye(CLASSES)[LABELS] * 9], {}, "--label-values logits .DATM."),
    "NaN logits": ([pixels(), torch.eye(CLASSES)[LABELS] * float("nan")], {"label_values": "logits"}, "NaN"),
    "beyond float32": ([floats().double() * 1e300, LABELS], {"clip": True}, "image 0 holds NaN or infinite"),
    "complex labels": ([pixels(), LABELS.to(torch.complex64)], {}, "complex64"),
    "half floats of 8 bits": ([pixels().to(torch.float8_e5m2), LABELS], {}, "float8_e5m2; expected float"),
    "columns of no class": ([pixels(), torch.eye(CLASSES)[LABELS]], {"class_order": "order.json"}, "10 columns need"),
}


@pytest.mark.parametrize(("content", "options", "message"), OPTIONS.values(), ids=OPTIONS)
def test_what_the_file_contradicts_is_one_readable_line(tmp_path, monkeypatch, content, options, message):
    monkeypatch.chdir(tmp_path)
    Path("order.json").write_text(json.dumps({name: 1 + int(name) for name in NAMES}))
    with pytest.raises(DistilledError, match=message) as raised:
        imported(tmp_path, content, **options)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "set").exists()


def test_a_file_that_unfolds_is_not_read(tmp_path):
    """The records of a file of torch.save, compressed: 40 MB of zeros in 40 kB."""
    plain, bomb = saved(tmp_path / "plain.pt", torch.zeros(10_000_000)), tmp_path / "bomb.pt"
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    with pytest.raises(DistilledError, match=r"unfolds to 40,0\d\d,\d\d\d bytes"):
        read_released(bomb)


def test_a_shape_larger_than_memory_is_not_read(tmp_path):
    with pytest.raises(DistilledError, match="not all there"):
        read_released(saved(tmp_path / "huge.pt", torch.zeros(1).expand(1 << 40)))


def test_labels_of_a_class_are_the_argmax_of_its_row():
    hard, soft = check_labels(torch.tensor([[3.0, 1], [0, 2]]), 2, ("a", "b"), "logits")
    assert hard.tolist() == [0, 1]
    assert soft is not None
    assert torch.allclose(soft.sum(1), torch.ones(2))
