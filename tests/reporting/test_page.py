"""The page: self-contained, escaped, and without claims that were not measured."""

import itertools
import json
import os
import re
from pathlib import Path

import pytest
import torch
import yaml

from ncfm_hub.errors import DistilledError
from ncfm_hub.reporting import write_report
from tests.publishing.noise_sets import NASTY, described, measured, noise_set, write_folder
from tests.reporting.pages import Page, everything, two_images

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style></title><base href=//h>",
    "{% include '/etc/passwd' %}",
    "n" * 300,
    *NASTY,
)
SECTIONS = ["Images", "Accuracy", "Accuracy by class", "Across architectures", "DD-Ranking", "Loss", "How it was made"]
_TAGS = (
    "html head meta title link style body main header article section footer h1 h2 h3 p ul ol li b i small code bdi "
    "span div figure figcaption img table caption thead tbody tr th td svg g path details summary strong"
)


def page_of(folder: Path, **options: object) -> Page:
    return Page(write_report(folder, folder.parent / "page.html", **({"start": False} | options)).read_text("utf-8"))


def edit(path: Path, **changes: object) -> None:
    """Change keys at the top of a YAML or JSON file."""
    path.write_text(json.dumps(yaml.safe_load(path.read_text()) | changes))


def test_everything_that_was_measured_is_there(tmp_path):
    write_folder(tmp_path / "set", noise_set(), everything(3))
    page = page_of(tmp_path / "set")
    text = page.text()
    assert page.headings() == SECTIONS
    assert "insects, 2 images per class" in text
    assert "6 stored images for 3 classes, 8 × 8 pixels, RGB" in text
    assert "Top-1 accuracy in percent at the last epoch on the source's test split (360 images)" in text
    for mean in ("31.0", "42.5", "61.2", "64.0", "35.5", "85.0", "52.5"):  # the last by AlexNet
        assert mean in text
    for figure in ("+23.8", "+33.0", "0.290", "0.412", "29.5", "17.75", "34.05"):
        assert figure in text
    assert "cc-by-4.0" in text
    assert "Calibration weight w = 5" in text


def test_what_was_not_measured_is_left_out(tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    (folder / "ipc2" / "results.json").unlink()
    page = page_of(folder)
    assert page.headings() == ["Images", "How it was made"]
    assert "%" not in page.text()
    assert not [tag for tag, _ in page.tags if tag == "svg"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "section"),
    [
        ("rows", "Accuracy"),
        ("cross_architecture", "Across architectures"),
        ("ranking", "DD-Ranking"),
        ("distillation", "Loss"),
    ],
)
def test_each_part_stands_alone(tmp_path, missing, section):
    results = everything(3)
    del results[missing]
    gone = {section, "Accuracy by class"} if missing == "rows" else {section}
    folder = write_folder(tmp_path / "set", noise_set(), results)
    assert page_of(folder).headings() == [name for name in SECTIONS if name not in gone]


def test_the_same_input_gives_the_same_bytes(tmp_path):
    folder = write_folder(tmp_path / "set", noise_set(), everything(3))
    one, two = (write_report(folder, tmp_path / name, start=False).read_bytes() for name in ("1.html", "2.html"))
    assert one == two


def hostile_folder(folder: Path) -> Path:
    """A dataset in which every text that a third party controls is hostile."""
    text = "".join(HOSTILE[:4])
    results = everything(len(HOSTILE))
    for row in (*results["rows"], *results["cross_architecture"]):
        row |= {"set": text + row["set"], "labels": text + row["labels"]}
    for row in results["cross_architecture"]:
        row["student"] += text
    results["distillation"]["classes"] = [*HOSTILE]
    results["protocol"] |= {"metric": text, "split": text, "student": text}
    results["ranking"]["labels"] = text
    write_folder(folder, noise_set(HOSTILE), results)
    source = described(noise_set(HOSTILE))["source"]
    bad = {"dataset": text, "revision": text, "license": text, "license_name": text, "notes": [text]}
    link = "https://h/?a=1&b=<script>" + '"onclick="alert(1)'
    edit(folder / "ipc2" / "pipeline.yaml", name=text, preset=text, created=text, versions={text: text})
    parts = [{"classes": [name], "created": text, "versions": {"ncfm_hub": text}} for name in HOSTILE]
    edit(folder / "ipc2" / "pipeline.yaml", parts=parts, differs_from_all_at_once=[*HOSTILE])
    edit(folder / "ipc2" / "pipeline.yaml", source=source | bad | {"license_link": link}, machine={"device": text})
    return folder


