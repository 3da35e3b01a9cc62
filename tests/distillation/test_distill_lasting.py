"""Interruptions and further processes do not change a bit: checkpoints, mismatches, and classes shared by processes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ncfm_hub.distillation.loop import distill_images
from ncfm_hub.errors import CheckpointError
from ncfm_hub.machine.engine import Engine
from ncfm_hub.sources.types import Source
from tests.matching.tiny import tiny_pool, tiny_settings
from tests.stopping import StopAfter, Stopped

pytestmark = pytest.mark.slow  # whole runs

REPOSITORY = Path(__file__).resolve().parents[2]


# --- checkpoints -------------------------------------------------------------------------------------------------


def assert_equal_tensors(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> None:
    assert some.keys() == others.keys()
    for name, tensor in some.items():
        assert torch.equal(tensor, others[name]), name


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling_network": True, "schedule": "cosine"},
        {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "plateau"},
    ],
)
def test_a_resumed_run_is_the_run_never_stopped(
    source: Source, engine: Engine, tmp_path: Path, changes: dict[str, object]
) -> None:
    settings, pool = tiny_settings(steps=7, classes_at_once=2, checkpoint_every=3, **changes), tiny_pool(source)
    whole = distill_images(source, pool, settings, engine, tmp_path / "whole")
    stopped = tmp_path / "stopped"
    for lasts in (4, 2):  # ends in step 5 with the checkpoint of step 3, then in step 6 with the same one
        with pytest.raises(Stopped):
            distill_images(source, pool, settings, engine, stopped, resume=True, progress=StopAfter(lasts))
        assert len(load_file(stopped)["curve"]) == 3
    made = distill_images(source, pool, settings, engine, stopped, resume=True)
    assert torch.equal(made.stored, whole.stored)
    assert made.curve == whole.curve
    assert torch.equal(made.start, whole.start)
    assert_equal_tensors(load_file(stopped), load_file(tmp_path / "whole"))
    again = distill_images(source, pool, settings, engine, stopped, resume=True)  # nothing left to do
    assert torch.equal(again.stored, whole.stored)
    assert again.curve == whole.curve


def test_without_resume_a_checkpoint_is_not_read(source: Source, engine: Engine, tmp_path: Path) -> None:
    pool, path = tiny_pool(source), tmp_path / "state"
    first = distill_images(source, pool, tiny_settings(steps=2, checkpoint_every=1), engine, path)
    other = distill_images(source, pool, tiny_settings(steps=2, checkpoint_every=1, seed=1), engine, path)
    assert not torch.equal(first.stored, other.stored)
    assert len(other.curve) == 2


def test_a_checkpoint_of_other_settings_is_refused_by_name(source: Source, engine: Engine, tmp_path: Path) -> None:
    pool, settings, path = tiny_pool(source), tiny_settings(steps=2, checkpoint_every=1), tmp_path / "state"
    distill_images(source, pool, settings, engine, path)
    others = {
        "seed": 1,
        "ipc": 2,
        "alpha": 0.4,
        "frequencies": 32,
        "real_batch": 7,
        "classes_at_once": 3,
        "images_at_once": 4,
        "calibration": 0.0,
        "sampling_network": True,
        "lr": 1e-3,
        "flip": False,
    }
    for name, value in others.items():
        with pytest.raises(CheckpointError, match=rf"distillation\.{name} = .*{getattr(settings, name)}.*{value}"):
            distill_images(source, pool, settings.model_copy(update={name: value}), engine, path, resume=True)
    with pytest.raises(CheckpointError, match="source = "):
        distill_images(replace(source, fingerprint="other"), pool, settings, engine, path, resume=True)
    with pytest.raises(CheckpointError, match="pool = tiny"):
        distill_images(source, replace(pool, key="other"), settings, engine, path, resume=True)
    with pytest.raises(CheckpointError, match="precision = fp32, this run has bf16"):
        distill_images(source, pool, settings, replace(engine, precision="bf16"), path, resume=True)
    with pytest.raises(CheckpointError, match="compile = False, this run has True"):
        distill_images(source, pool, settings, replace(engine, compiled=True), path, resume=True)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        with pytest.raises(CheckpointError, match=f"threads = {threads}, this run has {threads + 1}"):
            distill_images(source, pool, settings, engine, path, resume=True)
    finally:
        torch.set_num_threads(threads)
    assert len(distill_images(source, pool, settings, engine, path, resume=True).curve) == 2


# --- several processes -------------------------------------------------------------------------------------------

PROGRAM = """
import os
import socket
import sys
from pathlib import Path

import torch

from ncfm_hub.distillation.loop import distill_images
from ncfm_hub.distillation.settings import choose_classes_at_once
from ncfm_hub.machine.engine import open_engine
from tests.matching.tiny import plain_engine, tiny_pool, tiny_settings, tiny_source


def work(folder, rank, processes, port):
    if processes > 1:  # what torchrun tells its workers
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
        os.environ |= {name: str(value) for name, value in numbers.items()}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["NCFM_HUB_CACHE"] = str(folder / "cache")
    engine, source = plain_engine(), tiny_source()
    assert engine.accelerator.num_processes == processes
    fast = open_engine("fp32", "on")
    assert fast.native
    for name, chosen, changes in (
        ("plain", engine, {}),
        ("psi", engine, {"sampling_network": True}),
        ("native", fast, {}),
        ("bank", fast, {"bank": 4, "ipc": 2}),
    ):
        settings = tiny_settings(steps=3, checkpoint_every=3, **changes)
        made = distill_images(source, tiny_pool(source), settings, chosen, folder / name)
        torch.save(made.stored, folder / f"{name}-{rank}.pt")
    several = tiny_source(classes=5)
    at_once = choose_classes_at_once(5, 4, 4096, processes)  # as on GPUs: a unit for every process
    settings = tiny_settings(steps=2, checkpoint_every=2, classes_at_once=at_once)
    settings = settings.model_copy(update={"decoded_at_once": 4 * at_once})
    distill_images(several, tiny_pool(several), settings, engine, folder / "units")
    engine.accelerator.end_training()


torch.set_num_threads(1)
for processes in (1, 2, 3):
    folder = Path(sys.argv[1]) / str(processes)
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workers = []
    for rank in range(processes):  # forked, so that everything is imported once
        workers.append(os.fork())
        if workers[-1] == 0:
            work(folder, rank, processes, port)
            os._exit(0)
    assert all(os.waitpid(worker, 0)[1] == 0 for worker in workers)
"""


@pytest.mark.usefixtures("compiler")
def test_one_two_and_three_processes_make_the_same_bits(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, str(program), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("plain", "psi", "native", "bank"):
        one, two, three = (load_file(tmp_path / str(processes) / name) for processes in (1, 2, 3))
        assert_equal_tensors(one, two)
        assert_equal_tensors(one, three)
        on_disk = one["stored"]
        for processes in (1, 2, 3):
            for rank in range(processes):
                assert torch.equal(torch.load(tmp_path / str(processes) / f"{name}-{rank}.pt"), on_disk)
    # Units of 5, 3 and 2 classes, of which the last is not full, give the same up to rounding.
    units = [load_file(tmp_path / str(processes) / "units") for processes in (1, 2, 3)]
    for other in units[1:]:
        torch.testing.assert_close(other["curve"], units[0]["curve"], rtol=1e-5, atol=0)
        torch.testing.assert_close(other["stored"], units[0]["stored"], rtol=0, atol=1e-4)
