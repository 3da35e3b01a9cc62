"""Shared by all tests: test data, a live local hub, and the command line as a user runs it."""

import atexit
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.children import run_python

if TYPE_CHECKING:
    from ncfm_hub.localhub import Hub
    from ncfm_hub.machine.engine import Engine
    from ncfm_hub.sources.types import Source

DATA = "NCFM_HUB_TEST_DATA"
REPOSITORY = Path(__file__).resolve().parents[1]

# Before torch is imported: the tensors of tests are small, and more threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))
# Before the client is imported: it remembers by address what it has uploaded, and addresses of former hubs come again.
os.environ["HF_XET_CACHE"] = tempfile.mkdtemp(prefix="ncfm-hub-xet-")
atexit.register(shutil.rmtree, os.environ["HF_XET_CACHE"], ignore_errors=True)
# The hubs of tests speak plain HTTP, but every new client reads the machine's certificate authorities: one is enough.
for authority in ssl.create_default_context().get_ca_certs(binary_form=True)[:1]:
    os.environ["SSL_CERT_FILE"] = str(Path(os.environ["HF_XET_CACHE"], "authority.pem"))
    Path(os.environ["SSL_CERT_FILE"]).write_text(ssl.DER_cert_to_PEM_cert(authority))
# A suite started in the background ignores SIGINT, and whatever it starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# A folder of tests or a fixture says what a test needs; so nobody has to write it on the test.
MARKS = {
    "e2e": ("e2e", {"cli", "client"}),
    "hub": ("localhub", {"hub", "town", "server", "seeded"}),
}


def pytest_configure(config: pytest.Config) -> None:
    """Hide the machine's GPUs, before anything asks for them: only `pytest -m gpu` uses them."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        for mark, (folder, needed) in MARKS.items():
            if item.path.parent.name == folder or fixtures & needed:
                item.add_marker(mark)
    # The files that take longest come first, so that no process is left alone with one of them at the end.
    items.sort(key=lambda item: item.path.parent.name != "e2e")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA here")


@pytest.fixture(scope="session", autouse=True)
def short_timing() -> Iterator[None]:
    """Estimates time a single call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ncfm_hub.planning.timing.SECONDS", 0)
        yield


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real test data. Without the variable the test is skipped; with it, a skip is a failure."""
    named = os.environ.get(DATA)
    if not named:
        pytest.skip(f"{DATA} is not set")
    folder = Path(named).resolve()
    assert folder.is_dir(), f"{DATA} names {folder}, which is no folder"
    return folder


@pytest.fixture(scope="session")
def compiler() -> str:
    """The C++ compiler. Without one the test is skipped; where `CI` is set, as CI services do, it fails."""
    from ncfm_hub.machine.native import cpp_compiler

    found = cpp_compiler()
    if found is None and os.environ.get("CI"):
        pytest.fail("CI is set, so every test must run, and no C++ compiler was found")
    if found is None:
        pytest.skip("no C++ compiler was found")
    return found


@pytest.fixture(scope="session")
def engine() -> "Engine":
    """In fp32 on the CPU, by torch's operations."""
    from tests.matching.tiny import plain_engine

    return plain_engine()


@pytest.fixture(scope="session")
def source() -> "Source":
    """Three classes of a few striped images."""
    from tests.matching.tiny import tiny_source

    return tiny_source()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Caches that the tests of one file share, so that a pool is trained once; no token."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NCFM_HUB_CACHE", str(folder / "cache"))
        patch.delenv("NCFM_HUB_CONFIG", raising=False)
        patch.setattr("huggingface_hub.utils._auth.get_token", lambda: None)
        patch.setattr("huggingface_hub.get_token", lambda: None)
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "datasets")
        yield folder


def clean_environment(home: Path) -> dict[str, str]:
    """This process's environment for a child whose home, caches and Hub settings are its own."""
    foreign = ("HF_", "HUGGING", "NCFM_HUB_", "TRANSFORMERS_", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "NCFM_HUB_CACHE": str(home / "cache"),
        "PYTHONPATH": str(REPOSITORY),
    }


Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run `ncfm-hub ARGS` in a child process with a home of its own: cli(*args, env={}, cwd=None, timeout=300)."""
    home = tmp_path / "home"
    home.mkdir()

    def run(
        *args: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        environment = clean_environment(home) | (env or {})
        return run_python(["-m", "ncfm_hub", *args], environment, cwd or tmp_path, timeout)

    return run


@dataclass(frozen=True)
class LiveHub:
    """A local hub for one test, with the user `ada` (write) and a read-only token of hers.

    env: what a child process needs to talk to it as somebody who may write
    reader: the same with the read-only token
    """

    hub: "Hub"
    root: Path
    env: dict[str, str]
    reader: dict[str, str]

    def api(self) -> Any:
        """An HfApi of this process that may write."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.hub.url, token=self.env["HF_TOKEN"])


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LiveHub]:
    """A fresh hub that listens until the test ends; faults can be injected by `hub.hub.inject`."""
    from ncfm_hub.localhub import User, running

    root = tmp_path / "hub"
    users = [User("ada", "writing-token-of-ada", "write"), User("ada", "reading-token-of-ada", "read")]
    with running(root, users=users, allow_faults=True) as live:
        common = {"HF_ENDPOINT": live.url, "HF_HOME": str(tmp_path / "hub-client")}
        yield LiveHub(live, root, common | {"HF_TOKEN": users[0].token}, common | {"HF_TOKEN": users[1].token})


def _skipped(config: pytest.Config) -> list[Any]:
    """Those that test data would have let run: tests of a GPU wait for one."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    found = reporter.stats.get("skipped", []) if reporter else []
    return [report for report in found if "gpu" not in getattr(report, "keywords", ())]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get(DATA) and _skipped(session.config) and session.exitstatus == 0:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    count = len(_skipped(config))
    if count and os.environ.get(DATA):
        terminalreporter.write_line(f"{DATA} is set, so every test must run: {count} skipped, which fails", red=True)
    elif count:
        terminalreporter.write_line(f"{count} NOT TESTED: set {DATA} to the folder of test data", yellow=True)
