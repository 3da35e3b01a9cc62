"""The processes of one run: found by what a launcher says in the environment, and refused where they do not come.

Torchrun's names are read, and those of MPI. What is to be typed instead of a launcher that does not work here is said.
"""

import datetime
import os

import torch.distributed as dist

from ncfm_hub.errors import LaunchError

# Names by which launchers tell a process the same, first those of torchrun, and then of MPI's kinds.
_NAMES = {
    "RANK": ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK"),
    "WORLD_SIZE": ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"),
    "LOCAL_RANK": ("LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK"),
}
_PLACE = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
_TYPE = "start all processes by `torchrun --standalone --nproc-per-node N -m ncfm_hub ...`"
UNTIL_ALL_ARE_HERE = datetime.timedelta(minutes=2)
# Processes wait for each other while one of them trains: for as long as that takes.
AT_WORK = datetime.timedelta(days=7)


def join_processes(on_gpu: bool) -> None:
    """Meet the other processes that the launcher has started; does nothing in a process that was started alone.

    Raises LaunchError, one line, where others were asked for and do not come, or this one cannot know which it is.
    """
    if dist.is_initialized():
        return
    told = {name: _number(kinds) for name, kinds in _NAMES.items()}
    size = told["WORLD_SIZE"]
    if size is None and "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_ADDR" in os.environ:
        # Its launcher sets both, and for several processes on a CPU nothing else: it leaves them to MPI.
        raise LaunchError(f"`accelerate launch` was asked for several processes and has started one; {_TYPE}")
    if size is None and os.environ.get("LOCAL_RANK"):
        raise LaunchError(f"LOCAL_RANK is set, as by a launcher, and WORLD_SIZE is not; unset it, or {_TYPE}")
    if size is None or size < 2:
        return
    missing = [" or ".join(_NAMES[name]) for name, number in told.items() if number is None]
    if missing:
        raise LaunchError(f"the environment asks for {size} processes and lacks {' and '.join(missing)}; {_TYPE}")
    os.environ |= {name: str(number) for name, number in told.items()}  # by the names that accelerate reads
    for name, usual in _PLACE.items():
        os.environ.setdefault(name, usual)
    _meet(told["RANK"] or 0, size, "nccl" if on_gpu else "gloo")


def _meet(rank: int, size: int, backend: str) -> None:
    place = ":".join(os.environ[name] for name in _PLACE)
    try:
        store, _, _ = next(iter(dist.rendezvous("env://", timeout=UNTIL_ALL_ARE_HERE)))
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        seconds = round(UNTIL_ALL_ARE_HERE.total_seconds())
        raise LaunchError(
            f"process {rank} of {size} did not meet the others at {place} within {seconds} s ({reason}); {_TYPE}"
        ) from None
    store.set_timeout(AT_WORK)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=AT_WORK)


def _number(names: tuple[str, ...]) -> int | None:
    """What the first of the variables that is set says."""
    name = next((name for name in names if os.environ.get(name)), None)
    if name is None:
        return None
    try:
        return int(os.environ[name])
    except ValueError:
        raise LaunchError(f"{name} in the environment is {os.environ[name]!r}; expected a number") from None
