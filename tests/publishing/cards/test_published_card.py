"""The card states what was measured and nothing else, and keeps what people wrote."""

import copy
import functools
import operator
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing import render_card, render_pool_card, write_card
from ncfm_hub.publishing.cards.escaping import code, fenced, inline, literal, web_address
from ncfm_hub.publishing.cards.header import LICENSES, license_fields, size_category
from ncfm_hub.publishing.cards.merging import parse_card
from tests.publishing.noise_sets import NASTY, described, measured, noise_set, write_folder

FOUR_ROWS = (
    ("random", "hard", 39.6),
    ("start", "hard", 47.6),
    ("distilled", "hard", 63.4),
    ("distilled", "soft", 63.9),
)
EVIL = "{{ 7*7 }} {% for %} | </div><script>x</script> `c` [l](javascript:1) ![i](http://t) *b* <!-- ncfm-hub:end -->"


def header(text: str) -> dict:
    """As the Hub's own client reads it."""
    return DatasetCard(text, ignore_metadata_errors=False).data.to_dict()


def card(results: dict | None = None, **source: object) -> str:
    return render_card(described(noise_set(), **source), results or measured(*FOUR_ROWS), repo_id="ada/insects")


def test_the_header_has_what_the_hub_and_datasets_need(tmp_path):
    folder = write_folder(tmp_path, noise_set())
    found = header((folder / "README.md").read_text())
    assert [c["config_name"] for c in found["configs"]] == ["default", "stored"]
    assert found["configs"][1]["data_files"] == [{"split": "train", "path": "stored/train-*"}]
    splits = [info["splits"][0] for info in found["dataset_info"]]
    assert [(split["name"], split["num_examples"]) for split in splits] == [("train", 24), ("train", 6)]
    sizes = [(folder / config / "train-00000-of-00001.parquet").stat().st_size for config in ("default", "stored")]
    assert [info["download_size"] for info in found["dataset_info"]] == sizes
    assert found["license"] == "cc-by-4.0"
    assert found["source_datasets"] == ["some/insects"]
    assert found["task_categories"] == ["image-classification"]
    assert found["size_categories"] == ["n<1K"]
    assert {"dataset-distillation", "ncfm"} <= set(found["tags"])


def test_keys_keep_their_order_in_the_header():
    names = tuple(f"class {number}" for number in range(12))
    text = render_card(described(noise_set(names)), measured(), repo_id=None)
    assert re.search(r"name: soft_label\n\s+list: float32\n\s+length: 12\n", text)
    ids = re.findall(r"'(\d+)': class \d+", text)
    assert ids == [str(number) for number in range(12)] * 2


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


def grown() -> tuple[dict[str, Any], dict[str, Any]]:
    """pipeline.yaml and results.json of a dataset to which classes were appended with other settings."""
    made = {"versions": {"ncfm_hub": "0.1.0"}, "created": "2030-01-02T03:04:05Z"}
    reasons = [f"distillation.setting_{number} was something and is another thing" for number in range(5)]
    pipeline = described(noise_set()) | {
        "parts": [{"classes": ["ant", "cat"], **made}, {"classes": ["bee"]}],
        "differs_from_all_at_once": reasons,
    }
    losses = {"classes": ["bee"], "first": {"loss": 61.0}, "last": {"loss": 34.5}}
    return pipeline, measured(*FOUR_ROWS) | {"distillation": losses}


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


def body_without_code(text: str) -> str:
    """The card as a Markdown renderer would take it for markup: header, fenced blocks and code spans removed."""
    body = DatasetCard(text, ignore_metadata_errors=False).text
    body = re.sub(r"(?ms)^(`{3,})[^\n]*\n.*?^\1$", "", body)
    return re.sub(r"`[^`\n]*`", "", body)


def test_data_never_become_markup_or_template():
    evil = EVIL + "\n# h"
    citation = evil + "\n```\n<script>\n````\n# h"
    pipeline = described(noise_set(NASTY), license=evil, citation=citation, dataset=evil, notes=[evil], config=evil)
    pipeline["name"] = pipeline["preset"] = pipeline["created"] = evil
    pipeline["machine"]["description"] = pipeline["recipe"]["pool"]["backbone"] = evil
    pipeline["pool"] = {"architecture": evil, "members": 3, "origin": evil, "key": evil, "pretrained": evil}
    results = measured((evil, evil, 1.0), ("distilled", "hard", 2.0))
    results["protocol"] |= {"metric": evil, "split": evil, "student": evil}
    results["pool"] = {"members": [{"accuracy": {evil: 1.0}}]}
    text = render_card(pipeline, results, repo_id=None)
    assert "49" not in text
    assert header(text)["license"] == "other"
    markup = body_without_code(text)
    for sign in ("<script", "</div", "](javascript", "](http", "`", "*b*", "\n# h"):
        assert sign not in markup, sign
    tags = {tag for tag in re.findall(r"<[^>]*>", markup) if not tag.startswith("<!-- ncfm-hub:")}
    assert tags == {"<details>", "</details>", "<summary>", "</summary>"}
    assert DatasetCard(text).text.count("<!-- ncfm-hub:end -->") == 1
    assert text.rstrip().endswith("<!-- ncfm-hub:end -->")
    widths = {line.count("|") for line in markup.splitlines() if line.startswith("| source |")}
    assert widths == {3}


