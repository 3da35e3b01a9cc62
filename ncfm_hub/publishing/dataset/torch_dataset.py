"""A distilled dataset as a torch dataset."""

import torch


class TorchDataset(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Map-style dataset over uint8 images (N, c, H, W); `targets` is a list of ints."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor):
        self.images = images
        self.targets: list[int] = labels.tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return the image as float (c, H, W) in [0, 1], and its label."""
        return self.images[index].float() / 255, self.targets[index]
