"""Getting a pool: its key, the cache, and resuming with the same bytes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from ncfm_hub.errors import PoolError
from ncfm_hub.extractors import members
from ncfm_hub.extractors.cache import architecture_name, get_pool, pinned, pool_key
from ncfm_hub.extractors.pool import Pool, check_pool_fits, pool_folder
from ncfm_hub.machine.engine import Engine
from ncfm_hub.networks.stacked import TogetherTrainer
from ncfm_hub.recipes.schema import PoolRecipe
from ncfm_hub.sources.types import Source
from ncfm_hub.utils.progress import Silent
from tests.damage import Notes
from tests.matching.tiny import tiny_source
from tests.stopping import StopAfter, Stopped

VALUES: dict[str, Any] = {
    "backbone": "convnet-d3-w32-instance-relu-avg",  # narrow: it is trained dozens of times here
    "size": 2,
    "epochs": 3,
    "optimizer": "adamw",
    "lr": 2e-3,
    "schedule": "one-cycle",
    "batch_size": 16,
}


@pytest.fixture(scope="module")
def source() -> Source:
    return tiny_source(per_class=16, channels=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def recipe(**changes: Any) -> PoolRecipe:
    return PoolRecipe.model_validate(VALUES | changes)


def test_every_value_of_the_recipe_is_in_the_key(engine: Engine) -> None:
    others: dict[str, Any] = {
        "backbone": "resnet10t",
        "pretrained": "hf-hub:a/b",
        "init_head_only": False,
        "size": 3,
        "epochs": 4,
        "optimizer": "sgd",
        "lr": 1e-3,
        "momentum": 0.5,
        "weight_decay": 0.0,
        "schedule": "steps",
        "batch_size": 8,
        "seed": 1,
    }
    assert others.keys() | {"use", "published"} == PoolRecipe.model_fields.keys()
    keys = {pool_key("f", True, recipe(**{name: value}), "net", engine) for name, value in others.items()}
    keys.add(pool_key("f", True, recipe(), "net", engine))
    keys.add(pool_key("g", True, recipe(), "net", engine))
    keys.add(pool_key("f", False, recipe(), "net", engine))
    keys.add(pool_key("f", True, recipe(), "other", engine))
    keys.add(pool_key("f", True, recipe(), "net", replace(engine, precision="bf16")))
    keys.add(pool_key("f", True, recipe(), "net", replace(engine, compiled=True)))
    assert len(keys) == len(others) + 6
    assert all(len(key) == 32 and set(key) <= set("0123456789abcdef") for key in keys)
    assert pool_key("f", True, recipe(), "net", engine) in keys


def test_which_pool_is_used_is_not_in_the_key(engine: Engine) -> None:
    plain = pool_key("f", True, recipe(), "net", engine)
    assert pool_key("f", True, recipe(use="none", published="ada/pool"), "net", engine) == plain


def test_the_backbone_follows_the_resolution_unless_named() -> None:
    assert architecture_name(recipe(backbone=None), 64) == "ncfm_convnet4"
    assert architecture_name(recipe(backbone="resnet10t"), 64) == "resnet10t"


def test_a_pool_is_trained_once(source: Source, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    first = get_pool(source, False, recipe(), engine)
    assert first.origin == "trained here"
    assert len(first.members) == 2
    check_pool_fits(first, source.info.class_names, 1, 16)
    for accuracy in first.accuracy:
        assert list(accuracy) == ["0.0", "0.25", "0.5", "0.75", "1.0"]
        assert all(0 <= value <= 100 for value in accuracy.values())
        assert accuracy["0.0"] >= 90  # three directions of stripes are soon learnt
    init, trained = first.members[0]
    assert not torch.equal(init["head.weight"], trained["head.weight"])
    assert not torch.equal(init["blocks.0.weight"], first.members[1][0]["blocks.0.weight"])
    folder = pool_folder(first.key)
    assert not list(folder.glob("*partial*"))
    content = json.loads((folder / "pool.json").read_text())
    assert content["recipe"]["epochs"] == 3
    assert content["source"]["fingerprint"] == source.fingerprint

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(members, "train_members", refuse)
    second = get_pool(source, False, recipe(), engine)
    assert second.origin == "cache"
    assert second.key == first.key
    assert torch.equal(second.members[1][1]["head.weight"], first.members[1][1]["head.weight"])
    with pytest.raises(AssertionError, match="trained again"):
        get_pool(source, False, recipe(seed=1), engine)


def weights_on_disk(key: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in pool_folder(key).glob("*.safetensors")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adamw"},
        {"optimizer": "sgd", "lr": 0.01, "schedule": "steps"},
        {"backbone": "resnet10t", "size": 1, "epochs": 2},
    ],
    ids=["adamw", "sgd", "batch norm"],
)
def test_a_pool_stopped_anywhere_ends_with_the_same_bytes(
    source: Source, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """48 images in batches of 16: 3 updates an epoch. Stopped within epochs and between them."""
    values = recipe(**changes)
    whole = get_pool(source, False, values, engine)
    expected = weights_on_disk(whole.key)
    described = (pool_folder(whole.key) / "pool.json").read_bytes()
    assert len(expected) == 2 * values.size + 1
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "stopped"))
    partials = 0
    for updates in (2, 5, 8, 8):
        try:
            get_pool(source, False, values, engine, StopAfter(updates))
        except Stopped:
            partials += len(list(pool_folder(whole.key).glob("*-partial.safetensors")))
            assert not (pool_folder(whole.key) / "pool.json").exists()
    assert partials > 0
    assert get_pool(source, False, values, engine).key == whole.key
    assert weights_on_disk(whole.key) == expected
    assert (pool_folder(whole.key) / "pool.json").read_bytes() == described


def alike(found: Pool, expected: Pool, within: float) -> None:
    """Members start from the same weights and end alike, relative to how far training went."""
    for one, other in zip(expected.members, found.members, strict=True):
        for name, tensor in one[1].items():
            assert torch.equal(other[0][name], one[0][name])
            if name not in ("blocks.0.bias", "blocks.4.bias", "blocks.8.bias"):  # the norm takes away what they add
                went = (tensor - one[0][name]).double().norm()
                assert (other[1][name] - tensor).double().norm() <= within * went


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "within"), [("sgd", 1e-3), ("adamw", 1e-2)])
def test_members_trained_at_once_are_those_trained_alone(
    source: Source, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str, within: float
) -> None:
    """Three in groups of two, as on a GPU; stopped on the way they end with the same bytes.

    AdamW makes whole steps of gradients that are mere rounding.
    """
    values = recipe(size=3, epochs=2, optimizer=optimizer, lr=1e-3)
    alone = get_pool(source, False, values, engine)
    monkeypatch.setattr(members, "networks_at_once", lambda *_: 2)
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "together"))
    together = get_pool(source, False, values, engine)
    alike(together, alone, within)
    expected = weights_on_disk(together.key)
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "stopped"))
    # Within the first and the second epoch of the first group (12 updates), and of the second (6).
    for updates in (4, 9, 14, 5):
        with pytest.raises(Stopped):
            get_pool(source, False, values, engine, StopAfter(updates))
    get_pool(source, False, values, engine)
    assert weights_on_disk(together.key) == expected


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [VALUES["backbone"], "convnet-d3-w32-batch-relu-avg"])
def test_members_that_memory_does_not_hold_begin_again_in_smaller_groups(
    source: Source, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    """Five at once fail in the midst of an epoch; stopped after that, they go on in the smaller groups."""
    values = recipe(size=5, epochs=2, backbone=backbone, optimizer="sgd", lr=1e-3)
    monkeypatch.setattr(members, "networks_at_once", lambda *_: 2)
    expected = get_pool(source, False, values, engine)
    fit, groups = TogetherTrainer.fit, []

    def limited(self: TogetherTrainer, batches: Any, *rest: Any, **options: Any) -> None:
        batches = list(batches)
        groups.append(len(batches[0][0]))
        if groups[-1] > 3:
            fit(self, batches[:1], *rest, **options)
            raise RuntimeError("CUDA out of memory. Tried to allocate 1.00 GiB.")
        fit(self, batches, *rest, **options)

    monkeypatch.setattr(members, "networks_at_once", lambda *_: 5)
    monkeypatch.setattr(TogetherTrainer, "fit", limited)
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "smaller"))
    notes = Notes()
    found = get_pool(source, False, values, engine, notes)
    assert groups == [5, 3, 3, 2, 2]  # each of the smaller groups for two epochs
    assert [note for note in notes.said if "memory" in note] == [
        "out of memory with 5 networks at once: beginning again with fewer"
    ]
    alike(found, expected, 1e-3)
    groups.clear()
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "stopped"))
    with pytest.raises(Stopped):
        get_pool(source, False, values, engine, StopAfter(12))  # 5 - 5, and 9 of the first epoch of three
    again = get_pool(source, False, values, engine)
    assert groups == [5, 3, 3, 3, 2, 2]  # the first three by their state, the others as what is left
    for one, other in zip(again.members, found.members, strict=True):
        for name, tensor in one[1].items():
            assert torch.equal(tensor, other[1][name])


def test_members_that_were_not_yet_measured_are_not_trained_again(
    source: Source, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "networks_at_once", lambda *_: 2)
    measure = members._measure

    def stop(*given: Any) -> str:
        if given[4] == 1:
            raise Stopped
        return measure(*given)

    monkeypatch.setattr(members, "_measure", stop)
    with pytest.raises(Stopped):
        get_pool(source, False, recipe(), engine)
    monkeypatch.setattr(members, "_measure", measure)
    monkeypatch.setattr(TogetherTrainer, "fit", None)  # whoever trains fails
    pool = get_pool(source, False, recipe(), engine)
    assert len(pool.members) == 2
    assert not list(pool_folder(pool.key).glob("*partial*"))


@pytest.mark.slow
def test_members_stopped_in_other_groups_begin_anew(
    source: Source, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a run goes on with another number of processes."""
    values = recipe(size=4)
    monkeypatch.setattr(members, "networks_at_once", lambda *_: 2)
    with pytest.raises(Stopped):
        get_pool(source, False, values, engine, StopAfter(7))
    (folder,) = pool_folder("any").parent.iterdir()
    assert [path.name for path in folder.glob("*partial*")] == ["00-01-partial.safetensors"]
    monkeypatch.setattr(members, "networks_at_once", lambda *_: 1)
    pool = get_pool(source, False, values, engine)
    assert not list(folder.glob("*partial*"))
    monkeypatch.setenv("NCFM_HUB_CACHE", str(folder.parent.parent / "undisturbed"))
    expected = get_pool(source, False, values, engine)
    for one, other in zip(pool.members, expected.members, strict=True):
        assert torch.equal(one[1]["head.weight"], other[1]["head.weight"])