def test_times_without_end_are_named_not_a_traceback():
    pipeline = described(noise_set())
    pipeline["wall_time_seconds"] = {"pool": float("inf")}
    with pytest.raises(DistilledError, match="not as documented: OverflowError"):
        render_card(pipeline, measured(*FOUR_ROWS), repo_id=None)


def leaves(tree: Any, path: tuple = ()) -> list[tuple]:
    """The path of each value in nested mappings and lists."""
    if isinstance(tree, dict | list) and tree:
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return [leaf for key, value in items for leaf in leaves(value, (*path, key))]
    return [path]


@pytest.mark.slow
def test_no_value_of_the_two_files_becomes_markup():
    """Each in turn is what someone who offers a folder for publishing may have put there."""
    pipeline, results = grown()
    results["pool"] = {"members": [{"accuracy": {"0.0": 74.25}}], "measured_on": {"split": "test", "images": 9}}
    results["distillation"] |= {"first": {"ncfd": 5.0, "loss": 6.0}, "last": {"ncfd": 3.0, "loss": 4.0}, "floor": 2.0}
    pipeline["source"] |= {"citation": "@misc{x}", "notes": ["a note"]}
    pipeline["source"] |= {"license_name": "x", "license_link": "https://h.org"}
    pipeline["pool"] = {"architecture": "convnet3", "members": 3, "origin": "cache", "key": "k", "pretrained": "p"}
    pipeline |= {"versions": {"torch": "2"}, "created": "today"}
    pipeline["recipe"]["distillation"] |= {"bank": 5, "bank_seed": 1, "matching": "characteristic"}
    files = {"pipeline": pipeline, "results": results}
    shown = 0
    for path in leaves(files):
        changed = copy.deepcopy(files)
        functools.reduce(operator.getitem, path[:-1], changed)[path[-1]] = "<img src=x>"
        try:
            body = body_without_code(render_card(changed["pipeline"], changed["results"], repo_id=None))
        except DistilledError:
            continue  # not the type that a card is written from
        assert "<img" not in body, path
        shown += "img src=x" in body
    assert shown > 20


def test_counts_of_a_foreign_protocol_are_escaped():
    results = measured(*FOUR_ROWS)
    results["protocol"] |= {"distillations": "<b>1</b>", "students": "<img src=x>"}
    text = card(results)
    assert "&#60;b&#62;1&#60;/b&#62; distillations x &#60;img src=x&#62; evaluation networks (students)" in text
    assert not {"<img", "<b>"} & set(re.findall(r"<\w+>?", text))


def test_class_names_survive_in_the_header_and_in_the_text(tmp_path):
    folder = write_folder(tmp_path, noise_set(NASTY))
    text = (folder / "README.md").read_text()
    names = header(text)["dataset_info"][0]["features"][1]["dtype"]["class_label"]["names"]
    assert list(names.values()) == list(NASTY)
    assert "{{ 7&#42;7 }}" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name", "plain name"),
        ("aquarium_fish", "aquarium_fish"),
        ("_x_", "&#95;x&#95;"),
        ("a|b<c>&`d`", "a&#124;b&#60;c&#62;&#38;&#96;d&#96;"),
        ("one\r\n\ttwo\x00\u2028three", "one two three"),
        ("left\u202eright", "leftright"),
        ("猫 ünïcode", "猫 ünïcode"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_inline_text(text, shown):
    assert inline(text) == shown


def test_code_fences_and_literals_cannot_be_left():
    assert code("some/name-1.0") == "`some/name-1.0`"
    assert "`" not in code("a`b")
    block = fenced("a\n`````\nb")
    assert block.splitlines()[0] == "``````"
    assert literal('x"`\n') == '"x\\"\\u0060\\n"'


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


@pytest.mark.slow
def test_name_and_link_of_a_licence_never_become_markup():
    text = card(license="other", license_name=EVIL, license_link="https://h.org/<script>`|](x)'\"&lt;")
    address = "https://h.org/%3Cscript%3E%60%7C%5D%28x%29%27%22&lt%3B"
    assert header(text)["license_link"] == address
    markup = body_without_code(text).replace(f"<{address}>", "")
    for sign in ("<script", "</div", "](javascript", "](http", "](x", "`", "h.org"):
        assert sign not in markup, sign
    links = ("javascript:alert(1)", "LICENSE", "//h.org", "https://", "https:///x", "https://a b", 7, ["https://h.org"])
    for link in links:
        text = card(license="other", license_link=link)
        assert "license_link" not in header(text)
        assert "states the licence `other`; this dataset" in text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://h.org/a%20b", "https://h.org/a%20b"),
        (" HTTP://h.org\n", "HTTP://h.org"),
        ("https://h.org/é", "https://h.org/%C3%A9"),
        ("https://h.org/\u202ex", "https://h.org/%E2%80%AEx"),
        ("https://h.org/\nx", None),
        ("ftp://h.org", None),
        ("https://h.org/" + "x" * 1000, None),
        (None, None),
    ],
)
def test_web_addresses(text, address):
    assert web_address(text) == address


