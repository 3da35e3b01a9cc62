"""A small run on the packaged digits, published in a folder, made again and compared."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import ncfm_hub
from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing import Distilled, decode_stored, load_distilled, write_data
from ncfm_hub.publishing.dataset.place import SetPlace
from ncfm_hub.reproducing.reproduce import plan_reproduction
from ncfm_hub.sources import packaged_digits
from tests.publishing.conftest import typed
from tests.reproducing.whole_pairs import edited, rescored

pytestmark = pytest.mark.slow  # whole runs

SMALL = {
    "source.classes": [3, 0],
    "source.resolution": 16,
    "source.channels": 1,
    "pool.backbone": "convnet-d3-w32-instance-relu-avg",
    "pool.size": 2,
    "pool.epochs": 1,
    "distillation.steps": 3,
    "distillation.frequencies": 32,
    "distillation.real_batch": 8,
    "evaluation.students": 3,
    "evaluation.updates": 10,
    "evaluation.batch_size": 16,
    "evaluation.baselines": ["random"],
    "engine.precision": "fp32",
    "engine.compile": "off",
}


@pytest.fixture(scope="module")
def photos(home: Path) -> Path:
    """A local folder with the digits."""
    return Path(shutil.copytree(packaged_digits(), home / "photos"))


@pytest.fixture(scope="module")
def published(home: Path, photos: Path) -> Path:
    return ncfm_hub.distill(photos, 1, preset="cpu", overrides=SMALL, output=home / "published").folder


@pytest.fixture
def copy(published: Path, tmp_path: Path) -> SetPlace:
    return SetPlace(Path(shutil.copytree(published, tmp_path / "copy")), "ipc1")


def outcomes(said: str) -> dict[str, str]:
    checks = json.loads(said)["checks"]
    return {check["name"]: check["outcome"] for check in checks if check["outcome"] != "passed"}


def test_a_run_made_again_is_the_same_byte_for_byte_and_leaves_nothing(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    said = typed(f"ncfm-hub reproduce {published}")
    assert said.exit_code == 0, said.output
    lines = said.stdout.splitlines()
    assert len(lines) == 6 + 4, "recipe, source, pool, machine, images, soft labels; two rows with two kinds of labels"
    assert all(line.startswith("passed") for line in lines)
    assert "byte for byte: 2 stored images, 8 decoded" in said.stdout
    assert not list(tmp_path.glob("ncfm-hub-*"))


def test_so_is_one_whose_pool_is_trained_anew(
    published: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In empty caches, from the source named, as another user has it; what was made is kept."""
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    gone = ncfm_hub.reproduce(published, "ipc1")
    assert [(check.name, check.outcome) for check in gone.checks] == [("recipe", "passed"), ("source", "failed")]
    assert "a folder on another machine, and no copy of it is known here; name one by --dataset" in gone.checks[1].found
    found = ncfm_hub.reproduce(published / "ipc1", dataset=home / "photos", output=tmp_path / "kept")
    assert found.ok, found.checks
    assert found.folder == tmp_path / "kept"
    described = yaml.safe_load((tmp_path / "kept" / "ipc1" / "pipeline.yaml").read_text())
    assert described["pool"]["origin"] == "trained here"
    name = "ipc1/distilled.safetensors"
    assert (tmp_path / "kept" / name).read_bytes() == (published / name).read_bytes()
    with pytest.raises(DistilledError, match="kept' holds ipc1 already; name a new folder by --output"):
        ncfm_hub.reproduce(published, output=tmp_path / "kept")


def change_pixel(place: SetPlace) -> None:
    """In all copies, as a run would have written it."""
    was = load_distilled(place.root)
    stored = was.stored.clone()
    stored[1, 0, 2, 3] ^= 1
    images = decode_stored(stored, was.factor)
    parts = {name: getattr(was, name) for name in ("stored_labels", "labels", "soft_labels", "stored_index", "tile")}
    write_data(place.folder, Distilled(stored=stored, images=images, class_names=was.class_names, factor=2, **parts))


def change_accuracy(place: SetPlace) -> None:
    def change(results: dict[str, Any]) -> None:
        (row,) = (row for row in results["rows"] if (row["set"], row["labels"]) == ("distilled", "hard"))
        row["accuracy"] |= {"mean": 5.0, "std": 0.0, "values": [5.0] * 3}

    rescored(place, change)


def change_steps(place: SetPlace) -> None:
    edited(place, lambda content: content["recipe"]["distillation"].update(steps=4))


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        (change_pixel, {"images": "failed"}),
        (change_accuracy, {"accuracy, distilled, hard labels": "failed"}),
        (change_steps, {"images": "failed"}),
    ],
)
def test_a_claim_that_does_not_hold_is_exit_status_1(
    copy: SetPlace, change: Callable[[SetPlace], None], failed: dict[str, str]
) -> None:
    change(copy)
    said = typed(f"ncfm-hub reproduce {copy.root} --format json")
    assert said.exit_code == 1
    assert failed.items() <= outcomes(said.stdout).items()
    assert json.loads(said.stdout)["ok"] is False


