"""A distilled dataset as a torch dataset."""

import torch

from ncfm_hub.publishing.dataset.augmentation import TrainingAugmentation

Item = tuple[torch.Tensor, int | torch.Tensor]


class TorchDataset(torch.utils.data.Dataset[Item]):
    """Map-style dataset over uint8 images (N, c, H, W); `targets` is a list of ints, whatever its items' labels are.

    mean, std: (c, 1, 1), to normalise images in [0, 1] by, as for the recorded accuracies: of the source's training
        images, or of these images where none are recorded
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        soft_labels: torch.Tensor | None = None,
        how: TrainingAugmentation | None = None,
    ):
        self.images = images
        self.targets: list[int] = labels.tolist()
        self.soft_labels = soft_labels
        self.how = how or TrainingAugmentation()
        mean, std = self.how.mean, self.how.std
        if mean is None or std is None or len(mean) != images.shape[1]:
            from ncfm_hub.networks.build import channel_statistics  # imported late: it imports timm

            mean, std = channel_statistics(images)
        self.mean, self.std = (torch.tensor(values)[:, None, None] for values in (mean, std))

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Item:
        """Return the image as float (c, H, W) in [0, 1], and its label: an int, or probabilities (C,)."""
        label = self.targets[index] if self.soft_labels is None else self.soft_labels[index]
        return self.images[index].float() / 255, label