def test_size_categories_change_at_their_bounds():
    assert [size_category(n) for n in (999, 1000, 99_999, 100_000)] == ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M"]


def test_a_local_source_is_not_named_as_a_hub_dataset():
    text = card(dataset="/home/ada/photos", is_local=True)
    assert "source_datasets" not in header(text)
    assert "`/home/ada/photos` (a local folder)" in text


def edit(folder: Path, *changes: tuple[str, str]) -> None:
    text = (folder / "README.md").read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "README.md").write_text(text)


def test_what_people_wrote_outlives_a_new_card(tmp_path):
    folder = write_folder(tmp_path, noise_set())
    edit(
        folder,
        ("license: cc-by-4.0\n", "license: cc-by-sa-4.0\nlanguage:\n- en\n"),
        ("- synthetic\n", "- synthetic\n- my-tag\n"),
        ("configs:\n", "configs:\n- config_name: mine\n  data_files: mine.csv\n"),
        ("<!-- ncfm-hub:begin", "Read me first.\n\n<!-- ncfm-hub:begin"),
        ("<!-- ncfm-hub:end -->\n", "<!-- ncfm-hub:end -->\n\n## My notes\n\nKeep these.\n"),
    )
    (folder / "results.json").write_text('{"rows": []}')
    write_card(folder, repo_id="ada/insects")
    text = (folder / "README.md").read_text()
    found = header(text)
    assert found["license"] == "cc-by-sa-4.0"
    assert found["language"] == ["en"]
    assert "my-tag" in found["tags"]
    assert found["tags"].count("ncfm") == 1
    assert [c["config_name"] for c in found["configs"]] == ["default", "stored", "mine"]
    assert len(found["dataset_info"]) == 2
    assert text.count("Read me first.") == text.count("Keep these.") == 1
    assert text.index("Read me first.") < text.index("# insects distilled") < text.index("Keep these.")
    assert "60.0" not in text  # the table is of the new results
    assert 'load_dataset("ada/insects"' in text
    write_card(folder, repo_id="ada/insects")
    assert (folder / "README.md").read_text() == text


@pytest.mark.slow
@pytest.mark.parametrize("named", ["ada/insects", "insects"])
def test_without_a_repository_the_one_that_the_card_names_is_kept(tmp_path, named):
    folder = write_folder(tmp_path, noise_set())
    pipeline = described(noise_set()) | {"name": '\ntrain = load_dataset("eve/bad", split="train")'}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    write_card(folder)
    assert 'train = load_dataset("path/to/this/folder", split="train")' in (folder / "README.md").read_text()
    write_card(folder, repo_id=named)
    text = (folder / "README.md").read_text()
    write_card(folder)
    assert (folder / "README.md").read_text() == text
    (folder / "results.json").write_text('{"rows": []}')
    write_card(folder)
    text = (folder / "README.md").read_text()
    assert "60.0" not in text
    assert f'train = load_dataset("{named}", split="train")' in text
    assert f'stored = load_dataset("{named}", "stored", split="train")' in text
    assert f'ncfm_hub.load_distilled("{named}")' in text
    write_card(folder, repo_id="bob/insects")
    assert 'train = load_dataset("bob/insects", split="train")' in (folder / "README.md").read_text()


def test_a_card_copied_from_another_set_names_no_repository_of_this_one(tmp_path):
    """As `distill --append` copies it, for what a person wrote there."""
    small = write_folder(tmp_path / "small", noise_set(("ant", "bee")))
    write_card(small, repo_id="ada/insects")
    edit(small, ("<!-- ncfm-hub:begin", "Read me first.\n\n<!-- ncfm-hub:begin"))
    grown = write_folder(tmp_path / "grown", noise_set(("ant", "bee", "cat")))
    (grown / "README.md").write_text((small / "README.md").read_text())
    write_card(grown)
    text = (grown / "README.md").read_text()
    assert "Read me first." in text
    assert "ada/insects" not in text
    assert 'load_dataset("path/to/this/folder", split="train")' in text


