"""HF_HUB_OFFLINE=1: what was read once is used again, the rest is refused at once; the hub is gone by then."""

from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from ncfm_hub.localhub import User, running
from ncfm_hub.sources import packaged_digits
from tests.conftest import LiveHub
from tests.e2e.people import MakePerson, Person, error_line
from tests.e2e.seeding import upload_folder

DEFAULTS = """
source: {resolution: 16, channels: 1}
pool: {backbone: convnet-d3-w32-instance-relu-avg, size: 1, epochs: 1}
distillation: {steps: 1, real_batch: 16, frequencies: 64}
evaluation: {students: 1, updates: 2, baselines: [random]}
engine: {compile: "off"}
"""
SOURCE, SET, POOL = "ada/digits", "ada/digits-ncfm", "ada/digits-ncfm-pool"
DIGITS = ("distill", "--dataset", SOURCE, "--pool", POOL)
ONLINE = (
    ("pretrain", "--dataset", SOURCE, "--push"),
    (*DIGITS, "--ipc", "1", "--push"),
    ("verify", SET),
)
OFFLINE = {
    "source and pool": (*DIGITS, "--ipc", "2", "--output", "more"),
    "dry run": (*DIGITS, "--ipc", "3", "--dry-run"),
    "folder": ("distill", "--dataset", str(packaged_digits()), "--ipc", "1", "--output", "local"),
    "evaluate": ("evaluate", "more", "--baselines", "random", "--set", "evaluation.updates=1"),
    "verify": ("verify", "digits-ncfm"),
    "verify what was downloaded": ("verify", SET),
    "diff": ("diff", "digits-ncfm", "local"),
}
REFUSED = {
    "push": (("push", "digits-ncfm"), "nothing can be pushed while HF_HUB_OFFLINE is set; unset it"),
    "distill and push": ((*DIGITS, "--ipc", "4", "--push"), "nothing can be pushed while HF_HUB_OFFLINE is set"),
    "other source": (("distill", "--dataset", "ada/never", "--ipc", "1"), "HF_HUB_OFFLINE is set"),
    "other classes": ((*DIGITS, "--ipc", "1", "--classes", "0,1", "--name", "two"), "HF_HUB_OFFLINE is set"),
    "other dataset": (("verify", "ada/never"), "HF_HUB_OFFLINE is set"),
}


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory, somebody: MakePerson) -> Person:
    """Somebody who has worked with a hub that is gone, and may ask none any more."""
    users = [User("ada", "ada-may-write-0123456789")]
    with running(tmp_path_factory.mktemp("hub"), users=users) as live:
        where = {"HF_ENDPOINT": live.url, "HF_TOKEN": users[0].token}
        upload_folder(packaged_digits(), SOURCE, LiveHub(live, Path(), where, where))
        person = somebody(DEFAULTS, **where)
        for words in ONLINE:
            person.done(*words)
    return Person(person.folder, person.settings | {"HF_HUB_OFFLINE": "1"})


@pytest.fixture(scope="module")
def ended(ada: Person) -> Mapping[str, CompletedProcess[str]]:
    """All commands that work, one after another."""
    return ada.in_one_process(OFFLINE)


@pytest.fixture(scope="module")
def refused(ada: Person) -> Mapping[str, CompletedProcess[str]]:
    return ada.in_one_process({name: words for name, (words, _) in REFUSED.items()})


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFLINE)
def test_what_is_here_is_used(ended: Mapping[str, CompletedProcess[str]], name: str) -> None:
    assert ended[name].returncode == 0, ended[name].stderr
    assert "trying again" not in ended[name].stderr


@pytest.mark.slow
def test_the_source_is_that_of_the_run_before(ended: Mapping[str, CompletedProcess[str]], ada: Person) -> None:
    before, after = (
        yaml.safe_load((ada.folder / folder / "pipeline.yaml").read_text())["source"]
        for folder in ("digits-ncfm/ipc1", "more/ipc2")
    )
    assert after == before
    assert f"using {SOURCE} at {before['revision'][:12]}, as it was last read here" in ended["source and pool"].stderr
    assert "10 classes: 0, 1, 2" in ended["source and pool"].stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_here_is_refused_at_once(refused: Mapping[str, CompletedProcess[str]], name: str) -> None:
    assert refused[name].returncode == 1
    assert REFUSED[name][1] in error_line(refused[name])
    assert "trying again" not in refused[name].stderr
