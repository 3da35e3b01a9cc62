"""Runs that are killed, interrupted, out of disk space or distributed end with the same bytes as an undisturbed run."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.e2e.people import MakePerson, Person, error_line, ncfm

STEPS = 18
DEFAULTS = f"""
pool: {{backbone: convnet-d3-w32-instance-relu-avg, size: 2, epochs: 2}}
distillation: {{steps: {STEPS}, real_batch: 16, frequencies: 64, images_at_once: 32, checkpoint_every: 3,
  classes_at_once: 4, sampling_network: true}}
evaluation: {{students: 1, updates: 5, soft_labels: false, baselines: [random, start]}}
engine: {{compile: "off"}}
"""
RUN = ("distill", "--dataset", "digits", "--ipc", "1", "--output", "out")  # without a token: the packaged digits
_LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ncfm_hub")
# Runs "$@" with a disk in place of folder $1 that has $2 bytes and holds what $1 did; afterwards that is put in $3.
_ON_A_SMALL_DISK = """
set -e
folder=$1 size=$2 after=$3; shift 3
cp -a "$folder" "$after"
mount -t tmpfs -o size="$size" tmpfs "$folder"
cp -a "$after/." "$folder"
rm -r "$after"
status=0; "$@" || status=$?
cp -a "$folder" "$after"
exit $status
"""
# Where nobody may mount: no file may grow beyond $2 bytes. Python ignores the signal that comes with it.
_UNDER_A_LIMIT = """
folder=$1 size=$2 after=$3; shift 3
status=0; (ulimit -f $((size / 512)); exec "$@") || status=$?
cp -a "$folder" "$after"
exit $status
"""
_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount", "--")


@dataclass(frozen=True)
class Undisturbed:
    """Two runs that nobody disturbs, beside the test that disturbs a third: by one process, and by two."""

    alone: "Future[Person]"
    by_two: "Future[Person]"


def _newcomer(somebody: MakePerson) -> Person:
    return somebody(DEFAULTS, HF_ENDPOINT="http://127.0.0.1:1")


def _run_alone(person: Person) -> Person:
    person.done(*RUN)
    return person


def _run_by_two(person: Person) -> Person:
    """Stopped by a signal to the launcher, which hands it on, and gone on with."""
    checkpoint = f"{person.folder.name}/out/ipc1/.ncfm/distillation.safetensors"
    stopped = _stop_when(checkpoint, person, signal.SIGTERM, [*_LAUNCH, *RUN])
    assert stopped.returncode != 0
    assert stopped.stderr.count("Error: stopped by SIGTERM; ") == 1, "only one of them speaks"
    assert not (person.folder / "out" / "ipc1" / "distilled.safetensors").exists(), "stopped too late to prove anything"
    ended = person.run([*_LAUNCH, *_command_to_type(stopped.stderr)])
    assert ended.returncode == 0, ended.stderr
    assert _steps_done_before(ended.stderr) in range(3, STEPS + 1)
    assert ended.stdout.count("contact sheet") == 1, "only one of them speaks"
    return person


@pytest.fixture(scope="module")
def undisturbed(somebody: MakePerson) -> Iterator[Undisturbed]:
    people = [_newcomer(somebody) for _ in range(2)]
    with ThreadPoolExecutor(1) as worker:
        yield Undisturbed(worker.submit(_run_alone, people[0]), worker.submit(_run_by_two, people[1]))


def _command_to_type(stderr: str) -> list[str]:
    """The arguments of the command that the message gives."""
    (line,) = (line for line in stderr.splitlines() if line.startswith("Error: ") and "last checkpoint" in line)
    program, *arguments = shlex.split(line.rpartition(": ")[2])
    assert program == "ncfm-hub"
    assert arguments == [*RUN, "--resume"]
    return arguments


def _stop_when(
    path: str, person: Person, how: signal.Signals, command: list[str | Path]
) -> subprocess.CompletedProcess[str]:
    """Start a run and send it a signal once a file fitting `path` appears, or changes if it was there before."""

    def state() -> list[tuple[Path, int]]:
        return [(found, found.stat().st_mtime_ns) for found in person.folder.parent.glob(path)]

    before, deadline = state(), time.monotonic() + 200
    with person.start(command) as child:
        try:
            while child.poll() is None and state() == before:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            child.send_signal(how)
            out, err = child.communicate(timeout=100)
        finally:
            child.kill()
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def _steps_done_before(stderr: str) -> int:
    found = re.search(rf"resuming from step (\d+) of {STEPS}", stderr)
    assert found, stderr
    return int(found[1])


def _kill_in_pretraining(person: Person) -> None:
    ended = _stop_when(f"{person.home.name}/cache/pools/*/00-partial.safetensors", person, signal.SIGKILL, ncfm(*RUN))
    assert ended.returncode == -signal.SIGKILL
    (pool,) = (person.cache / "pools").iterdir()
    assert (pool / "00-partial.safetensors").is_file()
    assert not (pool / "00-trained.safetensors").exists(), "killed too late to prove anything"


def _kill_in_distillation(person: Person) -> None:
    checkpoint = f"{person.folder.name}/out/ipc1/.ncfm/distillation.safetensors"
    ended = _stop_when(checkpoint, person, signal.SIGKILL, ncfm(*RUN, "--resume"))
    assert ended.returncode == -signal.SIGKILL
    assert not (person.folder / "out" / "ipc1" / "distilled.safetensors").exists()


def _interrupt(person: Person) -> list[str]:
    checkpoint = f"{person.folder.name}/out/ipc1/.ncfm/distillation.safetensors"
    ended = _stop_when(checkpoint, person, signal.SIGINT, ncfm(*RUN, "--resume"))
    assert ended.returncode == 130
    assert _steps_done_before(ended.stderr) in range(3, STEPS)
    assert error_line(ended).startswith("interrupted; resume from the last checkpoint with: ")
    return _command_to_type(ended.stderr)


def _fill_the_disk(person: Person, again: list[str]) -> list[str]:
    """The disk holds what is there, and half a checkpoint more."""
    folder, after = person.folder / "out" / "ipc1", person.folder / "after"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    half = (folder / ".ncfm" / "distillation.safetensors").stat().st_size // 2
    pages = sum(len(content) // 4096 + 2 for content in before.values())
    if _can_mount():
        small: list[str | Path] = [
            *_NAMESPACE,
            "sh",
            "-c",
            _ON_A_SMALL_DISK,
            "sh",
            folder,
            str(4096 * pages + half),
            after,
        ]
        expected = r"disk full.*--resume"
    else:
        small = ["sh", "-c", _UNDER_A_LIMIT, "sh", folder, str(half), after]
        expected = r"File too large"
    ended = person.run([*small, *ncfm(*again)])
    assert ended.returncode == 1
    assert re.search(expected, error_line(ended))
    left = {folder / path.relative_to(after): path.read_bytes() for path in after.rglob("*") if path.is_file()}
    seconds = Path(".ncfm") / "times.json"  # the only thing that goes on
    assert json.loads(left.pop(folder / seconds)).keys() == json.loads(before.pop(folder / seconds)).keys()
    assert left == before, "the checkpoint is the last whole one, and nothing half-written is beside it"
    return _command_to_type(ended.stderr) if "last checkpoint" in ended.stderr else again


def test_killed_interrupted_and_out_of_disk_a_run_ends_with_the_same_bytes(
    undisturbed: Undisturbed, somebody: MakePerson
) -> None:
    person = _newcomer(somebody)
    _kill_in_pretraining(person)
    _kill_in_distillation(person)
    again = _fill_the_disk(person, _interrupt(person))
    ended = person.done(*again)
    assert _steps_done_before(ended.stderr) in range(6, STEPS + 1)
    alone = undisturbed.alone.result()
    for members in ("*-init.safetensors", "*-trained.safetensors"):
        assert _contents(person.cache / "pools", members) == _contents(alone.cache / "pools", members)
    assert _distilled(person) == _distilled(alone)
    assert _seconds(person)["pool"] > 0.2 * _seconds(alone)["pool"], "of the part that was killed, too"


def _seconds(person: Person) -> dict[str, float]:
    described = yaml.safe_load((person.folder / "out" / "ipc1" / "pipeline.yaml").read_text())
    return dict(described["wall_time_seconds"])


def test_two_processes_give_the_bytes_of_one(undisturbed: Undisturbed) -> None:
    assert _distilled(undisturbed.by_two.result()) == _distilled(undisturbed.alone.result())


def _distilled(person: Person) -> bytes:
    return (person.folder / "out" / "ipc1" / "distilled.safetensors").read_bytes()


def _contents(folder: Path, pattern: str) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.glob(f"*/{pattern}")}
    assert len(found) == 2
    return found


def _can_mount() -> bool:
    """Whether a small disk can be had here: a mount namespace of our own."""
    if not shutil.which("unshare"):
        return False
    probe = "mount -t tmpfs -o size=64k tmpfs /tmp"
    return subprocess.run([*_NAMESPACE, "sh", "-c", probe], capture_output=True).returncode == 0
