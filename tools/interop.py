"""Run the checks of our sets and exports in other people's software, and write down what they said.

    python tools/interop.py [--set FOLDER_OR_REPO] [NAME ...]

A check is a script `tests/interop/check_NAME.py`, which pytest does not collect. All of them are run, or those named.

- Its first line is `# environment: E`. A virtual environment is made for E out of
  `tests/interop/requirements-E.txt` (exact versions), once for each content of that file, under
  `~/.cache/ncfm-hub-interop/E` (`NCFM_HUB_INTEROP_CACHE` names another place). `# environment: project` is the Python
  that runs this file, and has no such file.
- It is run in an empty folder that is removed afterwards. It finds in its environment variables:
  `NCFM_HUB_INTEROP_SET`, the distilled folder or Hub id to check with (without --set, a small set of the packaged
  digits that is made once); `NCFM_HUB_PYTHON`, the project's Python, in which `-m ncfm_hub` is the command line;
  `PYTHONPATH`, with which `import ncfm_hub` finds this checkout, if the environment has the packages it needs;
  `NCFM_HUB_INTEROP_FILES`, a folder for files that docs/interop.md may link to (its own, `docs/interop/`).
- What it prints to stdout is the log: plain lines, the numbers it found among them. stderr goes to the terminal.
- Exit code 0: all is well. Any other is a failure, which is logged and makes this runner exit 1.

`docs/interop.md` has a section a check: command, date, versions, what it printed. A run replaces the sections of the
checks that were run and leaves the others.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHECKS = ROOT / "tests" / "interop"
LOG = ROOT / "docs" / "interop.md"
CACHE = Path(os.environ.get("NCFM_HUB_INTEROP_CACHE") or Path.home() / ".cache" / "ncfm-hub-interop")
HEADING = """\
# Interoperability

Other people's software, run on a distilled dataset. `make interop` (`tools/interop.py`) runs each script of
`tests/interop/` in an environment of its own and writes this page.
"""
_SECTION = re.compile(r"(?ms)^(## ([a-z0-9_]+)\n.*?)(?=^## [a-z0-9_]+\n|\Z)")
_FIRST_LINE = re.compile(r"# environment: ([a-z0-9-]+)\s*")


def environment_of(check: Path) -> str:
    """The name in a check's first line."""
    with check.open(encoding="utf-8") as script:
        found = _FIRST_LINE.fullmatch(script.readline())
    if not found:
        raise SystemExit(f"{check.name}: the first line must be `# environment: NAME`")
    return found.group(1)


def python_of(environment: str) -> Path:
    """The Python of an environment; makes it anew where its requirements have changed."""
    if environment == "project":
        return Path(sys.executable)
    requirements = CHECKS / f"requirements-{environment}.txt"
    folder = CACHE / environment
    python, stamp = folder / "bin" / "python", folder / "requirements.sha256"
    state = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == state:
        return python
    print(f"==> Making the environment {environment} in {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements]
    subprocess.run(install, check=True)
    stamp.write_text(state)
    return python


def small_set() -> Path:
    """A distilled set of the packaged digits, made once for each version of this project."""
    folder = CACHE / "digits-ipc10"
    if not (folder / "README.md").is_file():
        print(f"==> Distilling the packaged digits into {folder}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-m", "ncfm_hub", "distill", "--dataset", "digits", "--ipc", "10", "--preset", "cpu"]
        command += ["--steps", "100", "--students", "1", "--output", str(folder)]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=sys.stderr)
    return folder


def run_check(check: Path, target: str) -> tuple[bool, str]:
    """(whether it succeeded, its section of the log)."""
    environment = environment_of(check)
    python = python_of(environment)
    known = {
        "PYTHONPATH": str(ROOT),
        "NCFM_HUB_PYTHON": sys.executable,
        "NCFM_HUB_INTEROP_SET": target,
        "NCFM_HUB_INTEROP_FILES": str(LOG.with_suffix("")),
    }
    print(f"==> {check.name} in {environment}", file=sys.stderr)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ncfm-hub-interop-") as work:
        done = subprocess.run(
            [python, check], env=os.environ | known, cwd=work, stdout=subprocess.PIPE, text=True, check=False
        )
        printed = without_places(done.stdout.strip(), work, target)
    seconds = time.monotonic() - began
    print(printed, file=sys.stderr)
    outcome = "passed" if done.returncode == 0 else f"**FAILED** (exit code {done.returncode})"
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    name = check.stem.removeprefix("check_")
    facts = [
        f"{outcome}, {date}, {seconds:.0f} s, Python {platform.python_version()} on {platform.machine()}",
        f"command: `python tools/interop.py --set {Path(target).name if Path(target).is_dir() else target} {name}`",
        f"environment `{environment}`: {', '.join(versions(python, environment))}",
    ]
    lines = "\n".join(f"- {fact}" for fact in facts)
    return done.returncode == 0, f"## {name}\n\n{lines}\n\n```text\n{printed}\n```\n"


def versions(python: Path, environment: str) -> list[str]:
    """The packages that a check's environment was asked for, and torch and numpy, as installed."""
    wanted = {"torch", "numpy"}
    if environment != "project":
        text = (CHECKS / f"requirements-{environment}.txt").read_text()
        wanted |= {name.lower().replace("_", "-") for name in re.findall(r"(?m)^[A-Za-z0-9][\w.-]*", text)}
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
        text=True,
    )
    found = {row["name"].lower().replace("_", "-"): row["version"] for row in json.loads(listed.stdout)}
    return [f"{name} {found[name]}" for name in sorted(wanted & found.keys())]


def without_places(text: str, work: str, target: str) -> str:
    """What a check printed, with no path of this machine in it."""
    places = {target: Path(target).name} if Path(target).is_dir() else {}
    places |= {work: ".", str(LOG.parent): ".", str(CHECKS): ".", str(ROOT): ".", str(Path.home()): "~"}
    for place, short in places.items():
        text = text.replace(place, short)
    return text


def write_log(sections: dict[str, str]) -> None:
    """Replace the sections of these checks in docs/interop.md, by name; checks that are gone go too."""
    old = LOG.read_text(encoding="utf-8") if LOG.is_file() else ""
    there = {name: text for text, name in _SECTION.findall(old) if (CHECKS / f"check_{name}.py").is_file()}
    merged = there | sections
    text = "\n".join([HEADING, *(merged[name].rstrip() + "\n" for name in sorted(merged))])
    LOG.write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", help="a distilled folder or Hub id to check with; without it, small digits")
    parser.add_argument("names", nargs="*", metavar="NAME", help="checks to run: the NAME of check_NAME.py")
    given = parser.parse_args()
    there = {path.stem.removeprefix("check_"): path for path in sorted(CHECKS.glob("check_*.py"))}
    if unknown := [name for name in given.names if name not in there]:
        parser.error(f"there is no check {unknown[0]!r}; there are: {', '.join(there)}")
    target = given.set or str(small_set())
    target = str(Path(target).resolve()) if Path(target).is_dir() else target
    failed, sections = [], {}
    for name in given.names or there:
        ok, sections[name] = run_check(there[name], target)
        failed += [] if ok else [name]
    write_log(sections)
    print(f"==> {len(sections)} checks, failed: {', '.join(failed) or 'none'}; see {LOG}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
