"""What the wheel carries, and the rule about skipped tests."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_wheel_carries_pipelines_cards_and_digits(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for folder in ("pipelines", "model_cards"):
        here = {f"ncfm_hub/_data/{folder}/{path.name}" for path in (REPOSITORY / folder).iterdir()}
        assert here <= set(names)
    kernels = REPOSITORY / "ncfm_hub" / "machine" / "kernels"
    native = {f"ncfm_hub/machine/kernels/{path.name}" for path in kernels.iterdir() if path.suffix in (".cpp", ".h")}
    assert len(native) > 2
    assert native <= set(names)
    assert any(name.startswith("ncfm_hub/") and "digits" in name and name.endswith(".parquet") for name in names)
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("marks", "data", "status", "words"),
    [("", "x", 1, "1 skipped, which fails"), ("", "", 0, "1 NOT TESTED"), ("@pytest.mark.gpu", "x", 0, "1 skipped")],
)
def test_a_skip_is_a_failure_where_test_data_are_given(tmp_path, monkeypatch, marks, data, status, words):
    """A test of a GPU apart."""
    (tmp_path / "conftest.py").write_text((REPOSITORY / "tests" / "conftest.py").read_text())
    skips = f"import pytest\n{marks}\ndef test_a(): pytest.skip('no')\ndef test_b(): pass\n"
    (tmp_path / "test_it.py").write_text(skips)
    monkeypatch.setenv("NCFM_HUB_TEST_DATA", data)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == status
    assert words in found.stdout
