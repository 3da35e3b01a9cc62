"""CutMix of several batches at once. Source: Yun et al., "CutMix", ICCV 2019.

As in `augment`, sampling is separate from applying, and both are pure functions of tensors. Legend: K batches of B
images, c channels, (H, W) resolution, C classes.
"""

from dataclasses import dataclass

import torch

from ncfm_hub.matching.philox import Stream, permutations


@dataclass(frozen=True)
class CutMix:
    """Boxes pasted from a shuffled copy, of K batches each.

    rows, columns: first and last+1 of the box, int64 (..., K, 2), an empty one for no CutMix
    partner: the image that each is pasted from, int64 (..., K, B)
    """

    rows: torch.Tensor
    columns: torch.Tensor
    partner: torch.Tensor

    def __getitem__(self, update: int) -> "CutMix":
        return CutMix(self.rows[update], self.columns[update], self.partner[update])


def draw_cutmix(
    key: tuple[torch.Tensor, torch.Tensor],
    updates: torch.Tensor,
    batch: int,
    size: tuple[int, int],
    probability: float,
) -> CutMix:
    """Sample boxes whose area is uniform (beta = 1) for updates (U,) of K students: (U, K, ...)."""
    numbers = updates[:, None]
    random = Stream(key, torch.zeros_like(numbers), 0, numbers)
    mixes = random.uniform() < probability
    share = random.uniform().sqrt() * mixes  # side of the box
    rows, columns = (_span(random.uniform(), share, length) for length in size)
    return CutMix(rows, columns, permutations(key, batch, torch.ones_like(numbers), numbers))


def cutmix(x: torch.Tensor, targets: torch.Tensor, mixing: CutMix) -> tuple[torch.Tensor, torch.Tensor]:
    """Paste one box of a shuffled copy into every image of a batch, and mix targets by area.

    x: (K, B, c, H, W); targets: (K, B, C); returns both mixed.
    """
    height, width = x.shape[-2:]
    inside = _inside(mixing.rows, height)[:, :, None] & _inside(mixing.columns, width)[:, None, :]  # (K, H, W)
    area = inside.float().mean((1, 2))[:, None, None]
    students = torch.arange(len(x), device=x.device)[:, None]
    mixed = torch.where(inside[:, None, None], x[students, mixing.partner], x)
    return mixed, targets * (1 - area) + targets[students, mixing.partner] * area


def _inside(box: torch.Tensor, length: int) -> torch.Tensor:
    places = torch.arange(length, device=box.device)
    return (places >= box[:, :1]) & (places < box[:, 1:])


def _span(centre: torch.Tensor, share: torch.Tensor, length: int) -> torch.Tensor:
    """Return first and last+1 place (..., 2) of a box along one side; none where its share of the side is zero."""
    first = (centre * length - share * length / 2 + 0.5).floor().long()
    end = first + (share * length + 0.5).floor().long()
    return torch.stack([first.clamp_min(0), end.clamp_max(length)], -1)
