"""`tools/fuzz_localhub.py`: it finds nothing in the hub, and what it looks for if there is something."""

import os
import re
import sys
from pathlib import Path

import pytest

from tests.children import run_python

TOOLS = Path(__file__).resolve().parents[2] / "tools"
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (TOOLS, TOOLS.parent)))}


@pytest.mark.slow
def test_two_hundred_requests_find_no_fault(tmp_path):
    done = run_python([TOOLS / "fuzz_localhub.py", "--requests", "200", "--seed", "1"], ENV, tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    counts = {status: int(count) for status, count in re.findall(r"^\| (\w+) \| ([\d,]+) \|$", done.stdout, re.M)}
    assert sum(counts.values()) == 200
    assert {"200", "400", "401", "404", "405"} <= counts.keys()


BROKEN = """\
import time, ncfm_hub.localhub.application as application, fuzz_localhub
fuzz_localhub.SECONDS = 1.0
find = application.find_route
def broken(routes, method, path):
    if "a.txt" in path:
        {fault}
    return find(routes, method, path)
application.find_route = broken
fuzz_localhub.fuzz(400, 1)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raise KeyError(path)", "status 500"),
        ("application._log.error('odd')", "logged: odd"),
        ("time.sleep(2)", "no valid answer: TimeoutError"),
        ("open('beside', 'w').close()", "open of .*beside, outside the root"),
        ("open('/etc/passwd').close()", "open of /etc/passwd, outside the root"),
    ],
)
def test_what_is_wrong_is_found(tmp_path, fault, said):
    done = run_python(["-c", BROKEN.format(fault=fault)], ENV, tmp_path, timeout=120)
    assert done.returncode == 1
    assert re.search(rf"request \d+ of seed 1: {said}", done.stderr), done.stderr


def test_the_same_seed_gives_the_same_requests(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(TOOLS), *sys.path])
    from fuzz_requests import Known, Requests

    def first(seed: int) -> list[bytes]:
        supply = Requests(seed, Known("h:1", ("token", "")), [("POST", "api/{kind}/{space}/{name}/commit/{rev}")])
        return [supply.next().bytes() for _ in range(50)]

    assert first(1) == first(1)
    assert first(1) != first(2)
