"""torch's settings for a run, as long as it lasts; imports nothing heavy until it is used."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def reproducible() -> Iterator[None]:
    """Compute in full fp32 by deterministic kernels on GPUs; leave torch's switches and random state as they were.

    Also a decorator, for the calls that users of the library make: what these set is the user's.
    """
    import torch

    # Where the caller has not used a GPU yet there is no state on it to keep, and asking would start it.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with ExitStack() as after:
        after.enter_context(torch.random.fork_rng(devices))
        if torch.cuda.is_available():
            cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
            for switches, name, value in (
                (cudnn, "benchmark", False),
                (cudnn, "deterministic", True),
                (cudnn, "allow_tf32", False),
                (matmul, "allow_tf32", False),
            ):
                after.callback(setattr, switches, name, getattr(switches, name))
                setattr(switches, name, value)
        yield
