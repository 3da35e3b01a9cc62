"""Child processes in which what takes longest to import is imported already.

They are forked by the fork server of the standard library. What reads the environment when it is imported, the Hub's
clients and ncfm_hub among it, is imported in the child as ever.
"""

import atexit
import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from multiprocessing import connection
from pathlib import Path
from types import ModuleType

_IMPORTED = [
    *("click", "filelock", "h11", "httpx2", "jinja2", "pandas", "pyarrow.dataset", "pyarrow.parquet", "pydantic"),
    *("scipy.io", "scipy.optimize", "torch._dynamo", "torchvision", "yaml"),
]
# Whoever asks a process how it ended takes the answer away: starting another asks all of them.
_ONE_AT_A_TIME = threading.Lock()


def run_python(
    arguments: Sequence[str | Path], env: Mapping[str, str], cwd: Path, timeout: float, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """What `python ARGUMENTS` makes of the text `given`; they begin with `-m MODULE`, `-c CODE` or a file."""
    if sys.platform == "darwin":  # whose BLAS, used before a fork, may crash after it
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, env=env, cwd=cwd, timeout=timeout, input=given, capture_output=True, text=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    with tempfile.TemporaryDirectory() as name:
        streams = [Path(name, stream) for stream in ("stdin", "stdout", "stderr")]
        streams[0].write_text(given)
        child = context.Process(target=_be_python, args=([*map(str, arguments)], dict(env), cwd, streams))
        with _ONE_AT_A_TIME:
            child.start()
        if not connection.wait([child.sentinel], timeout):
            child.kill()
            raise subprocess.TimeoutExpired(list(arguments), timeout)
        with _ONE_AT_A_TIME:
            child.join()
        assert child.exitcode is not None
        return subprocess.CompletedProcess(
            list(arguments), child.exitcode, *(stream.read_text() for stream in streams[1:])
        )


def _be_python(arguments: list[str], env: dict[str, str], cwd: Path, streams: list[Path]) -> None:
    assert "huggingface_hub" not in sys.modules, "it would keep the settings of another process"
    gc.freeze()
    os.environ.clear()
    os.environ.update(env)
    for number, stream in enumerate(streams):
        os.dup2(os.open(stream, os.O_RDWR | os.O_CREAT), number)
    os.chdir(cwd)
    sys.path[:0] = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path and path not in sys.path]
    sys.stdin = os.fdopen(0, closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "OMP_NUM_THREADS" in env:  # which was read when torch was imported
        import torch

        torch.set_num_threads(int(env["OMP_NUM_THREADS"]))
    try:
        _execute(arguments)
    finally:
        atexit._run_exitfuncs()


def _execute(arguments: list[str]) -> None:
    first, *rest = arguments
    if first == "-m":
        from ncfm_hub.planning import timing

        timing.SECONDS = 0  # estimates time a single call, as in the tests' own process
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *rest[1:]]
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    else:
        sys.argv = arguments
        runpy.run_path(first, run_name="__main__")
