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
        each = EYE_FEATURES + FACE_FEATURES + (3 * POINTS if heat else 0)
        self.linear = nn.Linear(2 * each + (2 if told else 0), width)
        self.num_features = 4 * c

    def forward(self, sheet: Tensor, head: Tensor | None = None) -> tuple[Tensor, Tensor, EyeSigns]:
        """Last map (B, C, 6, 26), both ways (2B, width) and what is seen of the eyes.

        ``head`` (B, 2) is the head's direction, where it is ``told``.
        """
        sides = sheet.unflatten(-1, (2, SIDE_PX)).permute(0, 3, 1, 2, 4)
        sides = sides.reshape(-1, 3, SHEET_PX[0], SIDE_PX)
        eyes, faces = sides[..., : EYE_PX[1]], sides[..., EYE_PX[1] :]
        if self.standardized:
            eyes, faces = standardized(eyes, 1), standardized(faces, 2)
        four = self.four(self.two(_last(eyes)))
        eight = self.eight(four)
        sixteen = self.squeeze(self.sixteen(eight))
        face = self.face(_last(faces))
        with torch.autocast(sheet.device.type, enabled=False):
            feature = F.relu(self.eye(sixteen.float().flatten(1)))
        openness = self.openness(feature)
        parts = [feature, F.relu(self.side(self.squeeze_face(face).float().flatten(1)))]
        wide, maps, points = self._dense(four, eight, sixteen)
        if self.heat:
            spread = _spread(maps, points)
            middle = torch.tensor([(EYE_PX[1] - 1) / 2, (EYE_PX[0] - 1) / 2], device=points.device)
            parts += [((points - middle) / POINT_SCALE_PX).flatten(1), spread]
        side = torch.cat(parts, 1)
        side = side.reshape(-1, 2, side.shape[-1])
        ways = torch.cat([side, side.flip(1)], 2).reshape(-1, 2 * side.shape[-1])
        if self.told:
            assert head is not None
            both = torch.stack([head, torch.stack([head[:, 0], -head[:, 1]], -1)], 1)
            ways = torch.cat([ways, both.reshape(-1, 2)], 1)
        whole = torch.cat([eight.unflatten(0, (-1, 2)), face.unflatten(0, (-1, 2))], -1)
        whole = whole.permute(0, 2, 3, 1, 4).flatten(-2)
        signs = EyeSigns(
            maps.unflatten(0, (-1, 2)),
            points.unflatten(0, (-1, 2)),
            openness.reshape(-1, 2),
            wide.unflatten(0, (-1, 2)),
        )
        return whole, F.relu(self.linear(ways)), signs

    def _dense(self, four: Tensor, eight: Tensor, sixteen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(2B, WIDE, 12, 18), heat maps (2B, POINTS, 12, 18) and points (2B, POINTS, 2) of it."""
        if not self.heat:
            none = four.new_zeros(len(four), 0, *four.shape[-2:])
            return none, none, four.new_zeros(len(four), 0, 2)
        wide = F.interpolate(sixteen, size=eight.shape[-2:], mode="nearest")
        wide = self.merge_eight(wide + self.down_eight(eight))
        wide = F.interpolate(wide, size=four.shape[-2:], mode="nearest")
        wide = self.merge_four(wide + self.down_four(four))
        maps = self.points(wide).float()
        return wide, maps, integral(maps)


def standardized(pixels: Tensor, sides: int) -> Tensor:
    """Less their mean, over their contrast, of every patch, or of both ``sides`` of a face."""
    together = pixels.reshape(-1, sides, *pixels.shape[1:])
    mean = together.mean((1, 2, 3, 4), keepdim=True)
    off = together - mean
    contrast = off.square().mean((1, 2, 3, 4), keepdim=True).sqrt()
    return (off / (contrast + FLOOR)).reshape(pixels.shape)


def integral(maps: Tensor) -> Tensor:
    """(N, K, 2) expected x and y, in pixels of the patch, of logarithms of heat (N, K, h, w)."""
    chance = maps.flatten(2).softmax(-1).reshape(maps.shape)
    rows = torch.arange(maps.shape[-2], device=maps.device, dtype=maps.dtype)
    columns = torch.arange(maps.shape[-1], device=maps.device, dtype=maps.dtype)
    x = (chance.sum(2) * columns).sum(-1)
    y = (chance.sum(3) * rows).sum(-1)
    return torch.stack([x, y], -1) * STRIDE + (STRIDE - 1) / 2


def _spread(maps: Tensor, points: Tensor) -> Tensor:
    """(N, K) standard deviation of each heat map, in POINT_SCALE_PX: how sure a place is."""
    chance = maps.flatten(2).softmax(-1).reshape(maps.shape)
    rows = torch.arange(maps.shape[-2], device=maps.device, dtype=maps.dtype)
    columns = torch.arange(maps.shape[-1], device=maps.device, dtype=maps.dtype)
    middle = (points - (STRIDE - 1) / 2) / STRIDE
    x2 = (chance.sum(2) * columns.square()).sum(-1) - middle[..., 0].square()
    y2 = (chance.sum(3) * rows.square()).sum(-1) - middle[..., 1].square()
    return (x2 + y2).clamp(min=1e-4).sqrt() * (STRIDE / POINT_SCALE_PX)


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
