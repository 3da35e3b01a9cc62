"""The notebook holds nothing of the machine that it was written on, and its cells run in order."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.children import run_python
from tests.conftest import REPOSITORY, clean_environment

NOTEBOOK = REPOSITORY / "notebooks" / "quickstart.ipynb"
SMALLER = "EPOCHS, STEPS, STUDENTS, UPDATES = 1, 1, 2, 2"


def cells() -> list[dict[str, Any]]:
    return json.loads(NOTEBOOK.read_text())["cells"]


def test_it_has_no_outputs():
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert {cell["execution_count"] for cell in code} == {None}
    assert not re.search(r"/(home|root|Users|tmp|work)/", NOTEBOOK.read_text())


@pytest.mark.slow
def test_its_cells_run_and_compare_distilled_with_random_images(tmp_path: Path) -> None:
    lines = []
    for cell in cells():
        if cell["cell_type"] == "code":
            lines.append("".join(cell["source"]))
            lines += [SMALLER] if "parameters" in cell["metadata"].get("tags", ()) else []
    assert lines.count(SMALLER) == 1
    ended = run_python(["-c", "\n\n".join(lines)], clean_environment(tmp_path), tmp_path, 300)
    assert ended.returncode == 0, ended.stderr
    loaded, soft, *rows = ended.stdout.splitlines()
    assert loaded == "40 training images: image, label, soft_label, stored_index, tile"
    assert re.fullmatch(r"soft label of the first: \[(\d\.\d+(, )?){10}\]", soft)
    assert [re.split(r"  +", row)[0] for row in rows] == [
        "random real images, hard labels",
        "distilled, hard labels",
        "distilled, soft labels",
    ]
    assert all(re.search(r" \d+\.\d ± \d+\.\d %$", row) for row in rows)