def test_other_settings_are_named_and_images_compared_as_a_distance(published: Path) -> None:
    found = ncfm_hub.reproduce(published, overrides={"distillation.steps": 1, "evaluation.students": 1})
    named = {check.name: check for check in found.checks}
    assert named["recipe"].outcome == "noted"
    assert named["recipe"].found == (
        "distillation.steps 3 -> 1, evaluation.students 3 -> 1; so images are compared as a distance only"
    )
    assert named["images"].outcome == "noted"
    assert "mean absolute difference" in named["images"].found
    assert 0 < found.differences["pixels"]["mean_absolute_difference"] < 50
    students = plan_reproduction(published, overrides={"evaluation.students": 1})
    assert students.as_recorded, "students leave the images alone"


def test_a_plan_says_what_would_be_done_and_makes_nothing(published: Path, tmp_path: Path) -> None:
    said = typed(f"ncfm-hub reproduce {published} --dry-run -o {tmp_path / 'made'}")
    assert said.exit_code == 0, said.output
    assert [line.split()[0] for line in said.stdout.splitlines()[:3]] == ["passed"] * 3
    assert any(line.startswith("estimate   0.") for line in said.stdout.splitlines())
    assert not (tmp_path / "made").exists()
    data = json.loads(typed(f"ncfm-hub reproduce {published} --dry-run --format json").stdout)
    assert data["plan"]["recipe"]["distillation"]["steps"] == 3


def test_a_source_that_has_changed_is_a_line_and_no_run(published: Path, photos: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(photos, tmp_path / "other"))
    (other / "README.md").write_text((other / "README.md").read_text() + "\nMore.\n")
    said = typed(f"ncfm-hub reproduce {published} --dataset {other}")
    assert said.exit_code == 1
    *_, last = said.stdout.splitlines()
    assert last.startswith("failed")
    assert "its files have changed; name a copy of the recorded folder by --dataset" in last


def test_a_pool_that_was_given_must_be_there_and_have_its_weights(
    published: Path, copy: SetPlace, home: Path, tmp_path: Path
) -> None:
    key = yaml.safe_load((published / "ipc1" / "pipeline.yaml").read_text())["pool"]["key"]
    in_cache = home / "cache" / "pools" / key
    given = {"origin": "mine", "trained_by_this_recipe": False}
    edited(copy, lambda content: content["pool"].update(given))
    said = typed(f"ncfm-hub reproduce {copy.root}")
    assert said.exit_code == 1
    assert "made with the extractor pool in 'mine', which is not here; name it by --pool" in said.stdout
    assert plan_reproduction(copy.root, pool=in_cache).plan is not None
    (_, _, check) = plan_reproduction(copy.root, pool=in_cache, overrides={"pool.size": 1}).checks
    assert (check.outcome, "section `pool` have no effect" in check.found) == ("failed", True)
    edited(copy, lambda content: content["pool"].update(digest="0" * 64))
    (_, _, check) = plan_reproduction(copy.root, pool=in_cache).checks
    assert "has other weights: their digest is" in check.found


def test_a_published_pool_that_is_gone_is_trained_anew_if_the_recipe_can(copy: SetPlace) -> None:
    gone = {"origin": f"owner/gone@{'0' * 40}", "trained_by_this_recipe": True}
    edited(copy, lambda content: content["pool"].update(gone))
    assert made_from(copy) is None
    assert made_from(copy, pool="none") == "none"
    assert made_from(copy, overrides={"pool.size": 1}) is None
    edited(copy, lambda content: content["pool"].update(trained_by_this_recipe=False))
    for pool in (None, "none"):
        (_, _, check) = plan_reproduction(copy.root, pool=pool).checks
        assert check.outcome == "failed"


def made_from(place: SetPlace, **asked: Any) -> str | None:
    """Return the pool that a planned reproduction is distilled with."""
    planned = plan_reproduction(place.root, **asked)
    assert planned.plan is not None, planned.checks
    return planned.plan.extractors


def test_weights_in_the_cache_under_the_key_of_another_version_are_used(
    copy: SetPlace, home: Path, tmp_path: Path
) -> None:
    described = yaml.safe_load((copy.folder / "pipeline.yaml").read_text())
    pools = home / "cache" / "pools"
    before = "0123456789abcdef" * 2
    shutil.copytree(pools / described["pool"]["key"], pools / before)
    edited(copy, lambda content: content["pool"].update(key=before))
    planned = plan_reproduction(copy.root)
    assert planned.plan is not None
    assert planned.plan.extractors == str(pools / before)
    for hostile in ("../pools/" + before, str(pools / before), "."):
        edited(copy, lambda content, key=hostile: content["pool"].update(key=key))
        planned = plan_reproduction(copy.root)
        assert planned.plan is not None
        assert planned.plan.extractors is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(imported={"sha256": "0"}), "is of an imported dataset, and the recipe that made it is un"),
        (lambda d: d.update(differs_from_all_at_once=["x"], parts=[1, 2]), "was made in 2 parts by --append"),
        (lambda d: d.pop("seed"), "gives no seed"),
        (lambda d: d["recipe"]["distillation"].update(steps=10**9), "`distillation.steps` is 1000000000"),
        (lambda d: d["recipe"].update(pool=3), "no usable recipe"),
    ],
)
def test_what_no_recipe_makes_is_one_line(
    copy: SetPlace, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edited(copy, change)
    with pytest.raises(DistilledError, match=message) as refused:
        ncfm_hub.reproduce(copy.root)
    assert "\n" not in str(refused.value)
