"""Files with a digest return what was saved, and nothing else."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ncfm_hub.errors import Damaged
from ncfm_hub.utils.sealed import discard_damaged, load_record, load_tensors, save_record, save_tensors
from tests.damage import Notes, flip

TENSORS = {
    "weights": torch.arange(12.0).reshape(3, 4).T,
    "half": torch.ones(3, dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "none": torch.zeros(0, 3),
    "flags": torch.tensor([True, False]),
}
FACTS = {"step": "12", "said": "ä"}


def test_tensors_and_facts_come_back(tmp_path: Path) -> None:
    save_tensors(tmp_path / "some", TENSORS, FACTS)
    tensors, facts = load_tensors(tmp_path / "some")
    assert facts == FACTS
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype


def test_whichever_bit_is_wrong_it_is_found(tmp_path: Path) -> None:
    """Read at all, values, shapes, names and facts are those saved, whatever byte was hit."""
    path = tmp_path / "some"
    save_tensors(path, TENSORS, FACTS)
    whole = path.read_bytes()
    found = 0
    for place in range(len(whole)):
        path.write_bytes(whole)
        flip(path, place)
        try:
            tensors, facts = load_tensors(path)
        except Damaged:
            found += 1
        else:
            assert facts == FACTS
            assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())
    assert found >= 0.9 * len(whole)  # blanks may take the place of other blanks


@pytest.mark.parametrize("content", [b"", b"\xff" * 500, None], ids=["empty", "noise", "folder"])
def test_what_is_no_such_file_is_damaged(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "some"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    for load in (load_tensors, load_record):
        with pytest.raises(Damaged):
            load(path)
    with pytest.raises(FileNotFoundError):
        load_tensors(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        load_record(tmp_path / "nothing")


def test_a_file_without_a_digest_is_taken_where_others_made_it(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "theirs", {"step": "1"})
    (tmp_path / "theirs.json").write_text('{"a": 1}')
    with pytest.raises(Damaged):
        load_tensors(tmp_path / "theirs")
    with pytest.raises(Damaged):
        load_record(tmp_path / "theirs.json")
    tensors, facts = load_tensors(tmp_path / "theirs", digest_needed=False)
    assert (tensors["a"].tolist(), facts) == ([1, 1], {"step": "1"})
    assert load_record(tmp_path / "theirs.json", digest_needed=False) == {"a": 1}
    save_file(load_file(tmp_path / "theirs"), tmp_path / "theirs", {"sha256": "0" * 64})
    with pytest.raises(Damaged, match="not what was written"):
        load_tensors(tmp_path / "theirs", digest_needed=False)


def test_a_record_is_json_with_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record = {"b": 0.1 + 0.2, "a": [None, True, "ä"], "numbered": {10: 1, 9: 2}}
    save_record(path, record)
    assert load_record(path) == json.loads(json.dumps(record))
    content = json.loads(path.read_text())
    assert list(content) == ["b", "a", "numbered", "sha256"]
    for changed in (content | {"b": 0.3}, content | {"c": 1}, [content]):
        path.write_text(json.dumps(changed))
        with pytest.raises(Damaged):
            load_record(path)


def test_what_is_damaged_goes_with_a_word_and_what_is_sound_stays(tmp_path: Path) -> None:
    path, notes = tmp_path / "some", Notes()
    discard_damaged(path, notes)
    save_tensors(path, TENSORS)
    discard_damaged(path, notes)
    assert path.is_file()
    assert notes.said == []
    flip(path)
    discard_damaged(path, notes)
    assert not path.exists()
    assert notes.said == [f"{path} is damaged (its content is not what was written); it is made anew"]
