"""What a launcher tells each of several processes in the environment, by the names of torchrun or of MPI's kinds."""

import os

KINDS = {
    "RANK": ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK"),
    "WORLD_SIZE": ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"),
    "LOCAL_RANK": ("LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK"),
}


def told(name: str) -> str | None:
    """What the first variable of a kind says that is set; None where none is."""
    return next((os.environ[kind] for kind in KINDS[name] if os.environ.get(kind)), None)


def is_first_process() -> bool:
    """Under a launcher every process runs the same command: only the first one speaks."""
    return told("RANK") in (None, "0")


def is_alone() -> bool:
    """Whether the run has this process alone."""
    return told("WORLD_SIZE") in (None, "1")
