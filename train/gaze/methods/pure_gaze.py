"""PureGaze (Cheng and Bao, AAAI 2022): what the gaze does not need is purified out of the feature.

A deconvolution learns to rebuild the face from the feature, and the backbone learns to prevent it.
Our choices: the size of the rebuilt picture, the deconvolution's widths, and the mask, two
Gaussians where normalisation puts the eyes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.gaze import losses, sheets
from train.gaze.eye_backbone import MAP_STRIDE
from train.gaze.methods.base import Method, TensorBatch
from train.gaze.models import EYES, SIZE_PX, GazeModel, Outputs
from train.loop.training_loop import Scalars


@dataclass(frozen=True, slots=True)
class PureGazeOptions:
    """Of the purification."""

    purify: float = 1.0
    """Weight of the purification beside 3 · L1."""
    keep: float = 0.75
    """Likeness below which a pixel counts as purified."""
    mask_sigma: float = 0.12
    """Reach of the mask around either eye, in widths of the face crop."""
    shrink: int = 2
    """The rebuilt picture is so many times smaller than what the model sees: 1, 2 or 4."""

    def __post_init__(self) -> None:
        if self.shrink not in (1, 2, 4):
            raise ValueError(f"shrink is {self.shrink}; expected 1, 2 or 4")


class Decoder(nn.Module):
    """The last feature map (B, C, h, w) to a picture in [0, 1] of the given height and width.

    ``cells`` is w.  Doubles its size until it has at least the picture's, then meets it exactly.
    """

    def __init__(
        self, channels: int, height: int, width: int, cells: int = -(-SIZE_PX // 32)
    ) -> None:
        super().__init__()
        self.size = (height, width)
        layers: list[nn.Module] = []
        wide = min(channels, 256)
        layers += [nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(True)]
        while cells < width:
            narrow = max(wide // 2, 16)
            layers += [
                nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False),
                nn.BatchNorm2d(narrow),
                nn.ReLU(True),
            ]
            cells, wide = cells * 2, narrow
        self.layers = nn.Sequential(*layers, nn.Conv2d(wide, 3, 3, padding=1))

    def forward(self, feature_map: Tensor) -> Tensor:
        """(B, 3, height, width)."""
        rebuilt = self.layers(feature_map)
        if rebuilt.shape[-2:] != self.size:
            rebuilt = F.interpolate(rebuilt, self.size, mode="bilinear", align_corners=False)
        return torch.sigmoid(rebuilt.float())


def sheet_mask(size: tuple[int, int], sigma: float) -> Tensor:
    """(height, width) the mask of a whole crop, cut as sheets are, where a mean face's eyes are."""
    crop = losses.eye_mask(SIZE_PX, SIZE_PX, sigma=sigma).expand(1, 3, -1, -1)
    sheet = sheets.cut(crop, sheets.canonical_places(torch.zeros(1, 2)))
    return F.interpolate(sheet, size, mode="area")[0, 0]


class PureGaze(Method):
    """3 · L1 and the purification for the model; then the reconstruction for the decoder.

    Each turn has its optimiser.  The second turn reads the feature map of the first, detached, as
    one pass through the backbone serves both.
    """

    turns: ClassVar[tuple[str, ...]] = ("model", "decoder")

    def __init__(self, model: GazeModel, options: PureGazeOptions) -> None:
        super().__init__(model)
        self.options = options
        height, width = model.architecture.input_px
        rebuilt = height // options.shrink, width // options.shrink
        if model.architecture.backbone == EYES:
            self.decoder = Decoder(model.map_channels, *rebuilt, cells=width // MAP_STRIDE)
            mask = sheet_mask(rebuilt, options.mask_sigma)
        else:
            self.decoder = Decoder(model.map_channels, *rebuilt)
            top = model.architecture.rows[0]
            mask = losses.eye_mask(*rebuilt, top=top, sigma=options.mask_sigma)
        self.register_buffer("mask", mask, persistent=False)
        self._seen: tuple[Tensor, Tensor] | None = None

    def loss(self, batch: TensorBatch, step: int, turn: int = 0) -> tuple[Tensor, Scalars]:
        """Turn 0 is the gaze branch, turn 1 the reconstruction branch of the same batch."""
        if turn == 0:
            return super().loss(batch, step, turn)
        if self._seen is None:
            raise RuntimeError("the reconstruction's turn comes after the gaze's, of one batch")
        feature_map, picture = self._seen
        self._seen = None
        error = losses.reconstruction(picture, self.decoder(feature_map))
        return error, {"reconstruction": error.detach()}

    def terms(self, out: Outputs, error: Tensor, batch: TensorBatch) -> tuple[Tensor, Scalars]:
        """The gaze branch."""
        with torch.no_grad():
            picture = self.model.pixels(self.model.seen(batch))
            picture = F.interpolate(picture, self.decoder.size, mode="area")
        self._seen = out.feature_map.detach(), picture
        rebuilt = self.decoder(out.feature_map)
        purification = losses.adversarial(picture, rebuilt, self.mask, self.options.keep)  # type: ignore[arg-type]
        loss = losses.pure_gaze(out.gaze - batch["gaze"], self.options.purify * purification)
        return loss, {"purification": purification.detach()}

    def parameters_of(self, turn: int) -> Iterator[nn.Parameter]:
        """The model's, then the decoder's."""
        return self.decoder.parameters() if turn else super().parameters_of(turn)
