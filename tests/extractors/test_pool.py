"""Pools: blending, the folder, what is refused, loading by timm."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from ncfm_hub.errors import PoolError
from ncfm_hub.extractors.finding import find_pool
from ncfm_hub.extractors.pool import (
    POOL_FILE,
    Pool,
    blend,
    check_pool_fits,
    member_file,
    read_pool,
    write_pool_files,
)
from ncfm_hub.networks.build import backbone_of, build_network
from ncfm_hub.utils.sealed import save_tensors
from tests.matching.tiny import STANDARD, tiny_pool, tiny_source

SOURCE = tiny_source(channels=1, classes=10, per_class=4)


def write(pool: Pool, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, (init, trained) in enumerate(pool.members):
        save_tensors(member_file(folder, number, "init"), init)
        save_tensors(member_file(folder, number, "trained"), trained)
    write_pool_files(folder, pool, {"recipe": {"size": 2}})
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tiny_pool(SOURCE, name=STANDARD), tmp_path / "pool")


def test_blend_is_linear_between_trained_and_init() -> None:
    init = {"w": torch.tensor([0.0, 2.0]), "running_mean": torch.tensor([1.0]), "count": torch.tensor(3)}
    trained = {"w": torch.tensor([4.0, 6.0]), "running_mean": torch.tensor([5.0]), "count": torch.tensor(9)}
    assert blend((init, trained), 0.25)["w"].tolist() == [3.0, 5.0]
    assert blend((init, trained), 0.25)["running_mean"].tolist() == [4.0]
    assert blend((init, trained), 0.25)["count"].item() == 9
    for beta, end in ((0.0, trained), (1.0, init)):
        mixed = blend((init, trained), beta)
        assert torch.equal(mixed["w"], end["w"])
    assert init["w"].tolist() == [0.0, 2.0]


def test_a_folder_holds_the_pool_whole(folder: Path) -> None:
    pool, found = tiny_pool(SOURCE, name=STANDARD), read_pool(folder, "there")
    assert (found.architecture, found.class_names, found.key) == (pool.architecture, pool.class_names, pool.key)
    assert found.origin == "there"
    for mine, theirs in zip(pool.members, found.members, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(found.members[0][0]["head.weight"], found.members[0][1]["head.weight"])
    assert find_pool(str(folder)).key == pool.key


def test_timm_loads_the_folder_as_a_model(folder: Path) -> None:
    pool = tiny_pool(SOURCE, name=STANDARD)
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert (network.img_size, network.in_chans, network.num_classes) == (16, 1, 10)
    expected = build_network(pool.architecture).eval()
    expected.load_state_dict(pool.members[0][1])
    x = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(network(x), expected(x))
    config = json.loads((folder / "config.json").read_text())
    assert config["label_names"] == [f"class {c}" for c in range(10)]
    assert config["num_features"] == 512
    assert network.pretrained_cfg["mean"] == pytest.approx(pool.architecture.mean)


def test_a_pool_serves_as_pretrained_weights_of_another(folder: Path) -> None:
    """For other classes: same body, fresh head."""
    other = replace(tiny_pool(SOURCE, name=STANDARD).architecture, classes=4)
    network = build_network(other, f"local-dir:{folder}")
    assert network.get_classifier().weight.shape == (4, 512)
    trained = tiny_pool(SOURCE, name=STANDARD).members[0][1]
    assert torch.equal(network.state_dict()["blocks.0.weight"], trained["blocks.0.weight"])


def test_the_backbone_of_weights_is_read_from_their_configuration(folder: Path, tmp_path: Path) -> None:
    assert backbone_of(f"local-dir:{folder}") == STANDARD
    with pytest.raises(PoolError, match="cannot be had"):
        backbone_of(f"local-dir:{tmp_path / 'nothing'}")
    with pytest.raises(PoolError, match="name the backbone too"):
        backbone_of("a1_in1k")


Damage = Callable[[Path], Any]


def described(change: Callable[[dict[str, Any]], object]) -> Damage:
    def damage(folder: Path) -> None:
        content = json.loads((folder / POOL_FILE).read_text())
        del content["sha256"]  # as in pools that carry none
        (folder / POOL_FILE).write_text(json.dumps(change(content)))

    return damage


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def damage(folder: Path) -> None:
        path = member_file(folder, 1, "trained")
        content = load_file(path)
        change(content)
        save_file(content, path)

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / POOL_FILE).unlink(), "no pool.json"),
        (lambda folder: (folder / POOL_FILE).write_bytes(b"{"), "pool.json is not readable"),
        (lambda folder: (folder / POOL_FILE).write_bytes(b"\xff\xfe"), "pool.json is not readable"),
        (described(lambda d: [d]), "pool.json is not readable"),
        (described(lambda d: {k: v for k, v in d.items() if k != "key"}), "pool.json is not readable"),
        (described(lambda d: d | {"architecture": "convnet"}), "pool.json is not readable"),
        (described(lambda d: d | {"architecture": {}}), "pool.json is not readable"),
        (described(lambda d: d | {"members": []}), "lists no members"),
        (described(lambda d: d | {"class_names": [*d["class_names"], "more"]}), "11 classes; its networks have 10"),
        (described(lambda d: d | {"members": d["members"] * 2}), "02-init.safetensors is missing or not readable"),
        (
            described(lambda d: d | {"architecture": d["architecture"] | {"name": "hf-hub:a/b"}}),
            "timm knows no backbone 'hf-hub:a/b'",
        ),
        (lambda folder: member_file(folder, 1, "init").unlink(), "01-init.safetensors is missing"),
        (lambda folder: member_file(folder, 0, "trained").write_bytes(b"pickle"), "00-trained.safetensors"),
        (
            lambda folder: member_file(folder, 0, "trained").write_bytes(
                member_file(folder, 0, "init").read_bytes()[:-9]
            ),
            "00-trained.safetensors is missing or not readable",
        ),
        (weights(lambda w: w.pop("blocks.4.weight")), "01-trained.safetensors has nothing for 'blocks.4.weight'"),
        (weights(lambda w: w.update(more=torch.zeros(1))), "for 'more'; the architecture has nothing"),
        (weights(lambda w: w.update({"head.weight": torch.zeros(3, 512)})), r"float32 \[3, 512\] for 'head.weight'"),
        (weights(lambda w: w["head.bias"].fill_(float("nan"))), "'head.bias' that are not finite"),
    ],
)
def test_what_is_damaged_is_named_in_one_line(folder: Path, damage: Damage, message: str) -> None:
    damage(folder)
    with pytest.raises(PoolError, match=message) as raised:
        read_pool(folder, "there")
    assert len(str(raised.value).splitlines()) == 1


def test_places_that_hold_no_pool(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match=r"has no pool\.json"):
        find_pool(str(tmp_path))
    for place in ("no-such-folder", "a/b/c", "../x y/z"):
        with pytest.raises(PoolError, match="expected a folder or a Hub model repository"):
            find_pool(place)


def test_a_pool_of_other_classes_or_sizes_does_not_fit() -> None:
    pool = tiny_pool(SOURCE, name=STANDARD)
    names = pool.class_names
    check_pool_fits(pool, names, 1, 16)
    check_pool_fits(pool, names[2:0:-1], 1, 16)  # fewer, in another order
    assert pool.positions(names[2:0:-1]) == [2, 1]
    with pytest.raises(PoolError, match=r"other classes .* 'class 10' of the source .*leave --pool out"):
        check_pool_fits(pool, (*names, "class 10"), 1, 16)
    with pytest.raises(PoolError, match="1 x 16 px images; the source gives 3 x 16 px"):
        check_pool_fits(pool, names, 3, 16)
    with pytest.raises(PoolError, match="source gives 1 x 32 px"):
        check_pool_fits(pool, names, 1, 32)
