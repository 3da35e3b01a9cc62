"""What is said of the source when a dataset is opened to be measured."""

import dataclasses
from typing import Any

import pytest

from ncfm_hub.errors import DistilledError
from ncfm_hub.evaluation.opening import SubjectOptions, open_subject
from tests.matching.tiny import tiny_source
from tests.publishing.noise_sets import noise_set, write_folder
from tests.stopping import StopIn


def test_images_that_the_source_left_out_are_counted(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "1 row of split 'train' has no label (null) and is skipped"
    source = dataclasses.replace(tiny_source(), notes=(said,))

    def load(*_: Any, **__: Any) -> Any:
        return source

    monkeypatch.setattr("ncfm_hub.evaluation.opening.load_source", load)
    folder, heard = write_folder(tmp_path / "set", noise_set()), StopIn("", 0)
    with pytest.raises(DistilledError, match=r"holds the classes|holds images of"):  # the source is another one
        open_subject(folder, SubjectOptions("digits"), heard)
    assert heard.notes.count(said) == 1
