"""`import ncfm_hub` is quick, and gives what it says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ncfm_hub
from tests.children import run_python


def test_importing_the_package_imports_nothing_heavy():
    script = "import sys, ncfm_hub; print([n for n in ('torch', 'datasets', 'timm', 'pydantic') if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_no_module_hides_a_public_function():
    # Importing the module `ncfm_hub.x` sets the attribute `x` of the package, whatever it was before.
    package = Path(ncfm_hub.__file__).parent
    modules = {path.stem for path in package.glob("*.py")} | {path.name for path in package.iterdir() if path.is_dir()}
    assert not modules & set(ncfm_hub.__all__)


@pytest.mark.slow
def test_every_public_name_is_there(tmp_path):
    script = (
        "import ncfm_hub\n"
        "names = [n for n in ncfm_hub.__all__ if n != '__version__']\n"
        "print([n for n in names if not callable(getattr(ncfm_hub, n))], set(ncfm_hub.__all__) <= set(dir(ncfm_hub)))"
    )
    found = run_python(["-c", script], os.environ, tmp_path, timeout=60)
    assert found.stdout == "[] True\n", found.stderr


def test_an_unknown_name_is_an_attribute_error():
    script = "import ncfm_hub\ntry:\n    ncfm_hub.nothing\nexcept AttributeError as error:\n    print(error)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "module 'ncfm_hub' has no attribute 'nothing'\n"
