"""Load a distilled dataset into NumPy or JAX arrays, by `datasets` alone, and fit a linear classifier to them.

python examples/numpy_jax.py owner/cifar10-ncfm
python examples/numpy_jax.py owner/cifar10-ncfm --jax
"""

import argparse

import numpy
from datasets import load_dataset

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("dataset", help="distilled dataset: folder or Hub repository")
parser.add_argument("--name", help="configuration, such as ipc10 (default: the one that the card marks)")
parser.add_argument("--jax", action="store_true", help="compute in JAX, which must be installed")
parser.add_argument("--updates", type=int, default=500)
given = parser.parse_args()

if given.jax:
    import jax.numpy as np
else:
    np = numpy

train = load_dataset(given.dataset, given.name, split="train")
columns = train.with_format("numpy")
images = np.asarray(numpy.stack(columns["image"][:]), dtype=np.float32) / 255  # (N, H, W, c); grey (N, H, W)
labels = np.asarray(columns["label"][:])  # (N,)
soft = np.asarray(numpy.stack(columns["soft_label"][:]))  # (N, C), probabilities
print(f"images {images.shape} {images.dtype}, labels {labels.shape}, soft labels {soft.shape}")

pixels = images.reshape(len(images), -1)
pixels = (pixels - pixels.mean(0)) / (pixels.std(0) + 1e-3) / pixels.shape[1] ** 0.5  # rows of length 1
weights = np.zeros((pixels.shape[1], soft.shape[1]))
bias = np.zeros(soft.shape[1])
for _ in range(given.updates):
    logits = pixels @ weights + bias
    odds = np.exp(logits - logits.max(1, keepdims=True))
    error = odds / odds.sum(1, keepdims=True) - soft  # the gradient of cross-entropy
    weights = weights - 2.0 * pixels.T @ error / len(pixels)
    bias = bias - 2.0 * error.mean(0)
right = (pixels @ weights + bias).argmax(1) == labels
print(f"a linear classifier knows {100 * float(right.mean()):.1f} % of the {len(labels)} images it was fitted to")
