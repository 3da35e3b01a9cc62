"""Read what torchrun or MPI launchers tell each process in the environment."""

import os

KINDS = {
    "RANK": ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK"),
    "WORLD_SIZE": ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"),
    "LOCAL_RANK": ("LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK"),
}


def told(name: str) -> str | None:
    """Return the first variable of a kind that is set; None if none is."""
    return next((os.environ[kind] for kind in KINDS[name] if os.environ.get(kind)), None)


def is_first_process() -> bool:
    """Return whether this is the first process. A launcher runs the same command in all, and only the first prints."""
    return told("RANK") in (None, "0")


def is_alone() -> bool:
    """Return whether the run has a single process."""
    return told("WORLD_SIZE") in (None, "1")
