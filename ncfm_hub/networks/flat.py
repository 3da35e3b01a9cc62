"""Networks whose features are the flattened last feature map, with timm's interface.

Legend: N images, D features, C classes.
"""

import torch
from torch import nn


class FlatNetwork(nn.Module):
    """Blocks of layers followed by a linear classifier over the flattened last feature map.

    Input: (N, in_chans, img_size, img_size), normalised. Output: logits (N, num_classes).
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
        """Map (N, in_chans, H, W) to the last feature map."""
        return self.blocks(x)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Map the last feature map to features (N, D) if `pre_logits`, else to logits (N, num_classes)."""
        x = x.flatten(1)
        return x if pre_logits else self.head(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the head by a new one. `global_pool` is part of timm's interface and is ignored."""
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
