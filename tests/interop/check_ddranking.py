# environment: ddranking
"""DD-Ranking's own evaluators on an export of ours: they train on it, and test on the source's test images.

Its loader downloads the datasets it knows, so it is handed images of our reader in their place. LabelRobustScoreHard
runs but for its table of results, which 0.2.0 cannot write: it keeps each LRS twice and the other figures once. Of
LabelRobustScoreSoft only the part that trains on the export's soft labels runs: the `compute_metrics` of 0.2.0 passes
too few arguments to its own `get_random_data_tensors`. Budgets are small, one network each, so these accuracies lie
below those of a full training.
"""

import contextlib
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from ddranking.metrics import LabelRobustScoreHard, LabelRobustScoreSoft, hard_label, soft_label
from torch.nn.functional import softmax

EPOCHS, BATCH, RATE, TESTED = 10, 16, 0.01, 1000
DSA = {"flip": 0.5, "rotate": 15.0, "saturation": 2.0, "brightness": 1.0, "contrast": 0.5}
DSA |= {"scale": 1.2, "crop": 0.125, "cutout": 0.5}
OURS = """
import json, sys, torch
from ncfm_hub.evaluation.opening import open_subject
from ncfm_hub.publishing.dataset.records import read_results
subject = open_subject(sys.argv[1])
source = subject.source
torch.save([source.train.images, source.train.labels, source.test.images, source.test.labels], "source.pt")
rows = read_results(subject.folder).get("rows", [])
print(json.dumps([[row["set"], row["labels"], row["accuracy"]["mean"]] for row in rows if "accuracy" in row]))
"""


class Images(torch.utils.data.Dataset):
    """Real images as torchvision's CIFAR10 has them after its transform: normalised, three channels, `targets`."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, figures: dict[str, Any]):
        self.images, self.targets = images, labels.tolist()
        self.mean, self.std = (torch.tensor(figures[key])[:, None, None] for key in ("mean", "std"))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return ((self.images[index].float() / 255 - self.mean) / self.std).expand(3, -1, -1), self.targets[index]


def project(*arguments: str) -> str:
    """What a command of the project's Python prints."""
    command = [os.environ["NCFM_HUB_PYTHON"], *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


target = os.environ["NCFM_HUB_INTEROP_SET"]
project("-m", "ncfm_hub", "export", target, "--to", "dd-ranking", "--output", "export")
measured = {(name, labels): mean for name, labels, mean in json.loads(project("-c", OURS, target))}
about = json.loads(Path("export/export.json").read_text())
images, logits, labels = (
    torch.load(f"export/{name}", weights_only=True) for name in ("images.pt", "labels.pt", "hard_labels.pt")
)
train_images, train_labels, test_images, test_labels = torch.load("source.pt", weights_only=True)
some = torch.randperm(len(test_images), generator=torch.Generator().manual_seed(0))[:TESTED]
train = Images(train_images, train_labels, about["normalised_by"])
test = Images(test_images[some], test_labels[some], about["normalised_by"])
classes, side = len(about["class_names"]), tuple(images.shape[-2:])
same = {c: c for c in range(classes)}
figures = (about["normalised_by"]["mean"], about["normalised_by"]["std"])
for module in (hard_label, soft_label):
    module.get_dataset = lambda *_: (3, side, *figures, classes, train, test, test, same, same)
hard_label.save_results = lambda *_: None
# It wants the accuracy of the whole training split; what was not measured is no number.
hard_label.REAL_DATA_ACC_CACHE["CIFAR10-ConvNet-3"] = measured.get(("whole", "hard"), float("nan"))

common: dict[str, Any] = {
    "dataset": "CIFAR10",  # only with this name or CIFAR100 does it take a dataset that is no folder of images
    "model_name": "ConvNet-3",
    "data_aug_func": "dsa",
    "aug_params": DSA,
    "lr_scheduler": "cosineannealing",
    "num_eval": 1,
    "num_epochs": EPOCHS,
    "im_size": side,
    "syn_batch_size": BATCH,
    "num_workers": 0,
    "random_data_format": "tensor",
    "device": "cpu",
    "save_path": "results/scores.csv",
}
with open("said.txt", "w") as said, contextlib.redirect_stdout(said):
    hard = LabelRobustScoreHard(ipc=about["stored_images_per_class"], **common)
    scores = hard.compute_metrics(image_tensor=images, hard_labels=labels, syn_lr=RATE)
    use = {key: about["use"][key] for key in ("soft_label_mode", "loss_fn_kwargs")}
    soft = LabelRobustScoreSoft(
        ipc=about["use"]["ipc"], soft_label_criterion="sce", teacher_model_names=[], **use, **common
    )
    soft.test_interval = EPOCHS  # it tests each 20th epoch only
    soft_accuracy, _ = soft._compute_soft_label_metrics_helper(images, None, logits, RATE)
found = dict(re.findall(r"(Syn|Random) data hard label acc: ([\d.]+)%", Path("said.txt").read_text()))

count = len(test)
print(f"export: {len(images)} images, normalised by figures {about['normalised_by']['origin']}; {count} test images")
print(f"training: {EPOCHS} epochs, batches of {BATCH}, rate {RATE}, DSA; random images: the best of its five rates")
print(
    f"DD-Ranking, hard labels: {found['Syn']} % on the export, {found['Random']} % on random images of as many stored"
)
print(f"DD-Ranking, soft labels: {soft_accuracy:.2f} % on the export")
recovery = scores["hard_label_recovery_mean"]
whole = "not known, as the whole training split was not measured" if math.isnan(recovery) else f"{recovery:.2f} points"
print(f"IOR {scores['improvement_over_random_mean']:.2f} points; HLR {whole}")
for (name, kind), mean in measured.items():
    print(f"ours, full training, last epoch, whole test split: {name}, {kind} labels: {mean:.2f} %")
chance = 100 / classes
error = (softmax(logits, 1).sum(1) - 1).abs().max().item()
if float(found["Syn"]) < 2 * chance or soft_accuracy < 2 * chance or error > 1e-5:
    sys.exit(f"an accuracy is below twice that of chance, {chance:.1f} %")
