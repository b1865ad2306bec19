"""A backbone that finds the iris before it says where the eyes look.

Both eyes go through one network, the left one mirrored; heat maps with integral coordinates say
where lids, corners and the iris are, and gaze comes from these points, from the eyes' features and
from a small look at the face.  Kin: Park et al. (ETRA 2018, landmarks by an hourglass, then gaze),
Sun et al. (ECCV 2018, integral regression).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.front.networks import Block, conv
from train.gaze.sheets import EYE_PX, FACE_PX, POINTS, SHEET_PX, SIDE_PX

STRIDE = 4
"""Of the heat maps, in pixels of a patch."""
MAP_PX = (EYE_PX[0] // STRIDE, EYE_PX[1] // STRIDE)
"""Their height and width."""
MAP_STRIDE = 8
"""Of the last map, which methods look at that rebuild the picture."""
WIDE = 64
"""Channels that heat maps are made of."""
POINT_SCALE_PX = 12.0
"""Points enter the head in these units, from the patch's middle."""
FLOOR = 0.03
"""Added to a patch's contrast, so that what is nearly one colour is not blown up to noise."""
EYE_FEATURES, FACE_FEATURES = 128, 64


class EyeSigns(NamedTuple):
    """What is seen of both eyes of B faces: the person's right one, and the left one mirrored."""

    maps: Tensor
    """(B, 2, POINTS, h, w) logarithms of heat, up to a constant."""
    points: Tensor
    """(B, 2, POINTS, 2) x and y, pixels of the patch."""
    openness: Tensor
    """(B, 2) 0 closed to 1."""
    wide: Tensor
    """(B, 2, WIDE, h, w) what the heat maps are made of."""


