"""`import ncfm_hub` is quick, and gives what it says."""

import subprocess
import sys


def test_importing_the_package_imports_nothing_heavy():
    script = "import sys, ncfm_hub; print([n for n in ('torch', 'datasets', 'timm', 'pydantic') if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_every_public_name_is_there_and_callable_whatever_was_imported_before():
    # A submodule of the same name as a function would hide it once imported.
    script = (
        "import ncfm_hub.run, ncfm_hub\n"
        "names = [n for n in ncfm_hub.__all__ if n != '__version__']\n"
        "print([n for n in names if not callable(getattr(ncfm_hub, n))], set(ncfm_hub.__all__) <= set(dir(ncfm_hub)))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout == "[] True\n", found.stderr


def test_an_unknown_name_is_an_attribute_error():
    script = "import ncfm_hub\ntry:\n    ncfm_hub.nothing\nexcept AttributeError as error:\n    print(error)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "module 'ncfm_hub' has no attribute 'nothing'\n"
