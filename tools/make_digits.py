"""Make `ncfm_hub/data/digits`, the packaged dataset, from scikit-learn's copy of the optical handwritten digits.

    python tools/make_digits.py [FOLDER]

8 x 8 images with values 0..16 become grey PNGs with values 0..255; the split (1,437 and 360 images) is stratified by
digit, seed 0.
The same versions of Pillow, pyarrow and scikit-learn write the same bytes.
"""

import io
import sys
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as Pillow
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

TEST_IMAGES = 360
README = """\
---
annotations_creators:
- expert-generated
license: cc-by-4.0
pretty_name: Optical handwritten digits, 8 x 8
size_categories:
- 1K<n<10K
task_categories:
- image-classification
dataset_info:
  config_name: default
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
{names}
  splits:
  - name: train
    num_bytes: {train_bytes}
    num_examples: {train_rows}
  - name: test
    num_bytes: {test_bytes}
    num_examples: {test_rows}
  download_size: {download}
  dataset_size: {total}
  citation: |-
    @misc{{alpaydin1998optical,
      title  = {{Optical Recognition of Handwritten Digits}},
      author = {{Alpaydin, Ethem and Kaynak, Cenk}},
      year   = {{1998}},
      doi    = {{10.24432/C50P49}},
      note   = {{UCI Machine Learning Repository}}
    }}
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
  default: true
---

# Optical handwritten digits, 8 x 8

{rows} grey images of the digits 0 to 9, 8 x 8 pixels: the test part of the UCI data set "Optical Recognition of
Handwritten Digits" (E. Alpaydin and C. Kaynak, 1998, https://doi.org/10.24432/C50P49, CC BY 4.0), as scikit-learn
distributes it. Each pixel counts the dark points of a 4 x 4 block of a scanned 32 x 32 bitmap.

Changes made here: counts 0..16 are scaled to 0..255 and kept as PNG; the images are split, stratified by digit
(seed 0), into {train_rows} for training and {test_rows} for testing.
"""


def png(image: np.ndarray) -> bytes:
    """A grey PNG of counts 0..16, float (8, 8)."""
    buffer = io.BytesIO()
    Pillow.fromarray(np.rint(image * 255 / 16).astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def main(folder: Path) -> None:
    digits = load_digits()
    train, test = train_test_split(
        np.arange(len(digits.target)), test_size=TEST_IMAGES, stratify=digits.target, random_state=0
    )
    features = Features({"image": Image(), "label": ClassLabel(names=[str(digit) for digit in range(10)])})
    facts: dict[str, int | str] = {"rows": len(digits.target), "download": 0, "total": 0}
    for name, rows in (("train", np.sort(train)), ("test", np.sort(test))):
        images = [{"bytes": png(digits.images[row]), "path": None} for row in rows]
        split = Dataset.from_dict({"image": images, "label": digits.target[rows].tolist()}, features=features)
        path = folder / "data" / f"{name}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = split.to_parquet(path)
        facts |= {f"{name}_rows": len(rows), f"{name}_bytes": size}
        facts["total"] = int(facts["total"]) + size
        facts["download"] = int(facts["download"]) + path.stat().st_size
    facts["names"] = "\n".join(f"          '{digit}': '{digit}'" for digit in range(10))
    (folder / "README.md").write_text(README.format(**facts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1] / "ncfm_hub/data/digits")
