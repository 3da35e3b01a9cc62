"""Runs of one and of several processes that share a cache: each member is trained once, and all get the same pool."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow  # whole runs

PROGRAM = """
import os
import socket
import sys
import time
from pathlib import Path

import torch

from ncfm_hub.errors import PoolError
from ncfm_hub.extractors import cache, members
from ncfm_hub.recipes.schema import PoolRecipe
from tests.matching.tiny import plain_engine, tiny_source

SOURCE = tiny_source(per_class=16, channels=1)
RECIPE = PoolRecipe(
    backbone="convnet-d3-w32-instance-relu-avg", size=3, epochs=4, optimizer="adamw", lr=2e-3, schedule="one-cycle",
    batch_size=16,
)


def join_group(rank, processes, port, by_mpi):
    if by_mpi:
        numbers = {"COMM_WORLD_RANK": rank, "COMM_WORLD_LOCAL_RANK": rank, "COMM_WORLD_SIZE": processes}
        numbers = {f"OMPI_{name}": value for name, value in numbers.items()}
    else:
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    os.environ |= {name: str(value) for name, value in numbers.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def train_and_tell(folder):
    train = members.train_members

    def listen(trainer, where, some, *rest):
        with open(folder / "trained", "a") as told:
            told.write("".join(f"{member}\\n" for member in some))
        return train(trainer, where, some, *rest)

    members.train_members = listen


def run(folder, name, rank, processes, port, late):
    os.environ["NCFM_HUB_CACHE"] = str(folder / "cache")
    if processes > 1:
        join_group(rank, processes, port, late)
    train_and_tell(folder)
    engine = plain_engine()
    assert engine.accelerator.num_processes == processes
    while late and rank == 0 and not list(folder.glob("cache/pools/*/pool.json")):
        time.sleep(0.02)
    pool = cache.get_pool(SOURCE, False, RECIPE, engine)
    (folder / f"{name}-{rank}").write_text(pool.digest)

    def refuse():
        raise PoolError(f"refused by process {rank}")

    try:
        engine.decide_once(refuse)
    except PoolError as error:
        assert str(error) == "refused by process 0"
    engine.accelerator.wait_for_everyone()
    engine.accelerator.end_training()


def start(folder, name, processes, main_is_late=False):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workers = []
    for rank in range(processes):  # forked, so that everything is imported once
        workers.append(os.fork())
        if workers[-1] == 0:
            code = 1
            try:
                run(folder, name, rank, processes, port, main_is_late)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
    return workers


def both(folder, **options):
    folder.mkdir()
    workers = start(folder, "one", 1) + start(folder, "two", 2, **options)
    return [os.waitpid(worker, 0)[1] for worker in workers]


torch.set_num_threads(1)
assert both(Path(sys.argv[1]) / "at once") == [0, 0, 0]
assert both(Path(sys.argv[1]) / "late", main_is_late=True) == [0, 0, 0]
"""


def test_runs_of_one_and_two_processes_share_a_cache(tmp_path: Path) -> None:
    """At once; and, as MPI starts processes, where the main one looks when the pool is whole, the other before."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, str(program), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    for folder in (tmp_path / "at once", tmp_path / "late"):
        assert sorted((folder / "trained").read_text().split()) == ["0", "1", "2"]
        digests = {(folder / name).read_text() for name in ("one-0", "two-0", "two-1")}
        assert len(digests) == 1
