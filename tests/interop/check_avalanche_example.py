# environment: continual
"""`examples/continual_avalanche.py`, as a user runs it."""

import os
import runpy
import sys
from pathlib import Path

example = Path(__file__).resolve().parents[2] / "examples" / "continual_avalanche.py"
sys.argv = [str(example), os.environ["NCFM_HUB_INTEROP_SET"]]
found = runpy.run_path(str(example), run_name="__main__")
assert sorted(found["seen"]) == list(range(len(found["distilled"].class_names)))
assert found["right"] > 3 / len(found["seen"]), "better than chance"
