"""What launchers say of the processes of a run, and what is said where these do not come."""

import datetime
import socket
import time

import pytest
from accelerate.commands.launch import launch_command_parser
from accelerate.utils.launch import prepare_simple_launcher_cmd_env

from ncfm_hub.cli._output import Output
from ncfm_hub.errors import LaunchError
from ncfm_hub.machine import processes
from ncfm_hub.machine.engine import open_engine
from ncfm_hub.machine.processes import join_processes
from ncfm_hub.utils.launchers import KINDS

TYPE = r"; start all processes by `torchrun --standalone --nproc-per-node N -m ncfm_hub ...`$"


@pytest.fixture(autouse=True)
def started_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for names in KINDS.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)


def test_a_process_that_was_started_alone_joins_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    join_processes(on_gpu=False)
    for name in ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.setenv(name, "1")
        assert open_engine("fp32", "off").accelerator.num_processes == 1
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")  # left over from something else
    join_processes(on_gpu=False)


def test_accelerate_that_starts_one_of_several_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the environment that its launcher itself makes."""
    values = {"--num_processes": "2", "--num_machines": "1", "--mixed_precision": "no", "--dynamo_backend": "no"}
    arguments = ["--cpu", *(word for pair in values.items() for word in pair), "-m", "ncfm_hub", "env"]
    asked = launch_command_parser().parse_args(arguments)
    asked.use_cpu, asked.num_cpu_threads_per_process = True, 1
    command, environment = prepare_simple_launcher_cmd_env(asked)
    assert command[1:] == ["-m", "ncfm_hub", "env"]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LaunchError, match="accelerate launch` was asked for several .* has started one" + TYPE):
        open_engine("fp32", "off")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"WORLD_SIZE": "2"}, "asks for 2 processes and lacks RANK or PMI_RANK .* and LOCAL_RANK or "),
        ({"PMI_SIZE": "3", "PMI_RANK": "1"}, "asks for 3 processes and lacks LOCAL_RANK or "),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE in the environment is 'two'; expected a number"),
        ({"LOCAL_RANK": "0"}, "LOCAL_RANK is set, as by a launcher, and WORLD_SIZE is not; unset it, or start all"),
    ],
    ids=str,
)
@pytest.mark.parametrize("on_gpu", [False, True])
def test_what_a_launcher_left_out_is_named(
    told: dict[str, str], message: str, on_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LaunchError, match=message):
        join_processes(on_gpu)


def test_of_processes_that_mpi_started_the_first_one_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Output().speaks, Output().alone) == (True, True)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("OMPI_COMM_WORLD_RANK", str(rank))
        assert (Output().speaks, Output().alone) == (rank == 0, False)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_others_that_do_not_come_are_not_waited_for_forever(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "UNTIL_ALL_ARE_HERE", datetime.timedelta(seconds=1))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in told.items():
        monkeypatch.setenv(name, str(value))
    began = time.monotonic()
    missed = rf"process {rank} of 2 did not meet the others at 127.0.0.1:{port} within 1 s \(.+\)"
    with pytest.raises(LaunchError, match=missed + TYPE) as raised:
        open_engine("fp32", "off")
    assert time.monotonic() - began < 30
    assert len(str(raised.value).splitlines()) == 1
