"""Connect the processes of one run as their launcher describes; if that fails, say what to type instead."""

import datetime
import os

import torch.distributed as dist

from ncfm_hub.errors import LaunchError
from ncfm_hub.utils.launchers import KINDS, told

_PLACE = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
_TYPE = "start all processes by `torchrun --standalone --nproc-per-node N -m ncfm_hub ...`"
UNTIL_ALL_ARE_HERE = datetime.timedelta(minutes=2)
# Processes wait for each other while one of them trains, however long that takes.
AT_WORK = datetime.timedelta(days=7)


def join_processes(on_gpu: bool) -> None:
    """Connect to the other processes of the launcher; does nothing for a single process.

    Raises LaunchError if other processes were requested and do not connect, or this process's rank is unknown.
    """
    if not dist.is_available() or dist.is_initialized():
        return
    numbers = {name: _number(name) for name in KINDS}
    size = numbers["WORLD_SIZE"]
    if size is None and "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_ADDR" in os.environ:
        # `accelerate launch` sets both; for several processes on a CPU it sets nothing else and relies on MPI.
        raise LaunchError(f"`accelerate launch` was asked for several processes and has started one; {_TYPE}")
    if size is None and os.environ.get("LOCAL_RANK"):
        raise LaunchError(f"LOCAL_RANK is set, as by a launcher, and WORLD_SIZE is not; unset it, or {_TYPE}")
    if size is None or size < 2:
        return
    missing = [" or ".join(KINDS[name]) for name, number in numbers.items() if number is None]
    if missing:
        raise LaunchError(f"the environment asks for {size} processes and lacks {' and '.join(missing)}; {_TYPE}")
    os.environ |= {name: str(number) for name, number in numbers.items()}  # under the names that accelerate reads
    for name, usual in _PLACE.items():
        os.environ.setdefault(name, usual)
    _meet(numbers["RANK"] or 0, size, "nccl" if on_gpu else "gloo")


def processes_asked() -> int:
    """Return how many processes the launcher was asked for; one without a launcher."""
    return max(1, _number("WORLD_SIZE") or 1)


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


def _number(name: str) -> int | None:
    text = told(name)
    try:
        return None if text is None else int(text)
    except ValueError:
        raise LaunchError(f"{name} in the environment is {text!r}; expected a number") from None