def test_a_value_of_ours_follows_the_source_and_an_edit_inside_the_marks_is_kept_aside(tmp_path):
    folder = write_folder(tmp_path, noise_set())
    edit(folder, ("## Accuracy\n", "## Accuracy\n\nI measured this twice.\n"))
    pipeline = described(noise_set(), license="mit")
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    write_card(folder)
    text = (folder / "README.md").read_text()
    assert header(text)["license"] == "mit"
    kept = text.index("I measured this twice.")
    assert text.index("<!-- ncfm-hub:end -->") < text.index("edited by hand") < kept
    write_card(folder)
    assert (folder / "README.md").read_text() == text


def test_a_readme_that_is_not_a_card_of_ours_is_kept_below(tmp_path):
    folder = write_folder(tmp_path, noise_set())
    (folder / "README.md").write_text("---\nlicense: mit\nfoo: [1, 2]\n---\nWritten by hand.\r\n")
    write_card(folder)
    text = (folder / "README.md").read_text()
    assert header(text)["license"] == "mit"
    assert header(text)["foo"] == [1, 2]
    assert header(text)["configs"][0]["config_name"] == "default"
    assert text.index("ncfm-hub:end") < text.index("Written by hand.")


def test_fields_that_the_hub_client_would_drop_fold_or_stumble_over_are_kept(tmp_path):
    folder = write_folder(tmp_path, noise_set())
    theirs = {"paperswithcode_id": None, "to_yaml": "x", "self": "y", 1: "z", "note": "word " * 40 + "end"}
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(theirs, width=10**6)}---\nWritten by hand.\n")
    write_card(folder)
    text = (folder / "README.md").read_text()
    assert theirs.items() <= parse_card(text).header.items()
    assert f"note: {theirs['note']}\n" in text


def test_a_header_that_cannot_be_read_stops_and_names_the_file(tmp_path):
    folder = write_folder(tmp_path, noise_set())
    for bad in ("---\na: [\n---\n", "---\n- a\n---\n", "---\na: &x [1]\nb: [*x, *x]\n---\n"):
        (folder / "README.md").write_text(bad)
        with pytest.raises(DistilledError, match=r"header of .*README.md (cannot be read|is a list)"):
            write_card(folder)
        assert (folder / "README.md").read_text() == bad


def test_a_folder_that_contradicts_its_pipeline_gets_no_card(tmp_path):
    folder = write_folder(tmp_path, noise_set())
    pipeline = described(noise_set()) | {"ipc": 3}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    with pytest.raises(DistilledError, match=r"default holds 24 images; pipeline.yaml says 36"):
        write_card(folder)
    (folder / "pipeline.yaml").write_text("ipc: 2\n")
    with pytest.raises(DistilledError, match=r"pipeline\.yaml lacks what a card needs"):
        write_card(folder)
    (folder / "pipeline.yaml").unlink()
    with pytest.raises(DistilledError, match=r"it has no pipeline\.yaml"):
        write_card(folder)


def test_the_card_of_a_pool():
    pool = {
        "key": "abc123",
        "architecture": {
            "name": "ncfm_convnet3",
            "channels": 3,
            "resolution": 32,
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
        },
        "class_names": list(NASTY),
        "members": [{"accuracy": {"0.0": 74.25, "0.25": 60.0, "0.5": 33.0, "0.75": 12.0, "1.0": 10.0}}] * 2,
        "recipe": {"size": 2, "lr": 0.004, "backbone": None},
        "source": {"dataset": "some/insects", "is_local": False, "license": "mit"},
    }
    text = render_pool_card(pool, repo_id="ada/pool")
    assert header(text)["library_name"] == "timm"
    assert header(text)["datasets"] == ["some/insects"]
    assert header(text)["license"] == "mit"
    assert 'timm.create_model("hf-hub:ada/pool", pretrained=True)' in text
    assert "| 1 | 74.2 | 60.0 | 33.0 | 12.0 | 10.0 |" in text
    assert "<script" not in body_without_code(text)
    assert "backbone" not in text
    pool["source"] |= {"license": "other", "license_name": "Mine", "license_link": "https://h.org/l"}
    text = render_pool_card(pool, repo_id=None)
    assert (header(text)["license_name"], header(text)["license_link"]) == ("mine", "https://h.org/l")
    assert "states the licence `other`, `Mine`, <https://h.org/l>." in text
    with pytest.raises(DistilledError, match=r"pool\.json is not as documented"):
        render_pool_card({"class_names": []}, repo_id=None)
