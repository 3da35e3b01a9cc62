"""`ncfm-hub verify`: one line per check, and the exit status says whether all passed."""

import json

from ncfm_hub.publishing.verifying.verify import CHECKS
from tests.publishing.verifying.whole_sets import whole_set


def test_a_whole_dataset_passes(tmp_path, invoke):
    said = invoke("verify", whole_set(tmp_path / "set"))
    assert said.exit_code == 0, said.output
    lines = said.stdout.splitlines()
    assert len(lines) == len(CHECKS)
    assert all(line.startswith("passed") for line in lines)


def test_damage_is_a_line_and_exit_status_1(tmp_path, invoke):
    folder = whole_set(tmp_path / "set")
    (folder / "README.md").unlink()
    said = invoke("verify", folder)
    assert said.exit_code == 1
    assert [line for line in said.stdout.splitlines() if not line.startswith("passed")] == [
        "failed       ipc2  card            there is no README.md"
    ]
    assert said.stderr == ""
    found = json.loads(invoke("verify", folder, "--format", "json").stdout)
    assert (found["target"], found["ok"]) == (str(folder), False)
    assert found["checks"][-1] == {
        "dataset": "ipc2",
        "name": "card",
        "outcome": "failed",
        "found": "there is no README.md",
    }
    assert invoke("verify", folder, "-q").stdout == "failed\n"


def test_a_target_that_is_nowhere_is_one_line(tmp_path, invoke):
    said = invoke("verify", "./nowhere")
    assert said.exit_code == 1
    assert said.stderr.startswith("Error: ./nowhere is neither a folder nor a repository id")
