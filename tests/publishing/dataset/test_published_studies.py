"""Studies are stored beside their dataset and record which images they are of."""

import hashlib
import json

import pytest

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing.dataset.folders import study_folder
from ncfm_hub.publishing.dataset.studies import not_of_the_set
from tests.publishing.noise_sets import noise_set, write_folder


def test_the_digest_is_of_all_training_images_and_labels():
    distilled = noise_set()
    images, labels = distilled.images.numpy(), distilled.labels.numpy()
    assert distilled.digest == hashlib.sha256(b"[24, 3, 8, 8]" + images.tobytes() + labels.tobytes()).hexdigest()
    assert len({distilled.digest, noise_set(seed=1).digest, noise_set(ipc=1).digest, noise_set(side=4).digest}) == 4


def test_a_study_is_not_written_beside_another_set(tmp_path):
    one = write_folder(tmp_path / "one", noise_set())
    copy = write_folder(tmp_path / "copy", noise_set())
    other = write_folder(tmp_path / "other", noise_set(seed=1))
    theirs = tmp_path / "theirs"
    (theirs / "data").mkdir(parents=True)
    for free in (tmp_path / "new", theirs):
        assert study_folder(free, str(one), revision=None, token=None) == free
    for root in (one, copy):
        for named in (root, root / "ipc2"):
            assert study_folder(named, str(one), revision=None, token=None) == root / "ipc2"
    for target, folder in ((one, other), (theirs, one)):
        with pytest.raises(DistilledError, match=rf"{folder}' holds another distilled dataset than {target},"):
            study_folder(folder, str(target), revision=None, token=None)


def test_files_of_studies_of_other_images_are_told_apart(tmp_path):
    def study(stem: str, content: str, *more: str) -> None:
        for suffix in ("json", *more):
            (tmp_path / f"{stem}.{suffix}").write_text(content)

    own, digest = json.dumps({"images_sha256": "d1"}), "d1"
    study("continual", own, "png")
    study("nas-2", own)
    study("nas", json.dumps({"images_sha256": "d2"}), "md", "png")
    study("nas-1", "{", "png")
    study("continual-12", "[]")
    (tmp_path / "continual-3.png").write_text("its JSON is gone")
    (tmp_path / "notes-1.json").write_text("{}")
    found = not_of_the_set(tmp_path, digest)
    other = "it is of other images"
    unknown = "it does not say of which images it is; make it anew"
    assert found == {
        "continual-12.json": unknown,
        "continual-3.png": unknown,
        "nas-1.json": unknown,
        "nas-1.png": unknown,
        "nas.json": other,
        "nas.md": other,
        "nas.png": other,
    }
