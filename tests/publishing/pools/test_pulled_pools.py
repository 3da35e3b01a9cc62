"""`pool pull`, `list` and `show`: pools of the Hub come into the cache whole and checked, or not at all."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import ncfm_hub
from ncfm_hub.errors import PoolError
from ncfm_hub.extractors.cache import get_pool, pool_key
from ncfm_hub.extractors.pool import read_pool
from ncfm_hub.publishing import push_folder
from ncfm_hub.recipes.schema import PoolRecipe
from tests.damage import flip
from tests.matching.tiny import tiny_source
from tests.publishing.conftest import Notes, typed
from tests.publishing.noise_sets import write_pool
from tests.publishing.pools.shared import KEY, own_caches, rewrite, upload_pool

RECIPE = PoolRecipe(
    backbone="convnet-d1-w32-instance-relu-avg", size=2, epochs=1, optimizer="adamw", lr=2e-3, schedule="one-cycle"
)


@pytest.fixture(autouse=True)
def pools(tmp_path, monkeypatch) -> Path:
    return own_caches(tmp_path, monkeypatch)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_pool_is_pulled_whole_and_listed_with_its_origin(hub, here, tmp_path, pools):
    folder = write_pool(tmp_path / "pool")
    pushed = push_folder(folder, "ada/pool", repo_type="model")

    hub.api().upload_file(path_or_fileobj=b"x", path_in_repo="sub/00-init.safetensors", repo_id="ada/pool")

    place = f"ada/pool@{pushed.revision}"
    pool = ncfm_hub.pull_pool(place)
    assert pool.origin == place
    assert pool.folder == pools / f"{KEY}-{pool.digest[:16]}"
    assert contents(pool.folder) == contents(folder)
    assert [path.name for path in pools.iterdir()] == [pool.folder.name]
    before = {path: path.stat().st_mtime_ns for path in pool.folder.iterdir()}
    assert ncfm_hub.pull_pool("ada/pool").folder == pool.folder  # at another commit, with the same weights
    assert before == {path: path.stat().st_mtime_ns for path in pool.folder.iterdir()}
    (listed,) = ncfm_hub.list_pools()
    shown = ncfm_hub.show_pool(KEY[:6])
    there = ncfm_hub.show_pool(place)
    assert (listed.place, listed.origin, listed.digest) == (str(pool.folder), place, pool.digest)
    assert shown == listed
    assert replace(there, place=shown.place, size=shown.size) == shown
    assert shown.by_beta() == {"0.0": 89.5, "1.0": 30.0}
    assert (shown.source, shown.architecture, shown.members) == ("tiny", "convnet-d1-w32-instance-relu-avg", 2)


def test_a_damaged_pool_in_the_cache_is_pulled_again(hub, here, tmp_path, pools):
    upload_pool(hub, write_pool(tmp_path / "pool"))
    folder = ncfm_hub.pull_pool("ada/pool").folder
    flip(folder / "01-trained.safetensors")
    with pytest.raises(PoolError, match=r"01-trained\.safetensors is missing or not readable"):
        ncfm_hub.show_pool(str(folder))
    assert ncfm_hub.pull_pool("ada/pool").folder == folder
    assert contents(folder) == contents(tmp_path / "pool")


def swapped(folder: Path) -> None:
    for which in ("init", "trained"):
        shutil.copyfile(folder / f"00-{which}.safetensors", folder / f"01-{which}.safetensors")


def heavy(folder: Path) -> None:
    with open(folder / "01-init.safetensors", "ab") as file:
        file.write(bytes(2 * 2**20))


def unsealed(folder: Path) -> None:
    described = json.loads((folder / "pool.json").read_text())
    del described["sha256"]
    (folder / "pool.json").write_text(json.dumps(described))


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a wrong bit": (lambda folder: flip(folder / "00-init.safetensors"), "00-init.safetensors is .*not what was"),
    "members of another pool": (swapped, "the folder mixes files of two pools"),
    "a digest that is none": (lambda folder: rewrite(folder, digest="../x"), "`digest` is '../x'"),
    "no digest of its own": (unsealed, "pool.json is not readable"),
    "a key that leaves the cache": (lambda folder: rewrite(folder, key="../../escaped"), "expected 32 hex digits"),
    "a hundred thousand members": (
        lambda folder: rewrite(folder, members=[{"accuracy": {}}] * 10**5),
        "`members` is .*at most 1000 items",
    ),
    "one member too many": (lambda folder: rewrite(folder, members=[{"accuracy": {}}] * 3), "02-init.* is missing"),
    "more bytes than weights": (heavy, "01-init.safetensors has 2,.* bytes, and a pool of its architecture at most"),
    "files that are a text": (lambda folder: rewrite(folder, files="../x"), "config.json or model.safetensors is"),
    "another model": (
        lambda folder: shutil.copyfile(folder / "00-init.safetensors", folder / "model.safetensors"),
        "config.json or model.safetensors is missing, or not as pool.json states",
    ),
    "no pool": (lambda folder: (folder / "pool.json").unlink(), "is not an extractor pool: it has no pool.json"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_damaged_or_hostile_is_refused_and_leaves_nothing(case, hub, here, tmp_path, pools):
    damage, says = HOSTILE[case]
    damage(write_pool(tmp_path / "pool"))
    place = upload_pool(hub, tmp_path / "pool")
    with pytest.raises(PoolError, match=says) as refused:
        ncfm_hub.pull_pool("ada/pool")
    assert str(refused.value).startswith(place)
    assert "\n" not in str(refused.value)
    assert not pools.exists() or list(pools.iterdir()) == []
    assert not (tmp_path / "escaped").exists()


def test_places_that_are_none(hub, here):
    for place in ("../..", "../pool", "pool", "a/b/c", "ada/pool/x@main", "/etc"):
        with pytest.raises(PoolError, match=r"is no pool on the Hub; expected owner/name"):
            ncfm_hub.pull_pool(place)
    with pytest.raises(PoolError, match=r"ada/nothing is not on .*, or is private"):
        ncfm_hub.pull_pool("ada/nothing")


def test_without_a_connection_what_was_downloaded_before_is_pulled(hub, here, tmp_path, pools, monkeypatch):
    place = upload_pool(hub, write_pool(tmp_path / "pool"))
    digest = ncfm_hub.pull_pool("ada/pool").digest
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    for named in ("ada/pool", place):
        shutil.rmtree(pools)
        pulled = ncfm_hub.pull_pool(named)
        assert (pulled.origin, pulled.digest) == (place, digest)
    with pytest.raises(PoolError, match=r"the pool cannot be fetched: .*127\.0\.0\.1:9"):
        ncfm_hub.pull_pool("ada/another")


def test_the_key_of_a_pulled_pool_is_found_by_runs(hub, here, tmp_path, pools, engine, monkeypatch):
    """Where none was trained here; what is not as its key says is told, and trained."""
    source = tiny_source()
    trained = get_pool(source, False, RECIPE, engine)
    place = upload_pool(hub, trained.folder)
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "elsewhere"))
    ncfm_hub.pull_pool("ada/pool")
    found = get_pool(source, False, RECIPE, engine)
    assert (found.origin, found.claims_recipe, found.digest) == (place, True, trained.digest)
    other = RECIPE.model_copy(update={"seed": 1})
    claimed = pool_key(source.fingerprint, False, other, RECIPE.backbone, engine)
    upload_pool(hub, write_pool(tmp_path / "liar", members=1, key=claimed), "ada/liar")
    ncfm_hub.pull_pool("ada/liar")
    assert get_pool(source, False, other, engine, here).origin == "trained here"
    assert "is not what its key says" in here.lines[0]


def test_the_commands_say_the_same(hub, here, tmp_path, pools):
    folder = write_pool(tmp_path / "pool")
    done = typed(f"ncfm-hub pool push {folder} --format quiet")
    assert (done.exit_code, done.stdout) == (0, "ada/tiny-ncfm-pool\n"), done.stderr
    done = typed("ncfm-hub pool pull ada/tiny-ncfm-pool --format json")
    assert done.exit_code == 0, done.stderr
    pulled = json.loads(done.stdout)
    assert (pulled["key"], pulled["members"], pulled["mean_accuracy"]) == (KEY, 2, {"0.0": 89.5, "1.0": 30.0})
    assert pulled["digest"] == read_pool(folder, "here").digest
    shown = typed(f"ncfm-hub pool show {KEY}")
    lines = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines())
    assert lines["accuracy"] == "89.5 % at beta 0, 30.0 % at beta 1"
    assert (lines["key"], lines["digest"], lines["origin"]) == (KEY, pulled["digest"], pulled["origin"])
    listed = json.loads(typed("ncfm-hub pool list --hub --format json").stdout)
    assert [row["origin"] for row in listed] == [pulled["origin"]] * 2
    assert [row["place"] for row in listed] == [pulled["place"], pulled["origin"]]
    table = typed("ncfm-hub pool list").stdout.splitlines()
    assert table[0].split() == ["pool", "source", "networks", "classes", "size", "origin"]
    assert len(table) == 2
    again = typed(f"ncfm-hub pool push {KEY[:8]} --repo-id second --format quiet")
    assert (again.exit_code, again.stdout) == (0, "ada/second\n"), again.stderr
    assert ".pulled.json" not in hub.api().list_repo_files("ada/second")
    absent = typed("ncfm-hub pool show 0123456789abcd0f")
    assert absent.exit_code == 1
    assert "is no pool; expected a folder, the key of a pool in the cache" in absent.stderr


def test_what_a_stranger_s_pool_says_is_printed_plainly(hub, here, tmp_path):
    folder = write_pool(tmp_path / "pool")
    rewrite(folder, class_names=["a\x1b[31m\nb", "\u202ec", "d"])
    upload_pool(hub, folder)
    done = typed("ncfm-hub pool show ada/pool")
    assert done.exit_code == 0, done.stderr
    assert "3: a [31m b, c, d" in done.stdout


def test_a_description_of_any_size_is_not_downloaded(hub, here, tmp_path, monkeypatch):
    upload_pool(hub, write_pool(tmp_path / "pool"))
    monkeypatch.setattr("ncfm_hub.extractors.hub_pool._MOST_TEXT", 100)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: pytest.fail("downloaded"))
    with pytest.raises(PoolError, match=r"pool\.json has .* bytes, and a pool of its architecture at most 100"):
        ncfm_hub.show_pool("ada/pool")


def test_a_listing_goes_on_past_what_is_damaged(tmp_path, pools, monkeypatch):
    monkeypatch.setattr("ncfm_hub.publishing.pools.listing.current_token", lambda _: None)
    write_pool(pools / KEY)
    write_pool(pools / f"{KEY[::-1]}", key=KEY[::-1])
    (pools / KEY / "pool.json").write_text("{")
    notes = Notes()
    assert [pool.key for pool in ncfm_hub.list_pools(progress=notes)] == [KEY[::-1]]
    assert KEY in notes.lines[0]
    with pytest.raises(PoolError, match="run `hf auth login`"):
        ncfm_hub.list_pools(hub=True)