class EyeBackbone(nn.Module):
    """Sheets (B, 3, 48, 208) in, see ``train.gaze.sheets``; both ways of a face out.

    ``heat`` off leaves the heat maps out of what gaze is made of, ``told`` tells the head's
    direction, ``standardized`` takes each patch's own mean and contrast away.
    """

    middle: Tensor

    def __init__(
        self,
        width: int,
        channels: int = 24,
        *,
        heat: bool = True,
        told: bool = False,
        standardized: bool = False,
    ) -> None:
        super().__init__()
        self.heat, self.told, self.standardized = heat, told, standardized
        c = channels
        self.two = conv(3, c, 2)
        self.four = Block(c, 2 * c)
        self.eight = Block(2 * c, 4 * c)
        self.sixteen = Block(4 * c, 6 * c)
        self.squeeze = conv(6 * c, WIDE, size=1)
        cells = -(-EYE_PX[0] // 16) * -(-EYE_PX[1] // 16)
        self.eye = nn.Linear(WIDE * cells, EYE_FEATURES)
        self.openness = nn.Linear(EYE_FEATURES, 1)
        if heat:
            self.down_eight = conv(4 * c, WIDE, size=1)
            self.merge_eight = conv(WIDE, WIDE)
            self.down_four = conv(2 * c, WIDE, size=1)
            self.merge_four = conv(WIDE, WIDE)
            self.points = nn.Conv2d(WIDE, POINTS, 1)
        self.face = nn.Sequential(conv(3, 16, 2), Block(16, 32), Block(32, 4 * c))
        self.squeeze_face = nn.Sequential(Block(4 * c, 4 * c), conv(4 * c, 32, size=1))
        cells = -(-FACE_PX[0] // 16) * -(-FACE_PX[1] // 16)
        self.side = nn.Linear(32 * cells, FACE_FEATURES)
        self.each = EYE_FEATURES + FACE_FEATURES + (3 * POINTS if heat else 0)
        self.linear = nn.Linear(2 * self.each + (2 if told else 0), width)
        self.num_features = 4 * c
        middle = torch.tensor([(EYE_PX[1] - 1) / 2, (EYE_PX[0] - 1) / 2])
        self.register_buffer("middle", middle, persistent=False)

    def forward(self, sheet: Tensor, head: Tensor | None = None) -> tuple[Tensor, Tensor, EyeSigns]:
        """Last map (B, C, 6, 26), both ways (2B, width) and what is seen of the eyes.

        ``head`` (B, 2) is the head's direction, where it is ``told``.
        """
        # Sizes that are known: a graph that is exported for any B has no arithmetic of shapes.
        eyes, faces = _both(sheet, 0, EYE_PX[1]), _both(sheet, EYE_PX[1], SIDE_PX)
        if self.standardized:
            eyes, faces = standardized(eyes, 1, EYE_PX), standardized(faces, 2, FACE_PX)
        four = self.four(self.two(_last(eyes)))
        eight = self.eight(four)
        sixteen = self.squeeze(self.sixteen(eight))
        face = self.face(_last(faces))
        with torch.autocast(sheet.device.type, enabled=False):
            feature = F.relu(self.eye(_float(sixteen).flatten(1)))
        openness = self.openness(feature)
        parts = [feature, F.relu(self.side(_float(self.squeeze_face(face)).flatten(1)))]
        wide, maps, points = self._dense(four, eight, sixteen)
        if self.heat:
            spread = _spread(maps, points)
            parts += [((points - self.middle) / POINT_SCALE_PX).flatten(1), spread]
        side = torch.cat(parts, 1).reshape(-1, 2, self.each)
        ways = torch.cat([side, side.flip(1)], 2).reshape(-1, 2 * self.each)
        if self.told:
            assert head is not None
            both = torch.stack([head, torch.stack([head[:, 0], -head[:, 1]], -1)], 1)
            ways = torch.cat([ways, both.reshape(-1, 2)], 1)
        whole = torch.cat([eight.unflatten(0, (-1, 2)), face.unflatten(0, (-1, 2))], -1)
        whole = whole.permute(0, 2, 3, 1, 4).flatten(-2)
        signs = EyeSigns(
            maps.unflatten(0, (-1, 2)),
            points.reshape(-1, 2, POINTS, 2) if self.heat else points.unflatten(0, (-1, 2)),
            openness.reshape(-1, 2),
            wide.unflatten(0, (-1, 2)),
        )
        return whole, F.relu(self.linear(ways)), signs

    def _dense(self, four: Tensor, eight: Tensor, sixteen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(2B, WIDE, 12, 18), heat maps (2B, POINTS, 12, 18) and points (2B, POINTS, 2) of it."""
        if not self.heat:
            none = four.new_zeros(len(four), 0, *four.shape[-2:])
            return none, none, four.new_zeros(len(four), 0, 2)
        # Twice 5 columns, of which the patch has 9.
        wide = F.interpolate(sixteen, scale_factor=2.0)[..., : EYE_PX[1] // 8]
        wide = self.merge_eight(wide + self.down_eight(eight))
        wide = self.merge_four(F.interpolate(wide, scale_factor=2.0) + self.down_four(four))
        maps = _float(self.points(wide))
        return wide, maps, integral(maps)


def _both(sheet: Tensor, first: int, end: int) -> Tensor:
    """(2B, 3, 48, end - first): these columns of both sides of each sheet."""
    sides = [sheet[..., start + first : start + end] for start in (0, SIDE_PX)]
    return torch.stack(sides, 1).reshape(-1, 3, SHEET_PX[0], end - first)


def standardized(pixels: Tensor, sides: int, size: tuple[int, int]) -> Tensor:
    """Less their mean, over their contrast, of every patch, or of both ``sides`` of a face."""
    together = pixels.reshape(-1, sides, 3, *size)
    mean = together.mean((1, 2, 3, 4), keepdim=True)
    off = together - mean
    contrast = off.square().mean((1, 2, 3, 4), keepdim=True).sqrt()
    return (off / (contrast + FLOOR)).reshape(-1, 3, *size)


def integral(maps: Tensor) -> Tensor:
    """(N, POINTS, 2) expected x and y, in pixels of the patch, of heat's logarithms (as maps)."""
    chance, columns, rows = _chances(maps)
    x = (chance.sum(1) * columns).sum(-1)
    y = (chance.sum(2) * rows).sum(-1)
    return torch.stack([x, y], -1).reshape(-1, POINTS, 2) * STRIDE + (STRIDE - 1) / 2


def _spread(maps: Tensor, points: Tensor) -> Tensor:
    """(N, POINTS) standard deviation of each heat map, in POINT_SCALE_PX: how sure a place is."""
    chance, columns, rows = _chances(maps)
    x2 = (chance.sum(1) * columns.square()).sum(-1)
    y2 = (chance.sum(2) * rows.square()).sum(-1)
    middle = (points - (STRIDE - 1) / 2) / STRIDE
    variance = (x2 + y2).reshape(-1, POINTS) - middle.square().sum(-1)
    return variance.clamp(min=1e-4).sqrt() * (STRIDE / POINT_SCALE_PX)


def _chances(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N · POINTS, 12, 18) of maps (N, POINTS, 12, 18); numbers of columns and rows."""
    height, width = MAP_PX
    chance = maps.reshape(-1, height * width).softmax(-1).reshape(-1, height, width)
    rows = torch.arange(height, device=maps.device, dtype=maps.dtype)
    columns = torch.arange(width, device=maps.device, dtype=maps.dtype)
    return chance, columns, rows


def _float(x: Tensor) -> Tensor:
    """As float32; no cast that does nothing gets into an exported graph."""
    return x if x.dtype == torch.float32 else x.float()


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
