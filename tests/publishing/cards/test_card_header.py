"""The header of a card: what the Hub and `datasets` need, and the licence."""

import re

import pytest

from ncfm_hub.publishing import render_card
from ncfm_hub.publishing.cards.header import LICENSES, license_fields, size_category
from tests.publishing.cards.card_text import card, header
from tests.publishing.noise_sets import described, measured, noise_set, write_folder


def test_the_header_has_what_the_hub_and_datasets_need(tmp_path):
    folder = write_folder(tmp_path, noise_set())
    found = header((folder / "README.md").read_text())
    assert [c["config_name"] for c in found["configs"]] == ["ipc2", "ipc2_stored"]
    assert [c.get("default") for c in found["configs"]] == [True, None]
    assert found["configs"][1]["data_files"] == [{"split": "train", "path": "ipc2/stored/train-*"}]
    splits = [info["splits"][0] for info in found["dataset_info"]]
    assert [(split["name"], split["num_examples"]) for split in splits] == [("train", 24), ("train", 6)]
    shards = [folder / "ipc2" / directory / "train-00000-of-00001.parquet" for directory in ("data", "stored")]
    sizes = [shard.stat().st_size for shard in shards]
    assert [info["download_size"] for info in found["dataset_info"]] == sizes
    assert found["license"] == "cc-by-4.0"
    assert found["source_datasets"] == ["some/insects"]
    assert found["task_categories"] == ["image-classification"]
    assert found["size_categories"] == ["n<1K"]
    assert {"dataset-distillation", "ncfm", "arxiv:2502.20653"} <= set(found["tags"])


def test_keys_keep_their_order_in_the_header():
    names = tuple(f"class {number}" for number in range(12))
    text = render_card(described(noise_set(names)), measured(), repo_id=None)
    assert re.search(r"name: soft_label\n\s+list: float32\n\s+length: 12\n", text)
    ids = re.findall(r"'(\d+)': class \d+", text)
    assert ids == [str(number) for number in range(12)] * 2


@pytest.mark.parametrize(
    ("stated", "fields"),
    [
        ("MIT", {"license": "mit"}),
        (None, {"license": "unknown"}),
        ("  ", {"license": "unknown"}),
        ("unknown", {"license": "unknown"}),
        ("My Own\nLicence: v2", {"license": "other", "license_name": "my-own-licence-v2"}),
        ("</script>", {"license": "other", "license_name": "script"}),
    ],
)
def test_licences(stated, fields):
    assert license_fields(stated) == fields


def test_licence_ids_are_whole():
    assert [one for one in LICENSES if one != one.strip("-")] == []
    assert {"bigcode-openrail-m", "cc-by-nd-4.0", "cc-by-nc-4.0", "other"} <= LICENSES
    assert not {"openrail-m", "by-nd-4.0"} & LICENSES
    assert header(card(license="CC-BY-ND-4.0"))["license"] == "cc-by-nd-4.0"


@pytest.mark.parametrize(
    ("stated", "fields"),
    [
        (("other", "My Own v2", "https://h.org/l"), ("other", "my-own-v2", "https://h.org/l")),
        (("Other", "x", "LICENSE.md"), ("other", "x", None)),
        (("other", None, None), ("other", None, None)),
        (("mine", "My Own v2", None), ("other", "my-own-v2", None)),
        (("mine", None, "http://h.org"), ("other", "mine", "http://h.org")),
        ((None, "mine", None), ("other", "mine", None)),
        ((None, None, "https://h.org/l"), ("other", None, "https://h.org/l")),
        (("mit", "MIT", "https://h.org/l"), ("mit", None, None)),  # the Hub knows both of its own
    ],
)
def test_a_licence_of_the_sources_own_keeps_its_name_and_link(stated, fields):
    found = license_fields(*stated)
    keys = ("license", "license_name", "license_link")
    assert found == {key: value for key, value in zip(keys, fields, strict=True) if value is not None}


def test_the_card_states_name_and_link_of_a_licence():
    text = card(license="other", license_name="My Own: v2", license_link="https://h.org/a_b?c=1&d=2#e")
    found = header(text)
    assert (found["license"], found["license_name"]) == ("other", "my-own-v2")
    assert found["license_link"] == "https://h.org/a_b?c=1&d=2#e"
    assert "states the licence `other`, `My Own: v2`, <https://h.org/a_b?c=1&d=2#e>; this dataset" in text
    assert "states the licence `other`; this dataset" in card(license="other")
    assert "states no licence" in card(license=None)


def test_size_categories_change_at_their_bounds():
    assert [size_category(n) for n in (999, 1000, 99_999, 100_000)] == ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M"]


def test_a_local_source_is_not_named_as_a_hub_dataset():
    text = card(dataset="/home/ada/photos", is_local=True)
    assert "source_datasets" not in header(text)
    assert "`/home/ada/photos` (a local folder)" in text