def test_nothing_in_a_page_is_loaded_from_elsewhere_or_run(tmp_path):
    page = page_of(hostile_folder(tmp_path / "set"))
    assert {tag for tag, _ in page.tags} <= {*_TAGS.split(), "a"}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert all(value.startswith("data:image/png;base64,") for value in page.attributes("src"))
    (icon,) = [attrs for tag, attrs in page.tags if tag == "link"]
    assert (icon["rel"], icon["href"]) == ("icon", "data:,")
    (licence,) = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert licence == "https://h/?a=1&b=%3Cscript%3E%22onclick=%22alert%281%29"
    assert {name for _, attrs in page.tags for name in attrs if "src" in name or "href" in name} == {"src", "href"}
    style = " ".join(page.inside("style") + page.attributes("style"))
    assert "url(" not in style
    assert "@import" not in style
    policy = next(attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.split("; ")[:3] == ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"]


def test_names_are_text_and_nothing_else(tmp_path):
    page = page_of(hostile_folder(tmp_path / "set"))
    names = page.inside("bdi")
    assert all(name in names for name in HOSTILE[:5])
    assert "n" * 199 + "…" in names
    assert "two lines --- x: y" in names
    assert all(re.fullmatch(r"[-\w ]+", value) for value in page.attributes("class"))
    number = r"-?[\d.]+(e-\d+)?"
    assert all(re.fullmatch(rf"((--)?[a-z]+:{number}%?;?)+", value) for value in page.attributes("style"))


def test_letters_that_turn_text_round_are_taken_out(tmp_path):
    folder = write_folder(tmp_path / "set", noise_set(("\u202eevil\u2066", "\u200fgood", "plain")), everything(3))
    text = write_report(folder, tmp_path / "page.html", start=False).read_text("utf-8")
    assert not set(text) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
    assert {"evil", "good", "plain"} <= set(Page(text).inside("bdi"))


def test_a_baseline_that_does_as_well_is_said(tmp_path):
    rows = (("distilled", "hard", 40.0), ("random", "hard", 45.0))
    page = page_of(write_folder(tmp_path / "set", noise_set(), measured(*rows)))
    assert "Random real images did as well as the distilled dataset or better" in page.text()
    assert "40.0 against 45.0" in page.text()


def settings_on(page: Page) -> dict[str, str]:
    """The recipe, and what else stands in tables of two columns."""
    pairs = itertools.pairwise(page.texts)
    return {name: value for (one, name), (other, value) in pairs if (one, other) == ("th", "td")}


@pytest.mark.slow
def test_the_recipe_is_that_of_the_figures_beside_it(tmp_path):
    """As after `evaluate --update` under another protocol, with extractors that another recipe trained."""
    results = measured(("distilled", "hard", 60.0), n=2)
    results["protocol"]["recipe"] = {"updates": 1200, "lr": 0.01, "batch_size": 100, "unheard_of": 3}
    folder = write_folder(tmp_path / "set", noise_set(), results)
    recipe = described(noise_set())["recipe"]
    recipe["evaluation"] = {"students": 5, "updates": None, "epochs": 20, "lr": 0.001, "batch_size": 128}
    edit(folder / "ipc2" / "pipeline.yaml", recipe=recipe, pool={"origin": "cache"})
    found = settings_on(page_of(folder))
    of_evaluation = {name: value for name, value in found.items() if name.startswith("evaluation.")}
    assert of_evaluation == {
        "evaluation.students": "2",
        "evaluation.updates": "1200",
        "evaluation.lr": "0.01",
        "evaluation.batch_size": "100",
    }
    assert (found["source.dataset"], found["pool.size"], found["distillation.steps"]) == ("some/insects", "3", "500")
    edit(folder / "ipc2" / "pipeline.yaml", pool={"origin": "ada/pool"})
    given = settings_on(page_of(folder))
    assert given == {name: value for name, value in found.items() if not name.startswith("pool.")}


def test_a_grown_set_is_said_to_be_one(tmp_path):
    """In the words of the card."""
    results = everything(3)
    folder = write_folder(tmp_path / "set", noise_set(), results)
    whole = page_of(folder).text()
    results["distillation"]["classes"] = ["bee"]
    made = {"versions": {"ncfm_hub": "0.1.0"}, "created": "2030-01-02T03:04:05Z"}
    parts = [{"classes": ["ant", "<cat>"], **made}, {"classes": ["bee"]}]
    reasons = ["the extractor pool is not the one the dataset was made with", "*steps* were 3 and are 2"]
    (folder / "ipc2" / "results.json").write_text(json.dumps(results))
    edit(folder / "ipc2" / "pipeline.yaml", parts=parts, differs_from_all_at_once=reasons)
    page = page_of(folder)
    text = page.text()
    assert "Loss Loss over the classes added last, bee: loss" in text
    assert "The classes, numbered in the order of the source, were added in 2 parts, each distilled separately." in text
    assert "ant, <cat> (2030-01-02T03:04:05Z, by ncfm-hub 0.1.0)" in page.inside("li")
    assert "The images may differ from those of one distillation of all classes" in page.inside("strong")
    assert f": {'; '.join(reasons)}." in page.inside("li")
    assert "versions given here are those of the last part; pipeline.yaml has those of each" in text
    edit(folder / "ipc2" / "pipeline.yaml", differs_from_all_at_once=[])
    assert "The images are bit-identical to one distillation of all classes." in page_of(folder).text()
    assert "added last" not in whole
    assert "one distillation of all" not in whole


def test_several_sets_stand_side_by_side(tmp_path):
    results = (measured(("distilled", "hard", mean)) for mean in (51.5, 62.5))
    folders = [write_folder(tmp_path / name, noise_set(), found) for name, found in zip("ab", results, strict=True)]
    page = Page(write_report(folders, tmp_path / "page.html", start=False).read_text("utf-8"))
    assert page.inside("h1") == ["2 datasets compared"]
    assert page.inside("caption") == ["Hard labels"] * 3
    first_table = [text for tag, text in page.texts if tag in ("bdi", "b")][:4]
    assert first_table == ["a", "51.5", "b", "62.5"]


@pytest.mark.slow
def test_a_hundred_classes_of_noise_stay_below_five_megabytes(tmp_path):
    names = tuple(f"class {c}" for c in range(101))
    folder = write_folder(tmp_path / "set", noise_set(names, ipc=5, side=32), everything(101))
    path = write_report(folder, tmp_path / "page.html", start=False)
    assert path.stat().st_size < 5_000_000
    page = Page(path.read_text("utf-8"))
    assert len(page.pictures()) == 100
    assert "The first 4 of 5 images of each class. The first 100 of 101 classes." in page.text()


DAMAGED = {
    "cut short": '{"rows": [',
    "a list": "[]",
    "rows that are none": '{"rows": 3}',
    "an accuracy beyond 100": '{"rows": [{"set": "a", "labels": "hard", "accuracy": {"n": 1, "mean": 101}}]}',
    "not a number": '{"rows": [{"set": "a", "labels": "hard", "accuracy": {"n": 1, "mean": NaN}}]}',
    "classes that the set has not": '{"rows": [{"set": "a", "labels": "hard", "per_class": [1, 2]}]}',
    "a curve of words": '{"distillation": {"curve": [["one", "two"]]}}',
    "a curve beyond all numbers": '{"distillation": {"curve": [[0, 1e308], [1, -1e308]]}}',
    "a protocol of words": '{"protocol": {"metric": "m", "test_images": "many", "split": "test"}}',
}


@pytest.mark.slow
@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_results_are_one_line(tmp_path, content):
    folder = write_folder(tmp_path / "set", noise_set())
    (folder / "ipc2" / "results.json").write_text(content)
    with pytest.raises(DistilledError, match=r"results\.json") as caught:
        page_of(folder)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "page.html").exists()


