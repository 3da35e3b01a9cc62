"""Studies in a dataset's folder: plotted if present, rejected if damaged."""

import json

import pytest

from ncfm_hub.errors import DistilledError
from ncfm_hub.reporting import write_report
from tests.publishing.conftest import Notes
from tests.publishing.noise_sets import figures, noise_set, write_folder
from tests.reporting.pages import Page


def continual(*names: str) -> dict[str, object]:
    """A continual.json of two steps, about the images of `noise_set`."""
    steps = {"distilled": (80.0, 60.0), "random": (70.0, 40.0)}
    return {
        "images_sha256": noise_set().digest,
        "class_names": list(names),
        "protocol": {"orders": 7, "notes": ["the teacher has seen all classes"]},
        "memories": [
            {
                "memory": memory,
                "labels": "hard",
                "steps": [{"classes": k, "accuracy": figures(mean)} for k, mean in zip((2, 3), means, strict=True)],
            }
            for memory, means in steps.items()
        ],
    }


def search() -> dict[str, object]:
    """A nas.json of three architectures, about the images of `noise_set`."""
    return {
        "images_sha256": noise_set().digest,
        "architectures": [
            {"name": f"a{n}", "distilled": figures(40.0 + n), "whole": figures(70.0 + n)} for n in range(3)
        ],
        "protocol": {"split": "validation part of train", "distilled_from_test_images": True},
        "agreement": {
            "distilled": {
                "spearman": {"value": 0.875, "low": -0.25, "high": 0.99},
                "kendall": {"value": None, "low": None, "high": None},
            }
        },
    }


def page_of(folder, progress=None) -> Page:
    return Page(write_report(folder, folder.parent / "page.html", start=False, progress=progress).read_text("utf-8"))


def test_studies_beside_the_set_are_drawn(tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    (folder / "ipc2" / "continual.json").write_text(json.dumps(continual("ant", "bee", "cat")))
    (folder / "ipc2" / "nas.json").write_text(json.dumps(search()))
    page = page_of(folder)
    assert page.headings() == ["Images", "Accuracy", "Continual learning", "Architecture search", "How it was made"]
    assert "distilled, hard labels: from 80.0 to 60.0 percent; random, hard labels: from 70.0 to 40.0 percent" in (
        page.attributes("aria-label")
    )
    dots = [path for path in page.attributes("d") if path.endswith("h0")]
    assert [path.count("h0") for path in dots] == [2, 2, 3]
    assert "0.88 [−0.25, 0.99]" in page.text()
    assert "not defined" in page.text()
    assert "mean over 7 orders" in page.text()
    assert "The teacher has seen all classes." in page.text()
    assert "3 in all, tested on the validation part of train." in page.text()
    assert "including those tested on here" in page.text()


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"images_sha256": noise_set(ipc=1).digest}, "it is of other images"),
        ({"images_sha256": noise_set(seed=1).digest}, "it is of other images"),
        ({}, "it does not say of which images it is; make it anew"),
    ],
)
def test_a_study_of_other_images_is_left_out_with_a_line(tmp_path, stated, said):
    """Regression: after ipc 2 replaced ipc 1, the study of the old dataset was shown as the new one's."""
    folder = write_folder(tmp_path / "set", noise_set())
    for name, study in {"continual.json": continual("ant", "bee", "cat"), "nas.json": search()}.items():
        del study["images_sha256"]
        (folder / "ipc2" / name).write_text(json.dumps(study | stated))
    notes = Notes()
    assert page_of(folder, notes).headings() == ["Images", "Accuracy", "How it was made"]
    assert notes.lines == [f"{folder / 'ipc2' / name} is left out: {said}" for name in ("continual.json", "nas.json")]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("continual.json", json.dumps(continual("ant", "bee", "dog")), "about other classes"),
        ("continual.json", "{", "is not JSON"),
        ("nas.json", '{"architectures": [{"name": "a"}]}', "not as documented: architectures.0.whole"),
    ],
)
def test_a_damaged_study_is_one_line(tmp_path, file, content, said):
    folder = write_folder(tmp_path / "set", noise_set())
    (folder / "ipc2" / file).write_text(content)
    with pytest.raises(DistilledError, match=f"{file}.*{said}"):
        page_of(folder)
