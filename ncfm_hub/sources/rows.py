"""Row numbers by class, in one pass over the labels.

Legend: N labels, int64 (N,), each a position among C classes.
"""

from collections.abc import Sequence

import torch


def rows_by_class(labels: torch.Tensor, classes: int) -> list[torch.Tensor]:
    """Return the row numbers (int64) of each class, in the split's order."""
    counts = labels.bincount(minlength=classes).tolist()
    return list(labels.argsort(stable=True).split(counts))[:classes]


def rows_of_classes(labels: torch.Tensor, chosen: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the row numbers (n,) of the chosen classes, in the split's order, and each row's position in `chosen`."""
    wanted = torch.tensor(chosen)
    place = torch.full((int(torch.cat([labels, wanted]).max()) + 1,), -1)
    place[wanted] = torch.arange(len(wanted))
    found = place[labels]
    rows = (found >= 0).nonzero().flatten()
    return rows, found[rows]
