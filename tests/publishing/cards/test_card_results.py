"""A card states what was measured and nothing else."""

import re

import pytest

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing import render_card
from tests.publishing.cards.card_text import FOUR_ROWS, card, grown
from tests.publishing.noise_sets import described, measured, noise_set


def test_the_table_has_a_row_for_each_that_was_measured():
    text = card()
    assert "| random real images | hard | 24 | 5 | 39.6 | 0.3 |" in text
    assert "| initialisation (real tiles) | hard | 24 | 5 | 47.6 | 0.3 |" in text
    assert "| **distilled** | hard | 24 | 5 | 63.4 | 0.3 |" in text
    assert "| **distilled** | soft | 24 | 5 | 63.9 | 0.3 |" in text
    assert "full training set" not in text
    assert "at the last epoch on the source's `test` split (360 images)" in text
    assert "; 1 distillation x 5 evaluation networks (students), `convnet3`" in text
    assert "1,200 updates of 100 images, the same for every row" in text
    assert "better" not in text


def test_every_baseline_that_is_not_beaten_is_named():
    text = card(measured(("distilled", "hard", 50.0), ("herding", "hard", 50.5), ("dm", "hard", 49.0)))
    assert "**Herding did as well as the distilled dataset or better**" in text
    assert "distilled 50.0 against 50.5 with hard labels" in text
    assert "Distribution matching (DM) did" not in text
    text = card(measured(("distilled", "hard", 50.0), ("distilled", "soft", 51.0), ("random", "soft", 52.0)))
    assert "**Random real images did as well" in text
    assert "distilled 51.0 against 52.0 with soft labels" in text


def test_rows_of_other_extractors_are_named():
    results = measured(("random", "soft", 40.0), ("herding", "hard", 45.0), ("distilled", "hard", 50.0))
    for row, digest in zip(results["rows"], ("other", "own", None), strict=True):
        row["extractors"] = digest
    pipeline = described(noise_set())
    pipeline["pool"] = {"digest": "own"} | pipeline.get("pool", {})
    said = "labelled with another extractor pool than the dataset itself: random real images (soft labels)."
    assert said in render_card(pipeline, results, repo_id=None)
    del pipeline["pool"]["digest"]  # of earlier versions: nobody knows
    assert "another extractor pool" not in render_card(pipeline, results, repo_id=None)


def test_other_architectures_stand_side_by_side():
    results = measured(("distilled", "hard", 63.4))
    assert "other architectures" not in card(results)
    (row,) = results["rows"]
    weaker = row | {"accuracy": row["accuracy"] | {"mean": 51.26, "std": 0.44}}
    single = row | {"set": "random", "accuracy": {"n": 1, "mean": 30.0, "std": None, "values": [30.0]}}
    results["cross_architecture"] = [
        {"student": "ncfm_convnet3", **row},
        {"student": "ncfm_vgg11", **weaker},
        {"student": "ncfm_vgg11", **single},
    ]
    text = card(results)
    assert "| trained on | labels | `ncfm_convnet3` | `ncfm_vgg11` |" in text
    assert "| **distilled** | hard | 63.4 (0.3) | 51.3 (0.4) |" in text
    assert "| random real images | hard |  | 30.0 |" in text


def test_ranking_figures_are_fractions_with_their_labels():
    results = measured(("distilled", "hard", 63.4))
    figure = {"n": 2, "mean": 0.1234, "std": 0.0042, "values": [0.12, 0.13]}
    results["ranking"] = {"HLR": figure, "LRS": figure | {"n": 1, "std": None}, "labels": "soft"}
    text = card(results)
    assert "as fractions (IOR and ARS with soft labels on both sides)" in text
    assert re.search(r"\| HLR: .* \| 0\.123 \| 0\.004 \|", text)
    assert re.search(r"\| LRS: .* \| 0\.123 \|  \|", text)
    assert "| ARS" not in text


def test_one_student_has_no_standard_deviation():
    text = card(measured(("distilled", "hard", 63.4), n=1))
    assert "| **distilled** | hard | 24 | 1 | 63.4 |" in text
    assert "| std |" not in text
    assert "1 distillation x 1 evaluation network (student), " in text
    mixed = measured(("distilled", "hard", 63.4))
    mixed["rows"] += measured(("whole", "hard", 80.0), n=1)["rows"]
    assert "| full training set | hard | 24 | 1 | 80.0 | |" in re.sub(" +", " ", card(mixed))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ((("random", "hard", 64.0), ("distilled", "hard", 63.4)), "distilled 63.4 against 64.0 with hard labels"),
        ((("random", "hard", 63.4), ("distilled", "hard", 63.4)), "distilled 63.4 against 63.4 with hard labels"),
        (
            (("random", "hard", 50.0), ("random", "soft", 66.0), ("distilled", "hard", 63.4)),
            "distilled 63.4 against 66.0 with hard labels against soft labels",
        ),
        (
            (
                ("random", "hard", 50.0),
                ("random", "soft", 66.0),
                ("distilled", "hard", 60.0),
                ("distilled", "soft", 65.0),
            ),
            "distilled 65.0 against 66.0 with soft labels",
        ),
    ],
)
def test_random_images_that_do_better_are_said_to(rows, says):
    text = card(measured(*rows))
    assert "**Random real images did as well as the distilled dataset or better**" in text
    assert says in text


