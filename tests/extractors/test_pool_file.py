"""Third-party pools and weights are validated before use."""

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ncfm_hub import api as run
from ncfm_hub.errors import PoolError
from ncfm_hub.extractors.pool import POOL_FILE, member_file, read_pool, write_pool_files
from ncfm_hub.networks.build import backbone_of
from ncfm_hub.utils.sealed import save_tensors
from tests.matching.tiny import tiny_pool, tiny_source

SOURCE = tiny_source(channels=1, classes=10, per_class=4)
GIANT = "vit_giant_patch14_dinov2"  # 1.1 thousand million parameters
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pool, folder = tiny_pool(SOURCE), tmp_path / "pool"
    folder.mkdir()
    for number, member in enumerate(pool.members):
        for which, weights in zip(("init", "trained"), member, strict=True):
            save_tensors(member_file(folder, number, which), weights)
    write_pool_files(folder, pool, {"recipe": {"size": 2}})
    return folder


def change(folder: Path, key: str, value: Any) -> None:
    """Put a value at a dotted key of pool.json, as in pools that carry no digest; `...` takes the key away."""
    content = json.loads((folder / POOL_FILE).read_text())
    del content["sha256"]
    *outer, last = key.split(".")
    place: Any = content
    for part in outer:
        place = place[int(part)] if isinstance(place, list) else place[part]
    if value is ...:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    (folder / POOL_FILE).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("key", ..., "`key` is missing"),
        ("architecture.name", ..., "`architecture.name` is missing"),
        ("architecture.name", 7, "`architecture.name` is 7 (a whole number)"),
        ("architecture.resolution", -16, "`architecture.resolution` is -16 (a whole number)"),
        ("architecture.resolution", "16", "`architecture.resolution` is '16' (text)"),
        ("architecture.channels", 0, "`architecture.channels` is 0"),
        ("architecture.classes", 2.5, "`architecture.classes` is 2.5"),
        ("architecture.mean", [0.5, 0.5], "`architecture.mean` has 2 numbers; expected one a channel (1)"),
        ("architecture.mean.0", float("nan"), "`architecture.mean.0` is nan"),
        ("architecture.std.0", 0, "`architecture.std.0` is 0"),
        ("architecture.std", "wide", "`architecture.std` is 'wide' (text)"),
        ("class_names", "ten", "`class_names` is 'ten' (text)"),
        ("class_names.3", 3, "`class_names.3` is 3"),
        ("class_names.3", "class 2", "the class 'class 2' twice in `class_names`"),
        ("members", None, "`members` is nothing"),
        ("members.1.accuracy", ..., "`members.1.accuracy` is missing"),
        ("members.1.accuracy", 74.0, "`members.1.accuracy` is 74.0"),
        ("members.1.accuracy", {"0.0": "high"}, "`members.1.accuracy.0.0` is 'high' (text)"),
        ("members.1.accuracy", {"0.0": float("nan")}, "`members.1.accuracy.0.0` is nan"),
        ("members.1.accuracy", {"0.0": 740.0}, "`members.1.accuracy.0.0` is 740.0"),
        ("members.1.accuracy", {"best": 74.0}, "`members.1.accuracy.best"),
        ("pretrained", ["x"], "`pretrained` is ['x'] (a list)"),
        ("measured_on", {"split": "test"}, "`measured_on.images` is missing"),
    ],
)
def test_a_bad_pool_json_is_refused_with_its_key(folder: Path, key: str, value: Any, named: str) -> None:
    change(folder, key, value)
    with pytest.raises(PoolError) as raised:
        read_pool(folder, "ada/pool")
    said = str(raised.value)
    assert said.startswith("ada/pool: pool.json")
    assert named in said
    assert "\n" not in said


def test_it_is_refused_before_distillation_begins(folder: Path, home: Path) -> None:
    change(folder, "members.1.accuracy", {"0.0": float("nan")})
    with pytest.raises(PoolError, match="accuracy"):
        run.plan("digits", 1, preset="cpu", pool=str(folder))


def test_what_other_versions_may_say_besides_is_let_be(folder: Path) -> None:
    change(folder, "measured_on", None)
    change_again = json.loads((folder / POOL_FILE).read_text()) | {"more": {"of": [1]}}
    change_again["members"][0] |= {"accuracy": {}, "minutes": 3}
    (folder / POOL_FILE).write_text(json.dumps(change_again))
    assert read_pool(folder, "there").accuracy[0] == {}


@contextmanager
def little_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB; the giant has 4.5 GB


def test_a_pool_that_names_a_giant_is_refused_before_it_is_built(folder: Path) -> None:
    for name, size in ((GIANT, 224), ("convnet-d5-w9999-instance-relu-avg", 128)):
        change_architecture(folder, name, size)
        with little_memory(), pytest.raises(PoolError, match=r"00-init.safetensors has .*; the architecture has "):
            read_pool(folder, "there")


def change_architecture(folder: Path, name: str, size: int) -> None:
    content = json.loads((folder / POOL_FILE).read_text())
    content.pop("sha256", None)
    content["architecture"] |= {"name": name, "resolution": size}
    (folder / POOL_FILE).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "arguments"), [(GIANT, {}), ("ncfm_convnet", {"width": 10**6, "depth": 3, "img_size": 32})]
)
def test_weights_far_smaller_than_their_architecture_are_refused(
    tmp_path: Path, home: Path, name: str, arguments: dict[str, Any]
) -> None:
    described = {"architecture": name, "num_classes": 3, "model_args": arguments, "pretrained_cfg": {"num_classes": 3}}
    (tmp_path / "config.json").write_text(json.dumps(described))
    save_file({"head.weight": torch.zeros(3, 8)}, tmp_path / "model.safetensors")
    place = f"local-dir:{tmp_path}"
    with little_memory(), pytest.raises(PoolError, match="bytes, too few for") as raised:
        run.plan("digits", 1, preset="cpu", overrides={"pool.pretrained": place})
    assert place in str(raised.value)
    assert "\n" not in str(raised.value)


def test_weights_of_half_precision_are_large_enough(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet10t", "num_classes": 3}))
    save_file({"all": torch.zeros(5_000_000, dtype=torch.float16)}, tmp_path / "model.safetensors")
    assert backbone_of(f"local-dir:{tmp_path}") == "resnet10t"
