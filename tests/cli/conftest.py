"""A stand-in for the library, so that what the commands add to it is tested alone."""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

import ncfm_hub

ROW = {"n": 2, "mean": 63.44, "std": 0.31, "values": [63.22, 63.66]}
RESULTS = {
    "rows": [
        {"set": "random", "labels": "hard", "images": 100, "accuracy": ROW | {"mean": 39.6, "std": None, "n": 1}},
        {"set": "distilled", "labels": "soft", "images": 400, "stored_images": 100, "accuracy": ROW, "seconds": 93.1},
    ],
    "protocol": {"metric": "top-1 accuracy in percent at the last epoch"},
}


class FakeLibrary(types.ModuleType):
    """`ncfm_hub.api` that does nothing: it keeps the calls and returns or raises what a test asks for."""

    def __init__(self, folder: Path):
        super().__init__("ncfm_hub.api")
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.minutes: float | None = 12.0
        self.failure: BaseException | None = None
        self.pushed = SimpleNamespace(
            repo_id="ada/x",
            url="http://hub/datasets/ada/x",
            revision="f" * 40,
            branch="main",
            tag=None,
            pull_request=None,
            changes=SimpleNamespace(as_dict=dict),
        )
        self.folder = folder

    def plan(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(("plan", args, kwargs))
        no_cost = "nobody has timed it" if self.minutes is None else None
        facts = {"pipeline": "cifar10", "cost": {"total_minutes": self.minutes}, "no_cost": no_cost}
        return SimpleNamespace(
            as_dict=lambda: facts, lines=lambda: ["source  cifar10", "classes 10"], pushed=self._pushed(kwargs)
        )

    def plan_pool(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(("plan_pool", args, kwargs))
        return SimpleNamespace(as_dict=lambda: {"minutes": 3.0}, lines=lambda: ["estimate   3.0 min"])

    def carry_out(self, plan: Any, **kwargs: Any) -> Any:
        finished = SimpleNamespace(
            folder=self.folder, name="ipc10", set_folder=self.folder / "ipc10", results=RESULTS, pushed=plan.pushed
        )
        return self._finish("carry_out", (plan,), kwargs, finished)

    def pretrain(self, *args: Any, **kwargs: Any) -> Any:
        pool = SimpleNamespace(
            folder=self.folder,
            key="abc",
            members=2,
            accuracy=[{"0.0": 74.0, "1.0": 9.5}, {"0.0": 75.0, "1.0": 10.5}],
            pushed=self._pushed(kwargs),
        )
        return self._finish("pretrain", args, kwargs, pool)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        return self._finish("evaluate", args, kwargs, RESULTS)

    def push(self, *args: Any, **kwargs: Any) -> Any:
        return self._finish("push", args, kwargs, self.pushed)

    def _pushed(self, kwargs: dict[str, Any]) -> Any:
        return self.pushed if kwargs["push"] else None

    def _finish(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any) -> Any:
        self.calls.append((name, args, kwargs))
        if self.failure is not None:
            raise self.failure
        return value

    def call(self, name: str) -> dict[str, Any]:
        """Keyword arguments of the only call of `name`."""
        (kwargs,) = [kwargs for called, _, kwargs in self.calls if called == name]
        return kwargs


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    fake = FakeLibrary(tmp_path / "out")
    monkeypatch.setitem(sys.modules, "ncfm_hub.api", fake)
    monkeypatch.setattr(ncfm_hub, "api", fake, raising=False)
    return fake


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command line in this process: invoke(*args) -> Result with exit_code, stdout, stderr."""
    from ncfm_hub.cli import main

    for name in ("HF_DEBUG", "HF_TOKEN", "RANK", "WORLD_SIZE", "NCFM_HUB_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, "1")  # what Output sets is put back after the test
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args], prog_name="ncfm-hub")