def test_a_pipeline_file_that_lacks_what_a_page_needs_is_one_line(tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    content = yaml.safe_load((folder / "ipc2" / "pipeline.yaml").read_text())
    del content["source"]["dataset"]
    (folder / "ipc2" / "pipeline.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(DistilledError, match=r"set: pipeline\.yaml or results\.json is not as documented.*dataset"):
        page_of(folder)


def test_a_folder_that_is_no_set_is_refused(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(DistilledError, match="is not a distilled dataset of ncfm-hub"):
        page_of(tmp_path / "set")


def test_a_folder_is_not_taken_for_a_file(tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    with pytest.raises(DistilledError, match=r"is a folder; name the \.html file"):
        write_report(folder, tmp_path)


@pytest.mark.parametrize("content", ["precious\n", "", "<!DOCTYPE html>\n<title>Mine</title>\n", "Made by ncfm-hub."])
def test_what_is_no_page_of_ours_is_not_written_over(tmp_path, monkeypatch, content):
    path = tmp_path / "precious.txt"
    path.write_text(content)
    monkeypatch.setattr("ncfm_hub.reporting.report.gather", lambda *_, **__: pytest.fail("a set was read"))
    with pytest.raises(DistilledError, match=r"precious\.txt is there already.*name another file$") as caught:
        write_report(tmp_path / "set", path)
    assert "\n" not in str(caught.value)
    assert path.read_text() == content


def test_what_is_no_ordinary_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # whoever opens it waits for a writer
    with pytest.raises(DistilledError, match="is no report of ncfm-hub"):
        write_report(tmp_path / "set", tmp_path / "pipe")


def test_a_page_of_ours_is_replaced(tmp_path):
    folder = write_folder(tmp_path / "set", noise_set(), everything(3))
    path = write_report([folder, folder], tmp_path / "page.html", start=False)
    (folder / "ipc2" / "results.json").unlink()
    shorter = write_report(folder, path, start=False).read_text("utf-8")
    assert Page(shorter).headings() == ["Images", "How it was made"]


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 64)])
def test_the_images_are_the_stored_ones(tmp_path, channels, side):
    made = noise_set(channels=channels, side=side)
    found = page_of(write_folder(tmp_path / "set", made)).pictures()
    assert list(found) == [f"{name}: 2 images, distilled" for name in made.class_names]
    for c, strip in enumerate(found.values()):
        expected = made.stored[2 * c : 2 * c + 2].expand(-1, 3, -1, -1)
        assert torch.equal(two_images(strip, side)[:, :3], expected)
        assert (strip[:, len(strip) : -len(strip), 3] == 0).all()  # nothing between them
