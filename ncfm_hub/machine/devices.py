"""Choose the device of a run."""

import torch

from ncfm_hub.errors import DeviceError


def choose_device(asked: str, processes: int = 1) -> torch.device:
    """Return the device for "auto", "cpu", "cuda" or "cuda:N"; auto is the GPU if there is one.

    processes: of the run; several take one GPU each, in their order
    Raises DeviceError if there is no such GPU, or several processes are to share one.
    """
    if asked == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return torch.device("cuda" if count else "cpu")
    device = torch.device(asked)
    if not count:
        raise DeviceError(
            f"--device {asked}: torch {torch.__version__} finds no CUDA GPU here; give cpu, or leave it out"
        )
    if device.index is not None and device.index >= count:
        raise DeviceError(f"--device {asked}: there is no such GPU here, only cuda:0 to cuda:{count - 1}")
    if device.index is not None and processes > 1:
        raise DeviceError(f"--device {asked}: {processes} processes take a GPU each; give --device cuda")
    return device
