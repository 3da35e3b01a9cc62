"""Files of studies: earlier ones are never lost."""

import json
from pathlib import Path

from ncfm_hub.utils.files import write_study

NAMES = ("nas.json", "nas.md", "nas.png")


def test_an_earlier_study_is_kept_under_the_next_number(tmp_path: Path) -> None:
    assert write_study(tmp_path, NAMES, {"seed": 0}) is None
    (tmp_path / "nas.png").write_text("picture of 0")
    assert write_study(tmp_path, NAMES, {"seed": 0}) is None, "the same again needs no second copy"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nas.json", "nas.png"]
    assert write_study(tmp_path, NAMES, {"seed": 1}) == tmp_path / "nas-1.json"
    assert not (tmp_path / "nas.png").exists(), "the picture goes with its numbers"
    assert (tmp_path / "nas-1.png").read_text() == "picture of 0"
    assert write_study(tmp_path, NAMES, {"seed": 2}) == tmp_path / "nas-2.json"
    seeds = [json.loads((tmp_path / name).read_text())["seed"] for name in ("nas-1.json", "nas-2.json", "nas.json")]
    assert seeds == [0, 1, 2]