def test_a_member_does_not_depend_on_the_others(source: Source, engine: Engine) -> None:
    two = get_pool(source, False, recipe(size=2, epochs=1), engine)
    one = get_pool(source, False, recipe(size=1, epochs=1), engine)
    for which in (0, 1):
        for name, tensor in one.members[0][which].items():
            assert torch.equal(tensor, two.members[0][which][name])


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["ncfm_convnet3", VALUES["backbone"]])
def test_pretrained_weights_are_fine_tuned_to_the_classes(source: Source, engine: Engine, backbone: str) -> None:
    """init: the same weights with a fresh head, or all fresh; the body of both differs from trained's."""
    body = get_pool(source, False, recipe(size=1, epochs=1, backbone=backbone), engine)
    weights = f"local-dir:{pool_folder(body.key)}"
    values: dict[str, Any] = {"size": 1, "epochs": 1, "pretrained": weights, "backbone": None}
    pool = get_pool(source, False, recipe(**values), engine)
    init, trained = pool.members[0]
    given = body.members[0][1]
    assert pool.architecture.name == backbone
    assert str(pool.pretrained).startswith(f"local-weights:{body.key}@sha256:")
    assert torch.equal(init["blocks.0.weight"], given["blocks.0.weight"])
    assert not torch.equal(trained["blocks.0.weight"], given["blocks.0.weight"])
    assert not torch.equal(init["head.weight"], given["head.weight"])  # though the number of classes is the same
    fresh = get_pool(source, False, recipe(**values, init_head_only=False), engine)
    assert not torch.equal(fresh.members[0][0]["blocks.0.weight"], given["blocks.0.weight"])
    torch.testing.assert_close(fresh.members[0][1]["blocks.0.weight"], trained["blocks.0.weight"])


