"""How the detector's and the landmark network's pixels are normalised."""

from __future__ import annotations

import torch
from torch import Tensor

MEAN = (0.45, 0.40, 0.37)
STD = (0.25, 0.24, 0.24)


def normalized(crops: Tensor) -> Tensor:
    """Bytes (N, H, W, 3) RGB to network input (N, 3, H, W) float32."""
    x = crops.permute(0, 3, 1, 2).float().div_(255)
    # Filled on the device: a tensor that is copied there would wait for what it does.
    mean, std = (
        torch.stack([x.new_full((), v) for v in values]).view(1, 3, 1, 1) for values in (MEAN, STD)
    )
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)
