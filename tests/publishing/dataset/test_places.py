"""Where distilled datasets lie in a folder, which one is meant, and the former layout."""

from pathlib import Path

import pytest

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing import load_distilled, write_card
from ncfm_hub.publishing.cards.merging import parse_card
from ncfm_hub.publishing.dataset.conversion import convert
from ncfm_hub.publishing.dataset.folders import check_beside
from ncfm_hub.publishing.dataset.place import SetPlace, find_set, finished_in, places_in
from ncfm_hub.utils.progress import Silent
from tests.publishing.conftest import Notes
from tests.publishing.dataset.test_published_data import LOAD, check_loaded
from tests.publishing.noise_sets import noise_set, write_folder, write_former, write_set


@pytest.fixture
def several(tmp_path: Path) -> Path:
    root = tmp_path / "several"
    for ipc in (10, 2, 1):
        write_folder(root, noise_set(ipc=ipc))
    return root


def test_they_are_found_in_the_order_of_their_numbers(several):
    (several / "notes").mkdir()
    (several / "ipc50" / ".ncfm").mkdir(parents=True)
    assert [place.name for place in finished_in(several)] == ["ipc1", "ipc2", "ipc10"]
    assert [place.name for place in places_in(several)] == ["ipc1", "ipc2", "ipc10", "ipc50"]


def test_one_is_named_or_else_the_default_of_the_card(several, monkeypatch):
    assert load_distilled(several).ipc == 10, "the first that was made"
    assert load_distilled(several, "ipc1").ipc == load_distilled(several / "ipc1").ipc == 1
    write_card(several, default="ipc2")
    assert load_distilled(several).ipc == 2
    (several / "README.md").unlink()
    assert load_distilled(several).ipc == 1, "no card: the first by name"
    with pytest.raises(DistilledError, match=r"holds no distilled dataset 'ipc3'; there: ipc1, ipc2, ipc10$"):
        load_distilled(several, "ipc3")
    monkeypatch.chdir(several / "ipc2")
    assert find_set(Path()) == SetPlace(several, "ipc2")


def test_a_clean_process_loads_each_and_the_default(several, client):
    for ipc in (1, 2, 10):
        found = client(LOAD, {"HF_HUB_OFFLINE": "1"}, several, f"ipc{ipc}", ours=False)
        check_loaded(found, noise_set(ipc=ipc))


def test_those_in_one_folder_share_a_source(several):
    check_beside(SetPlace(several, "ipc3"), "some/insects")
    with pytest.raises(DistilledError, match="share a source: name another by --output"):
        check_beside(SetPlace(several, "ipc3"), "other/birds")


def test_a_default_of_a_person_stays_the_only_one(tmp_path):
    root = write_folder(tmp_path / "set", noise_set())
    text = (root / "README.md").read_text()
    (root / "README.md").write_text(
        text.replace("configs:\n", "configs:\n- config_name: default\n  data_files: a.csv\n")
    )
    write_card(root)
    header = parse_card((root / "README.md").read_text()).header
    assert [entry["config_name"] for entry in header["configs"]] == ["ipc2", "ipc2_stored", "default"]
    assert not any(entry.get("default") for entry in header["configs"])


def test_what_is_gone_leaves_the_card(several):
    (several / "ipc10" / "pipeline.yaml").unlink()
    write_card(several)
    header = parse_card((several / "README.md").read_text()).header
    names = ["ipc1", "ipc1_stored", "ipc2", "ipc2_stored"]
    assert [entry["config_name"] for entry in header["configs"]] == names
    assert [entry["config_name"] for entry in header["dataset_info"]] == names
    assert header["configs"][0]["default"] is True


# --- the former layout -------------------------------------------------------------------------------------------


@pytest.fixture
def former(tmp_path: Path) -> Path:
    root = write_former(tmp_path / "former", noise_set())
    (root / "nas.json").write_text("{}")
    (root / "results-1.json").write_text("{}")
    (root / "notes.txt").write_text("mine")
    (root / ".ncfm").mkdir()
    return root


def test_a_folder_of_the_former_layout_is_read_as_it_is(former):
    before = sorted(former.rglob("*"))
    for named in ((former,), (former, "ipc2")):
        assert load_distilled(*named).digest == noise_set().digest
    with pytest.raises(DistilledError, match="holds no distilled dataset 'ipc1'; there: one of the former layout"):
        load_distilled(former, "ipc1")
    assert sorted(former.rglob("*")) == before


def test_it_is_converted_with_all_that_is_its_own(former):
    notes = Notes()
    convert(former, notes)
    files = {path.relative_to(former).as_posix() for path in former.rglob("*")}
    shards = {f"ipc2/{directory}/train-00000-of-00001.parquet" for directory in ("data", "stored")}
    own = (
        "distilled.safetensors",
        "pipeline.yaml",
        "results.json",
        "results-1.json",
        "preview.png",
        "nas.json",
        ".ncfm",
    )
    expected = (
        {"README.md", "notes.txt", "ipc2", "ipc2/data", "ipc2/stored"} | {f"ipc2/{name}" for name in own} | shards
    )
    assert files == expected
    assert notes.lines == [f"{former} had the former layout; its distilled dataset lies in {former / 'ipc2'} now"]
    convert(former, notes)
    assert len(notes.lines) == 1, "nothing is left to do"
    write_card(former)
    text = (former / "README.md").read_text()
    assert "Written by a person." in text
    names = [entry["config_name"] for entry in parse_card(text).header["configs"]]
    assert names == ["ipc2", "ipc2_stored"]


def test_an_unfinished_run_of_the_former_layout_is_moved_too(tmp_path):
    (tmp_path / ".ncfm").mkdir()
    (tmp_path / ".ncfm" / "distillation.safetensors").write_bytes(b"x")
    convert(tmp_path, Silent(), "ipc5")
    assert (tmp_path / "ipc5" / ".ncfm" / "distillation.safetensors").read_bytes() == b"x"
    assert not (tmp_path / ".ncfm").exists()


def test_nothing_is_overwritten_by_a_conversion(former):
    write_set(former / "ipc2", noise_set(seed=1))
    with pytest.raises(DistilledError, match=r"ipc2 is taken; move one"):
        convert(former, Silent())
    assert (former / "pipeline.yaml").is_file()