def test_weights_of_a_folder_are_in_the_key_by_content(engine: Engine, tmp_path: Path) -> None:
    values = recipe(pretrained=f"local-dir:{tmp_path}")
    keys = []
    for content in (b"one", b"two", b"one"):
        (tmp_path / "model.safetensors").write_bytes(content)
        keys.append(pool_key("f", True, values, "net", engine))
    assert keys[0] == keys[2] != keys[1]


def test_a_backbone_that_is_none_stops_before_training(source: Source, engine: Engine) -> None:
    with pytest.raises(PoolError, match="timm knows no backbone"):
        get_pool(source, False, recipe(backbone="resnet0"), engine)


@pytest.mark.parametrize("place", ["hf-hub:timm/resnet18.a1_in1k", "local-dir:weights"])
def test_weights_named_as_the_backbone_are_told_where_they_go(place: str) -> None:
    with pytest.raises(PoolError, match=f"name the weights by --pretrained {place}, and leave --backbone out"):
        architecture_name(recipe(backbone=place), 32)


def test_a_member_begun_with_other_threads_is_not_gone_on_with(source: Source, engine: Engine) -> None:
    threads = torch.get_num_threads()
    with pytest.raises(Stopped):
        get_pool(source, False, recipe(), engine, StopAfter(4))
    try:
        torch.set_num_threads(threads + 1)
        with pytest.raises(PoolError, match=rf"begun with {threads} threads?, .*OMP_NUM_THREADS={threads}"):
            get_pool(source, False, recipe(), engine)
    finally:
        torch.set_num_threads(threads)
    assert len(get_pool(source, False, recipe(), engine).members) == 2


