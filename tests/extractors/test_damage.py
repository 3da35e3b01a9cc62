"""A flipped bit in the cache is found, reported and repaired; in a user's pool it is rejected."""

import shutil
from pathlib import Path

import pytest

from ncfm_hub.errors import PoolError
from ncfm_hub.extractors import members
from ncfm_hub.extractors.cache import get_pool
from ncfm_hub.extractors.finding import find_pool
from ncfm_hub.extractors.pool import pool_folder
from ncfm_hub.machine.engine import Engine, open_engine
from ncfm_hub.machine.native import native_library
from ncfm_hub.recipes.schema import PoolRecipe
from tests.damage import Notes, flip, flip_digit
from tests.matching.tiny import tiny_source
from tests.stopping import StopAfter, Stopped

SOURCE = tiny_source(per_class=16, channels=1)
RECIPE = PoolRecipe(
    backbone="convnet-d3-w32-instance-relu-avg",
    size=2,
    epochs=2,
    optimizer="adamw",
    lr=2e-3,
    schedule="one-cycle",
    batch_size=16,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Path:
    """The folder of a pool that must not be touched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NCFM_HUB_CACHE", str(tmp_path_factory.mktemp("whole")))
        return pool_folder(get_pool(SOURCE, False, RECIPE, engine).key)


@pytest.fixture
def folder(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in the cache now used."""
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path))
    shutil.copytree(whole, pool_folder(whole.name))
    return pool_folder(whole.name)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize(
    ("damaged", "trained"),
    [
        ("00-init.safetensors", [0]),
        ("01-trained.safetensors", [1]),
        ("model.safetensors", []),
        ("config.json", []),
        ("pool.json", [0, 1]),
    ],
)
def test_a_wrong_bit_in_a_cached_pool_is_mended(
    damaged: str, trained: list[int], folder: Path, whole: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By training only the members it concerns; without accuracies that can be relied on, all."""
    if damaged.endswith(".json"):
        flip_digit(folder / damaged, '"mean"')
    else:
        flip(folder / damaged)
    begun: list[int] = []
    train = members.train_members
    monkeypatch.setattr(members, "train_members", lambda *given: (begun.extend(given[2]), train(*given))[1])
    notes = Notes()
    pool = get_pool(SOURCE, False, RECIPE, engine, notes)
    assert begun == trained
    assert notes.said[0] == f"the pool in {folder} is damaged; what is not sound of it is trained anew"
    assert contents(folder) == contents(whole)
    assert pool.digest == find_pool(str(whole)).digest
    assert get_pool(SOURCE, False, RECIPE, engine, notes).origin == "cache"


@pytest.mark.parametrize("damaged", ["01-partial.safetensors", "00-trained.safetensors", "00.json"])
def test_a_wrong_bit_in_an_unfinished_pool_is_mended(
    damaged: str, whole: Path, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path))
    folder, notes = pool_folder(whole.name), Notes()
    with pytest.raises(Stopped):  # 3 updates an epoch, 2 epochs: in the second of the second member
        get_pool(SOURCE, False, RECIPE, engine, StopAfter(10))
    if damaged.endswith(".json"):
        flip_digit(folder / damaged, '"0.5"')
    else:
        flip(folder / damaged)
    get_pool(SOURCE, False, RECIPE, engine, notes)
    assert contents(folder) == contents(whole)
    if "partial" in damaged:
        assert "01-partial.safetensors is damaged" in notes.said[0]


@pytest.mark.parametrize("damaged", ["00-init.safetensors", "01-trained.safetensors", "pool.json"])
def test_a_pool_of_the_user_s_with_a_wrong_bit_is_refused(damaged: str, folder: Path) -> None:
    assert len(find_pool(str(folder)).members) == 2
    if damaged.endswith(".json"):
        flip_digit(folder / damaged, '"mean"')
    else:
        flip(folder / damaged)
    with pytest.raises(PoolError, match=rf"{damaged} is .*not readable \(its content is not what was written\)"):
        find_pool(str(folder))


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_a_wrong_bit_in_a_library_is_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flipped bit in machine code computes something else, or crashes: what is damaged is not loaded."""
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path))
    native_library.cache_clear()
    try:
        assert open_engine("fp32", "on").native
        libraries = {path: path.read_bytes() for path in (tmp_path / "native").iterdir()}
        assert len(libraries) == 3
        native_library.cache_clear()
        flip(first := min(libraries), len(libraries[min(libraries)]) // 2)
        notes = Notes()
        assert open_engine("fp32", "on", notes).native
        assert notes.said == [f"{first} is damaged; it is built anew"]
        assert {path: path.read_bytes() for path in (tmp_path / "native").iterdir()} == libraries
        native_library.cache_clear()
        assert open_engine("fp32", "on", notes).native
        assert len(notes.said) == 1
    finally:
        native_library.cache_clear()