def test_a_start_that_does_better_is_said_to():
    text = card(measured(("start", "hard", 70.0), ("random", "hard", 10.0), ("distilled", "hard", 63.4)))
    assert "**Initialisation (real tiles) did as well" in text
    assert "Random real images did" not in text


def test_what_was_not_measured_is_left_out():
    pipeline = described(noise_set())
    for key in ("machine", "wall_time_seconds"):
        del pipeline[key]
    text = render_card(pipeline, {}, repo_id=None)
    for word in ("Accuracy", "n: students", "time:", "device", "beta 0", "None", "Undefined", "first step"):
        assert word not in text
    assert 'load_dataset("path/to/this/folder", split="train")' in text


def test_the_objective_is_stated():
    pipeline = described(noise_set())
    assert "Calibration weight w = 5:" in render_card(pipeline, {}, repo_id=None)
    assert "Sampling network off" in render_card(pipeline, {}, repo_id=None)
    pipeline["recipe"]["distillation"] |= {"calibration": 0.0, "sampling_network": True}
    text = render_card(pipeline, {}, repo_id=None)
    assert "w = 0: the minmax objective alone" in text
    assert "Sampling network on" in text
    pipeline["recipe"]["distillation"] |= {"bank": 500, "bank_seed": 3, "orthogonal": True, "sampling_network": False}
    text = render_card(pipeline, {}, repo_id=None)
    assert "a bank of 500 random draws, bank seed 3; datasets distilled from one bank share them" in text
    assert "orthogonal blocks" in text
    pipeline["recipe"]["distillation"] |= {"matching": "mean", "calibration": 5.0}
    text = render_card(pipeline, {}, repo_id=None)
    assert "300 times the distance of feature means" in text
    assert "Sampling network" not in text


def test_pool_and_losses_are_shown_when_measured():
    results = measured(*FOUR_ROWS)
    results["pool"] = {"members": [{"accuracy": {"0.0": 74.25, "0.5": 33.0, "1.0": 10.0}}]}
    results["distillation"] = {
        "first": {"ncfd": 55.125, "loss": 61.0},
        "last": {"ncfd": 33.0, "loss": 34.5},
        "floor": 24.0,
    }
    text = card(results)
    assert "| member | beta 0.0 | beta 0.5 | beta 1.0 |" in text
    assert "| 1 | 74.2 | 33.0 | 10.0 |" in text
    assert "trained, on images of the source's `test` split:" in text
    results["pool"]["measured_on"] = {"split": "held out", "images": 2000}
    assert "trained, on 2,000 images of the source's `held out` split:" in card(results)
    assert "| discrepancy (NCFD x 300) | 55.12 | 33 |" in text
    assert "about 24" in text
    assert "cross-entropy |" not in text


def test_a_grown_set_is_said_to_be_one():
    pipeline, results = grown()
    text = render_card(pipeline, results, repo_id=None)
    assert "were added in 2 parts, each distilled separately." in text
    assert "  1. ant, cat (2030-01-02T03:04:05Z, by ncfm-hub 0.1.0)\n  2. bee\n" in text
    assert f"distillation of all classes**: {'; '.join(pipeline['differs_from_all_at_once'])}.\n" in text
    assert "given here are those of the last part; `pipeline.yaml` has those of each." in text
    assert "\nLoss over the classes added last, bee:\n\n| | first step | last step |" in text
    pipeline["differs_from_all_at_once"] = []
    text = render_card(pipeline, results, repo_id=None)
    assert "The images are bit-identical to one distillation of all classes." in text
    assert "may differ" not in text
    assert "were added" not in card()


def test_times_without_end_are_named_not_a_traceback():
    pipeline = described(noise_set())
    pipeline["wall_time_seconds"] = {"pool": float("inf")}
    with pytest.raises(DistilledError, match="not as documented: OverflowError"):
        render_card(pipeline, measured(*FOUR_ROWS), repo_id=None)