def test_a_run_that_waited_for_another_uses_its_pool(
    source: Source, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pool_folder(get_pool(source, False, recipe(), engine).key)
    aside = tmp_path / "aside"
    shutil.move(whole, aside)
    whole.mkdir()
    lock = FileLock(whole / ".lock")
    lock.acquire()
    notes: list[str] = []

    class TheOtherEnds(Silent):
        def note(self, message: str) -> None:
            notes.append(message)
            shutil.copytree(aside, whole, dirs_exist_ok=True)
            lock.release()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(members, "train_members", refuse)
    assert len(get_pool(source, False, recipe(), engine, TheOtherEnds()).members) == 2
    assert notes == ["another run is training this pool; waiting for it"]


def test_weights_of_a_hub_are_pinned_to_their_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(name: str, file: str, revision: str | None = None) -> str:
        asked.append((name, file, revision))
        return f"/hub/models--a--b/snapshots/{'f' * 40}/{file}"

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    assert pinned(recipe(pretrained="hf-hub:a/b")).pretrained == f"hf-hub:a/b@{'f' * 40}"
    assert pinned(recipe(pretrained="hf-hub:a/b@v1")).pretrained == f"hf-hub:a/b@{'f' * 40}"
    assert asked == [("a/b", "config.json", None), ("a/b", "config.json", "v1")]
    for untouched in (recipe(), recipe(pretrained="local-dir:x"), recipe(backbone="resnet10t", pretrained="a1_in1k")):
        assert pinned(untouched) == untouched
