"""The code on a card runs as it stands there."""

import re

from tests.publishing.noise_sets import noise_set, write_folder


def test_the_training_loop_of_the_card_runs(tmp_path):
    folder = write_folder(tmp_path / "insects", noise_set())
    text = (folder / "README.md").read_text()
    (block,) = [code for code in re.findall(r"(?ms)^```python\n(.*?)^```$", text) if "DataLoader" in code]
    found: dict = {}
    exec(block.replace("path/to/this/folder", str(folder)), found)
    assert found["images"].shape == (24, 3, 8, 8)
    assert found["targets"].shape == (24, 3)
    assert abs(found["images"].mean().item()) < 1
