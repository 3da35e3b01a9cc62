"""The machine a run is carried out on: device, precision, compilation, processes.

`open_engine` looks at the machine once and says what it falls back to; everything else asks the Engine.
"""

import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import torch
from accelerate import Accelerator

from ncfm_hub.errors import NcfmHubError
from ncfm_hub.machine.compiling import Compiler
from ncfm_hub.machine.cpu import cpu_name
from ncfm_hub.machine.devices import choose_device
from ncfm_hub.machine.native import cpp_compiler, damaged_libraries
from ncfm_hub.machine.precision import autocast, choose_precision, tf32
from ncfm_hub.machine.processes import join_processes, processes_asked
from ncfm_hub.utils.progress import Progress, Silent

T = TypeVar("T")


@dataclass(frozen=True)
class Engine:
    """How to compute.

    precision: "fp32", "bf16" or "fp16" (autocast on networks; statistics stay in fp32), see `machine.precision`
    compiled: networks go through torch.compile, all or only ConvNets
    native: ConvNets run by native kernels instead, which is faster: in fp32 on a CPU
    chosen: the device of a single process; None: the accelerator's
    """

    accelerator: Accelerator
    precision: str
    compiled: bool | Literal["ConvNets"]
    native: bool
    chosen: torch.device | None = None
    compiler: Compiler = field(default_factory=Compiler, compare=False, repr=False)

    @property
    def device(self) -> torch.device:
        """Where to compute: the device asked for, or this process's own among several."""
        return self.chosen or self.accelerator.device

    @property
    def processes(self) -> int:
        return self.accelerator.num_processes

    def autocast(self, training: bool = False) -> AbstractContextManager[Any]:
        """The context in which networks run; gradients would vanish in fp16, so that training then stays in fp32."""
        return autocast("fp32" if training and self.precision == "fp16" else self.precision, self.device)

    def at_work(self) -> AbstractContextManager[Any]:
        """The context of a step or an update: on a GPU fp32 means TF32 unless exact fp32 was asked for."""
        return tf32(self.precision != "fp32") if self.device.type == "cuda" else nullcontext()

    def fuse(self, function: Callable[..., T]) -> Callable[..., T]:
        """The function compiled as one on a GPU, where it would otherwise be bound by launches, or itself."""
        return self.compiler.compiled(function, self.device) if self.fuses else function

    @property
    def fuses(self) -> bool:
        return bool(self.compiled) and self.device.type == "cuda"

    def compile(self, function: Callable[..., Any], network: torch.nn.Module) -> Callable[..., Any]:
        """The function, which runs this network, compiled for the shapes it will see, or itself."""
        return self.compiler.compiled(function, self.device) if self.compiles(network) else function

    def compiles(self, network: torch.nn.Module) -> bool:
        """Whether what runs this network is compiled at its first call, which then takes a while."""
        return self.compiled is True or (
            self.compiled == "ConvNets" and bool(getattr(network, "compiles_quickly", False))
        )

    def decide_once(self, decide: Callable[[], T]) -> T:
        """What the main process decides, in every process: each for itself may find the files of a cache otherwise.

        What it refuses by an NcfmHubError is refused in all of them.
        """
        if self.accelerator.num_processes == 1:
            return decide()
        from accelerate.utils import broadcast_object_list

        told: list[Any] = [None, None]
        if self.accelerator.is_main_process:
            try:
                told[0] = decide()
            except NcfmHubError as error:
                told[1] = error
        answer, refused = broadcast_object_list(told)
        if refused is not None:
            raise refused
        return cast(T, answer)

    def describe(self) -> dict[str, Any]:
        """What a distilled dataset's `pipeline.yaml` states about the machine."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else cpu_name()
        return {
            "device": self.device.type,
            "description": name,
            "threads": torch.get_num_threads(),
            "processes": self.accelerator.num_processes,
            "precision": self.precision,
            "compile": self.compiled,
            "native": self.native,
        }


def open_engine(
    precision: str = "auto",
    compile_: str = "auto",
    progress: Progress | None = None,
    build: bool = True,
    device: str = "auto",
) -> Engine:
    """Choose device, precision and compilation.

    precision: "auto", "fp32" or "bf16"; compile_: "auto", "on" or "off", where "auto" on a CPU compiles ConvNets alone.
    What was asked for and cannot be had is said once through `progress`, and done without. build: build the native
    kernels now if they are not in the cache; without it they count as there wherever there is a compiler. device: as in
    `choose_device`, which may raise DeviceError.
    Runs go on inside `reproducible`, which holds the settings of the process that this leaves alone.
    """
    progress = progress or Silent()
    wanted = choose_device(device, processes_asked())
    join_processes(wanted.type == "cuda")
    # accelerate keeps its first device for as long as the process lives; ours may change with every run of it.
    accelerator = Accelerator(cpu=wanted.type == "cpu" if processes_asked() > 1 else not torch.cuda.is_available())
    chosen = None if accelerator.num_processes > 1 else wanted
    place = chosen or accelerator.device
    fits = choose_precision(precision, place, progress)
    compiled = _worth_compiling(place, compile_)
    native = bool(compiled) and place.type == "cpu" and fits == "fp32" and cpp_compiler() is not None
    if native and build:
        native = _have_kernels(progress)
    if compiled and not compiler_found(place):
        which = "ConvNets" if compiled == "ConvNets" else "networks"
        but = " without native kernels" if native else ""
        progress.note(f"no compiler with the headers of Python found; {which}{but} run uncompiled, about half as fast")
        compiled = False
    return Engine(accelerator, fits, compiled, native, chosen, Compiler(progress))


def _have_kernels(progress: Progress) -> bool:
    """Whether the native kernels are there or could be built now."""
    from ncfm_hub.machine.kernels.available import native_works

    for library in damaged_libraries():
        progress.note(f"{library} is damaged; it is built anew")
    works = native_works()
    if not works:
        progress.note("native kernels cannot be built or kept here; ConvNets run about a third as fast")
    return works


def images_within(at_32_px: int, resolution: int) -> int:
    """How many images of a resolution take the memory of so many at 32 px; of smaller ones no more than those."""
    return max(1, at_32_px * 32**2 // max(32**2, resolution**2))


def compiler_found(device: torch.device) -> bool:
    """Whether torch.compile has what it needs: a compiler and Python's headers, and triton on a GPU."""
    if device.type == "cuda":
        named = os.environ.get("CC")
        found = _triton_works(device) and any(
            shutil.which(name) for name in ([named] if named else ["gcc", "clang", "cc"])
        )
    else:
        found = cpp_compiler() is not None
    return found and (Path(sysconfig.get_path("include")) / "Python.h").is_file()


def _worth_compiling(device: torch.device, compile_: str) -> bool | Literal["ConvNets"]:
    """What the switch means on a device.

    On one core of a busy machine two timm networks, resnet10t and mobilenetv3_small_050, took 98 and 194 s to compile
    for training and evaluation, and then 1.04 and 0.87 of the time for an update of 64 images of 32 px: one never comes
    out even, the other after some 20,000 updates. A ConvNet-3 took 34 s, and then 0.54 of the time: after 140.
    """
    return "ConvNets" if compile_ == "auto" and device.type == "cpu" else compile_ != "off"


def _triton_works(device: torch.device) -> bool:
    """Whether triton is there and has code for the GPU: from Volta (compute capability 7) on."""
    return importlib.util.find_spec("triton") is not None and torch.cuda.get_device_capability(device)[0] >= 7
