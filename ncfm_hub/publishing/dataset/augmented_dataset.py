"""A distilled dataset as a torch dataset that is augmented as for its students (evaluation networks).

Legend: N images, B images of a batch, c channels, (H, W) resolution, C classes.
"""

from collections.abc import Sequence

import torch

from ncfm_hub.matching.augment import GEOMETRIES, augment, draw_augmentation
from ncfm_hub.matching.cutmix import cutmix, draw_cutmix
from ncfm_hub.matching.philox import Stream
from ncfm_hub.publishing.dataset.torch_dataset import Item, TorchDataset


class AugmentedDataset(TorchDataset):
    """Map-style dataset whose items are augmented images and probabilities (C,), which CutMix mixes.

    A DataLoader asks for all items of a batch at once, and these share one geometric transform and one box of CutMix,
    as in evaluation. An item fetched alone has no image to be mixed with. DSA acts on images normalised by `mean` and
    `std`.
    """

    def __getitem__(self, index: int) -> Item:
        """Return an augmented image (c, H, W), and probabilities (C,)."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """Return the items of a batch. Pixels are on the scale of [0, 1], which DSA may leave."""
        assert self.soft_labels is not None
        rows = torch.as_tensor(indices)
        size = (self.images.shape[-2], self.images.shape[-1])
        # From torch's global generator, which a DataLoader seeds differently in each of its workers.
        keys = torch.randint(2**32, (2, 2, 1))
        x, targets = (self.images[rows].float() / 255 - self.mean) / self.std, self.soft_labels[rows]
        if self.how.dsa:
            geometry = int(torch.randint(len(GEOMETRIES), ()))
            random = Stream((int(keys[0, 0]), int(keys[0, 1])), torch.arange(len(rows)))
            x = augment(x, draw_augmentation(random, size, geometry=geometry, flip=self.how.flip, cutout=False))
        mixing = draw_cutmix((keys[1, 0], keys[1, 1]), torch.zeros(1).long(), len(rows), size, self.how.cutmix)
        (x,), (targets,) = cutmix(x[None], targets[None], mixing[0])
        return list(zip(x * self.std + self.mean, targets, strict=True))
