# environment: jax
"""`examples/numpy_jax.py` in JAX and in NumPy, as a user runs it."""

import os
import runpy
import sys
from pathlib import Path

example = str(Path(__file__).resolve().parents[2] / "examples" / "numpy_jax.py")
shares = {}
for library, flags in (("jax", ["--jax"]), ("numpy", [])):
    sys.argv = [example, os.environ["NCFM_HUB_INTEROP_SET"], *flags]
    found = runpy.run_path(example, run_name="__main__")
    assert type(found["weights"]).__module__.startswith(library), "computed by the library that was asked for"
    shares[library] = float(found["right"].mean())
assert abs(shares["jax"] - shares["numpy"]) < 0.02, shares
