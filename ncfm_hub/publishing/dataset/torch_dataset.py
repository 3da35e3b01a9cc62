"""A distilled dataset as a torch dataset."""

import torch

Item = tuple[torch.Tensor, int | torch.Tensor]


class TorchDataset(torch.utils.data.Dataset[Item]):
    """Map-style dataset over uint8 images (N, c, H, W); `targets` is a list of ints, whatever its items' labels are."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, soft_labels: torch.Tensor | None = None):
        self.images = images
        self.targets: list[int] = labels.tolist()
        self.soft_labels = soft_labels

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Item:
        """Return the image as float (c, H, W) in [0, 1], and its label: an int, or probabilities (C,)."""
        label = self.targets[index] if self.soft_labels is None else self.soft_labels[index]
        return self.images[index].float() / 255, label
