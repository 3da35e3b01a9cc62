"""One of a thing is not several: in cards, pages, tables and errors."""

import re
from pathlib import Path

import pytest
import yaml

from ncfm_hub.publishing import render_pool_card, write_card
from ncfm_hub.publishing.cards.statements import measured_how
from ncfm_hub.reporting import write_report
from ncfm_hub.sources import too_small_notes
from ncfm_hub.utils.counting import counted
from tests.matching.tiny import tiny_source
from tests.publishing.noise_sets import measured, noise_set, write_folder

_ONE_OF_MANY = re.compile(r"(?<![\d.,])1 (?:\w+ )?(?:images|classes|students|pairs|updates|threads|channels|orders)\b")


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (1, ("image",), "1 image"),
        (0, ("image",), "0 images"),
        (1, ("class",), "1 class"),
        (2, ("class",), "2 classes"),
        (1000, ("stored image",), "1,000 stored images"),
        (1, ("image is", "images are"), "1 image is"),
        (3, ("image is", "images are"), "3 images are"),
    ],
)
def test_things_are_counted(number: int, words: tuple[str, ...], said: str) -> None:
    assert counted(number, *words) == said


def test_one_student_of_one_distillation_is_one() -> None:
    protocol = {"metric": "top-1", "split": "test", "test_images": 1, "distillations": 1, "students": 1}
    said = str(measured_how(protocol | {"updates": 1, "batch_size": 1}))
    assert "(1 image); 1 distillation x 1 evaluation network (student), each trained for 1 update of 1 image," in said


def test_a_card_and_a_page_of_one_of_everything_say_one(tmp_path: Path) -> None:
    results = measured(("distilled", "hard", 60.0), n=1)
    results["protocol"] |= {"test_images": 1, "updates": 1, "batch_size": 1}
    folder = write_folder(tmp_path / "set", noise_set(names=("ant",), ipc=1), results)
    file = folder / "ipc1" / "pipeline.yaml"
    pipeline = yaml.safe_load(file.read_text())
    pipeline |= {"pool": {"architecture": "convnet3", "members": 1}, "machine": {"device": "cpu", "threads": 1}}
    file.write_text(yaml.safe_dump(pipeline, sort_keys=False))
    write_card(folder)
    card = (folder / "README.md").read_text()
    page = write_report(folder, tmp_path / "page.html", start=False).read_text()
    for text in (card, page):
        assert "1 stored image for 1 class," in text
        assert not _ONE_OF_MANY.findall(text)
    assert "(init, trained) pair of" in card
    assert "1 image per class as distilled" in card


def test_a_class_of_one_image_has_one() -> None:
    (line, *_) = too_small_notes(tiny_source(per_class=1, classes=2), 4)
    assert line.startswith("class 'class 0' has 1 training image, fewer than the 4 needed")


def test_the_card_of_a_pool_of_one_pair_says_one() -> None:
    architecture = {"name": "ncfm_convnet3", "channels": 1, "resolution": 32, "mean": [0.5], "std": [0.25]}
    pool = {
        "architecture": architecture,
        "class_names": ["ant"],
        "members": [{"accuracy": {"0.0": 74.2}}],
        "measured_on": {"images": 1, "split": "test"},
    }
    text = render_pool_card(pool, repo_id=None)
    assert "1 pair (init, trained) of `ncfm_convnet3` for 1 class," in text
    assert "on 1 image of the source's" in text
    assert not _ONE_OF_MANY.findall(text)
