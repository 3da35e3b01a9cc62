"""Networks whose features are their flattened last map, behind timm's interface.

Legend: N images, D features, C classes.
"""

import torch
from torch import nn


class FlatNetwork(nn.Module):
    """Blocks of layers, then one linear classifier over all of the last map.

    in: (N, in_chans, img_size, img_size), normalised; out: logits (N, num_classes)
    """

    def __init__(self, blocks: nn.Sequential, num_features: int, num_classes: int, in_chans: int, img_size: int):
        super().__init__()
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.img_size = img_size
        self.blocks = blocks
        self.num_features = self.head_hidden_size = num_features
        self.head = nn.Linear(num_features, num_classes) if num_classes else nn.Identity()

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_chans, H, W) -> last map."""
        return self.blocks(x)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Last map -> flattened features (N, D) if `pre_logits`, else logits (N, num_classes)."""
        x = x.flatten(1)
        return x if pre_logits else self.head(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A fresh head; `global_pool` is part of timm's call and has no meaning here."""
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
