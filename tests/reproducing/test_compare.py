"""What makes a dataset count as reproduced, on pairs of folders that no run made."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing import Distilled, write_data
from ncfm_hub.publishing.dataset.place import SetPlace
from ncfm_hub.publishing.verifying.result import Check
from ncfm_hub.reproducing.accuracies import check_results_file
from ncfm_hub.reproducing.compare import compare_sets
from ncfm_hub.reproducing.result import all_good
from tests.publishing.noise_sets import noise_set, tiles
from tests.publishing.verifying.whole_sets import figure
from tests.reproducing.whole_pairs import edited, rescored, whole_place

DISTILLED = "accuracy, distilled, hard labels"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[SetPlace, SetPlace]:
    return whole_place(tmp_path / "published"), whole_place(tmp_path / "made")


def compared(published: SetPlace, made: SetPlace, as_recorded: bool = True) -> dict[str, Check]:
    checks, _ = compare_sets(published, made, as_recorded=as_recorded)
    return {check.name: check for check in checks}


def unhappy(found: dict[str, Check]) -> dict[str, str]:
    return {name: check.outcome for name, check in found.items() if check.outcome != "passed"}


def one_level_off() -> Distilled:
    stored = noise_set().stored.clone()
    stored[2, 0, 1, 2] ^= 1
    return dataclasses.replace(noise_set(), stored=stored, images=tiles(stored, 2).round().to(torch.uint8))


def test_the_same_dataset_is_reproduced_byte_for_byte(pair):
    checks, differences = compare_sets(*pair, as_recorded=True)
    assert [check.name for check in checks] == [
        *("pool", "machine", "images", "soft labels"),
        *(f"accuracy, {row} labels" for row in ("random, hard", "distilled, hard", "distilled, soft")),
    ]
    assert {check.outcome for check in checks} == {"passed"}
    assert {check.dataset for check in checks} == {"ipc2"}
    assert "byte for byte: 6 stored images, 24 decoded" in checks[2].found
    assert differences["pixels"]["differing"] == 0
    assert differences["accuracy"]["rows"][0]["difference"] == 0


def test_a_pixel_that_differs_fails_on_the_same_machine(pair):
    published, made = pair
    write_data(published.folder, one_level_off())
    found = compared(published, made)
    assert unhappy(found) == {"images": "failed"}
    assert found["images"].found.startswith("1 of 6 images differ between stored images published and made again, the")
    assert "largest 1 of 255" in found["images"].found


@pytest.mark.parametrize("copy", ["data", "stored"])
def test_so_does_one_of_a_copy(pair, tmp_path, copy):
    """Each of the three copies of the images is compared, though the others are as they were."""
    published, made = pair
    write_data(tmp_path / "off", one_level_off())
    (shard,) = (tmp_path / "off" / copy).glob("*.parquet")
    (published.folder / copy / shard.name).write_bytes(shard.read_bytes())
    assert unhappy(compared(published, made)) == {"images": "failed"}


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("machine", "threads", 4, "threads was 4 and is 2"),
        ("machine", "description", "one core", "description was one core and is two cores"),
        ("machine", "precision", "bf16", "precision was bf16 and is fp32"),
        ("versions", "torch", "2.14.0", "torch was 2.14.0 and is 2.15.0"),
    ],
)
def test_on_another_machine_the_distance_is_noted(pair, section, key, value, said):
    published, made = pair
    write_data(published.folder, one_level_off())
    edited(published, lambda content: content[section].update({key: value}))
    found = compared(published, made)
    assert unhappy(found) == {"machine": "noted", "images": "noted"}
    assert all_good(found.values())
    assert found["machine"].found == said
    per_pixel = 1 / (6 * 3 * 8 * 8)
    assert found["images"].found == (f"mean absolute difference {per_pixel:.3g} and largest 1 of 255, cosine 1.0000")


def test_on_a_gpu_no_bytes_are_promised(pair):
    for place in pair:
        edited(place, lambda content: content["machine"].update(device="cuda"))
    write_data(pair[0].folder, one_level_off())
    assert unhappy(compared(*pair)) == {"machine": "noted", "images": "noted"}


def test_nor_by_other_settings_than_the_recorded_ones(pair):
    published, made = pair
    write_data(published.folder, one_level_off())
    assert unhappy(compared(published, made, as_recorded=False)) == {"images": "noted"}


def test_other_weights_of_the_pool_fail_where_the_same_are_promised(pair):
    published, made = pair
    edited(published, lambda content: content["pool"].update(digest="1" * 64))
    write_data(published.folder, one_level_off())
    found = compared(published, made)
    assert unhappy(found) == {"pool": "failed", "images": "noted"}
    edited(published, lambda content: content["machine"].update(threads=4))
    assert unhappy(compared(published, made))["pool"] == "noted"


def test_soft_labels_are_compared_bit_by_bit(pair):
    published, made = pair
    soft = noise_set().soft_labels.clone()
    soft[3, 0], soft[3, 1] = soft[3, 1].item(), soft[3, 0].item()
    write_data(published.folder, dataclasses.replace(noise_set(), soft_labels=soft))
    assert unhappy(compared(published, made)) == {"soft labels": "failed"}
    assert unhappy(compared(published, made, as_recorded=False)) == {"soft labels": "noted"}


def test_images_that_cannot_be_compared_are_not_passed(tmp_path):
    published, made = whole_place(tmp_path / "a"), whole_place(tmp_path / "b", noise_set(channels=1))
    found = compared(published, made, as_recorded=False)
    assert (found["images"].outcome, found["images"].found) == (
        "not checked",
        "not comparable: images of 3 x 8 x 8 and 1 x 8 x 8 pixels",
    )
    assert not all_good(found.values())


# --- accuracies --------------------------------------------------------------------------------------------------


def with_figure(**changes: Any):
    def change(results: dict[str, Any]) -> None:
        results["rows"][1]["accuracy"] = figure(60.0) | changes

    return change


# By hand: five values from -0.4 to 0.4 deviate by 0.316, so two means of them by 0.2, and the limit is 0.61 as rounded.
@pytest.mark.parametrize(
    ("mean", "outcome"), [(60.59, "passed"), (59.41, "passed"), (60.65, "failed"), (59.3, "failed")]
)
def test_means_may_differ_by_three_standard_errors(pair, mean, outcome):
    published, made = pair
    rescored(published, with_figure(**figure(mean)))
    (found,) = [check for name, check in compared(published, made).items() if name == DISTILLED]
    assert found.outcome == outcome
    assert f"{mean:.2f} % published, 60.00 % made again: {60 - mean:+.2f}" in found.found
    assert found.found.endswith("3 standard errors (0.61)")


def test_a_deviation_that_its_values_do_not_give_excuses_nothing(pair):
    published, made = pair
    rescored(published, with_figure(**figure(75.0) | {"std": 50.0}))
    found = compared(published, made)[DISTILLED]
    assert found.outcome == "failed"
    assert "its values give 0.32" in found.found


@pytest.mark.parametrize(("mean", "outcome"), [(60.0, "passed"), (60.1, "failed")])
def test_single_students_must_agree_on_the_same_machine(pair, mean, outcome):
    for place, value in zip(pair, (mean, 60.0), strict=True):
        rescored(place, with_figure(n=1, mean=value, std=None, values=[value]))
    assert compared(*pair)[DISTILLED].outcome == outcome


def test_elsewhere_the_error_of_single_students_is_unknown(pair):
    for place, value in zip(pair, (60.1, 60.0), strict=True):
        rescored(place, with_figure(n=1, mean=value, std=None, values=[value]))
    found = compared(*pair, as_recorded=False)[DISTILLED]
    assert (found.outcome, "whose error is unknown" in found.found) == ("not checked", True)


def test_a_published_row_that_is_not_measured_is_not_passed(pair):
    published, made = pair
    rescored(made, lambda results: results["rows"].pop(0))
    found = compared(published, made)
    assert unhappy(found) == {"accuracy, random, hard labels": "not checked"}
    assert not all_good(found.values())


def test_rows_of_other_architectures_are_compared_as_well(pair):
    def more(mean: float):
        row = {"student": "resnet10t", "set": "distilled", "labels": "hard", "accuracy": figure(mean)}
        return lambda results: results.update(cross_architecture=[row])

    published, made = rescored(pair[0], more(50.0)), rescored(pair[1], more(40.0))
    assert unhappy(compared(published, made)) == {"accuracy, distilled, hard labels (resnet10t)": "failed"}


def test_where_nothing_is_published_nothing_is_judged(pair):
    published, made = pair
    (published.folder / "results.json").unlink()
    assert unhappy(compared(published, made)) == {"accuracy": "noted"}


def row_of(accuracy: Any, name: Any = "\x1b[31mred\n") -> dict[str, Any]:
    return {"rows": [{"set": name, "labels": "hard", "accuracy": accuracy}]}


@pytest.mark.parametrize("changes", [{"values": [None]}, {"values": 3}, {"n": 4}, {"std": float("nan")}], ids=str)
def test_an_accuracy_of_a_stranger_is_a_line_and_no_crash(pair, changes):
    published, made = pair
    rescored(published, lambda results: results.update(row_of(figure(60.0) | changes)))
    rescored(made, lambda results: results.update(row_of(figure(60.0))))
    (check,) = [check for name, check in compared(published, made).items() if name.startswith("accuracy")]
    assert check.outcome == "failed"
    assert not any(mark in check.name + check.found for mark in "\x1b\n")


@pytest.mark.parametrize(
    "results",
    [
        {"rows": [3]},
        {"rows": [{"set": "x"}]},
        row_of(7),
        row_of({}),
        row_of(figure(60.0) | {"n": 0}),
        row_of(figure(60.0) | {"n": 10**400}),
        row_of(figure(60.0), []),
        {"rows": row_of(figure(60.0))["rows"] * 2},
        {"cross_architecture": [{}]},
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_found_before_the_work(results):
    with pytest.raises(DistilledError, match=r"results\.json (is not as documented|has several rows)"):
        check_results_file(results)
