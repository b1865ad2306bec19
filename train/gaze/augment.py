"""Augmentation of face crops on the device, with labels kept right.

What is random is drawn for the whole batch of all processes from the seed and the step, and each
process takes its rows: a run is the same on one device and on many.

Geometry: a mirror image negates yaw.  A small turn of the normalised camera is a homography
K R K⁻¹ of the picture and turns gaze and head by the same R, exactly; it moves and tilts the face
as errors of landmarks do.  A zoom about the principal point is another focal length and changes no
direction.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from clipgaze_sdk.geometry.face_model import MIRRORED_POINTS
from train.data.samples import EYE_POINTS, SIZE_PX
from train.gaze.losses import gaze_angles, gaze_vector
from train.gaze.sheets import CENTER_PX, FOCAL_PX

MIRRORED = torch.tensor([EYE_POINTS.index(MIRRORED_POINTS[k]) for k in EYE_POINTS])
"""Which point each of EYE_POINTS becomes in a mirror."""

Batch = dict[str, Tensor]


def mirror_angles(angles: Tensor) -> Tensor:
    """(pitch, yaw) (..., 2) of the mirrored picture: yaw negates."""
    pitch, yaw = angles.unbind(-1)
    return torch.stack([pitch, -yaw], -1)


def mirror(batch: Mapping[str, Tensor], which: Tensor) -> Batch:
    """Mirror images, gaze and head of the samples ``which`` (B,) bool.

    Unknown heads stay NaN.  Column x goes to 223 − x, as the principal point of the crop does.
    """
    out = dict(batch)
    flipped = batch["image"].flip(-1)
    out["image"] = torch.where(which.view(-1, 1, 1, 1), flipped, batch["image"])
    for key in ("gaze", "head"):
        if key in batch:
            out[key] = torch.where(which[:, None], mirror_angles(batch[key]), batch[key])
    if "points" in batch:
        points = mirror_points(batch["points"])
        out["points"] = torch.where(which[:, None, None], points, batch["points"])
    if "openness" in batch:
        out["openness"] = torch.where(which[:, None], batch["openness"].flip(1), batch["openness"])
    return out


def mirror_points(points: Tensor) -> Tensor:
    """EYE_POINTS (B, 28, 2), pixels of the crop, of the mirrored picture."""
    points = points[:, MIRRORED.to(points.device, non_blocking=True)]
    return torch.stack([2 * CENTER_PX - points[..., 0], points[..., 1]], -1)


def rotation(turn: Tensor) -> Tensor:
    """(B, 3, 3) of rotation vectors (B, 3) in radians."""
    x, y, z = turn.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1)
    turned: Tensor = torch.linalg.matrix_exp(cross.reshape(*x.shape, 3, 3))
    return turned


def turn_labels(angles: Tensor, new_from_old: Tensor) -> Tensor:
    """Angles (B, 2) in a camera that is turned by (B, 3, 3); NaN stays NaN."""
    return gaze_angles((new_from_old @ gaze_vector(angles)[..., None])[..., 0])


def turn_points(points: Tensor, new_from_old: Tensor, zoom: Tensor) -> Tensor:
    """Pixels (B, K, 2) where a camera turned by (B, 3, 3) and zoomed by (B,) sees them."""
    ray = F.pad((points - CENTER_PX) / FOCAL_PX, (0, 1), value=1.0) @ new_from_old.mT
    return ray[..., :2] / ray[..., 2:] * zoom[:, None, None] * FOCAL_PX + CENTER_PX


def turn_images(
    image: Tensor, new_from_old: Tensor, zoom: Tensor, rows: tuple[int, int] = (0, 224)
) -> Tensor:
    """Float images (B, 3, S, S) as a turned camera (B, 3, 3) sees them, zoomed by (B,).

    ``rows`` are those of the result as of 224, to spare what nobody looks at; S is 224, or 112 for
    crops of half the resolution.  Beyond its border the picture goes on in its last colour.
    """
    device, size = image.device, image.shape[-1]
    shrink = SIZE_PX // size
    # Pixel centres of the 224 × 224 crop, between which those of a smaller one lie.
    y, x = (
        (torch.arange(low // shrink, high // shrink, device=device) + 0.5) * shrink - 0.5
        for low, high in (rows, (0, SIZE_PX))
    )
    y, x = (y - CENTER_PX) / FOCAL_PX, (x - CENTER_PX) / FOCAL_PX
    ray = torch.stack(
        [*torch.meshgrid(x, y, indexing="xy"), torch.ones(len(y), size, device=device)]
    )
    scale = torch.stack([zoom, zoom, torch.ones_like(zoom)], -1)
    # Of a new pixel's ray, the old pixel: transposed, as R⁻¹ = Rᵀ, with the zoom undone first.
    old = ((new_from_old.mT / scale[:, None]) @ ray.flatten(1)).reshape(-1, *ray.shape)
    place = old[:, :2] / old[:, 2:] * FOCAL_PX + CENTER_PX
    grid = ((2 * place + 1) / SIZE_PX - 1).permute(0, 2, 3, 1)
    return F.grid_sample(image, grid, padding_mode="border", align_corners=False)


class Augmentation:
    """Random mirror, turn, zoom, hidden patches, colour, blur, coarseness and noise.

    ``strength`` 1 is meant for training from random weights; 0 only turns bytes to floats.
    ``half`` shrinks pictures first, so blur and coarseness are of twice as many of their pixels.
    ``mirrored`` off leaves mirroring out, where what is to be learnt has a side.
    """

    def __init__(
        self,
        strength: float,
        *,
        seed: int,
        rows: tuple[int, int] = (0, 224),
        half: bool = False,
        mirrored: bool = True,
    ) -> None:
        if strength < 0:
            raise ValueError(f"strength is {strength}; expected at least 0")
        self.strength, self.seed, self.rows, self.half = strength, seed, rows, half
        self.mirrored = mirrored

    def __call__(
        self, batch: Mapping[str, Tensor], step: int, *, first: int = 0, total: int | None = None
    ) -> Batch:
        """The batch with ``image`` float in [0, 1], and labels to match.

        The batch is rows ``first`` to ``first + B`` of ``total`` that all processes have together.
        """
        size = len(batch["image"])
        total = size if total is None else total
        out = dict(batch)
        if self.strength == 0:
            out["image"] = self._floats(batch["image"][..., slice(*self.rows), :])
            return out
        draw = Draws(self.seed, step, total, slice(first, first + size), batch["image"].device)
        flipped = draw.chance(0.5)  # drawn in any case, so that all else is the same
        out |= {"image": self._floats(batch["image"])}
        if self.mirrored:
            out = mirror(out, flipped)
        turn = draw.normal(3) * torch.tensor([0.006, 0.006, 0.03]) * self.strength
        zoom = torch.exp(0.04 * self.strength * draw.normal()).to(draw.device, non_blocking=True)
        # Drawn and made on the CPU: small, and alike whatever the device.
        new_from_old = rotation(turn).to(draw.device, non_blocking=True)
        for key in ("gaze", "head"):
            if key in out:
                out[key] = turn_labels(out[key], new_from_old)
        if "points" in out:
            out["points"] = turn_points(out["points"], new_from_old, zoom)
        x = turn_images(out["image"], new_from_old, zoom, self.rows)
        x = coarse(hidden(x, draw, self.strength), draw, self.strength)
        x = noisy(colored(x, draw, self.strength), draw, self.strength)
        out["image"] = x.clamp(0, 1)
        return out

    def _floats(self, image: Tensor) -> Tensor:
        if not self.half:
            return image.float() / 255
        # Several times faster on a CPU than pooling floats.
        rows = image[..., ::2, :].short() + image[..., 1::2, :]
        return (rows[..., ::2] + rows[..., 1::2]).float() / (4 * 255)


class Draws:
    """Random numbers for some rows of the whole batch."""

    def __init__(self, seed: int, step: int, total: int, part: slice, device: torch.device) -> None:
        self.generator = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
        self.total, self.part, self.device = total, part, device

    def normal(self, *shape: int) -> Tensor:
        """(B, *shape) on the CPU."""
        return torch.randn(self.total, *shape, generator=self.generator)[self.part]

    def uniform(self, *shape: int) -> Tensor:
        """(B, *shape) in [0, 1) on the CPU."""
        return torch.rand(self.total, *shape, generator=self.generator)[self.part]

    def chance(self, share: float) -> Tensor:
        """(B,) bool on the device."""
        return (self.uniform() < share).to(self.device, non_blocking=True)

    def rows(self, share: float) -> Tensor:
        """Numbers of the chosen rows, on the device, without waiting for it."""
        return (self.uniform() < share).nonzero()[:, 0].to(self.device, non_blocking=True)


def hidden(x: Tensor, draw: Draws, strength: float) -> Tensor:
    """A patch of one colour hides something in a quarter of them."""
    height, width = x.shape[-2:]
    there = draw.chance(0.25 * strength)[:, None]
    middle, half = draw.uniform(2), 0.03 + 0.14 * draw.uniform(2)
    color = draw.uniform(3).to(x.device, non_blocking=True)[:, :, None, None]
    inside = []
    for axis, length in ((0, height), (1, width)):
        place = (torch.arange(length) + 0.5) / length
        near = (place[None] - middle[:, axis, None]).abs() < half[:, axis, None]
        inside.append(near.to(x.device, non_blocking=True) & there)
    patch = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return torch.where(patch, color, x)


def coarse(x: Tensor, draw: Draws, strength: float) -> Tensor:
    """Blur some, and take away the fine detail of others."""
    blurred, rough = draw.rows(0.15 * strength), draw.rows(0.15 * strength)
    if len(blurred):
        soft = F.avg_pool2d(x[blurred], 5, 1, 2, count_include_pad=False)
        x = x.index_copy(0, blurred, soft)
    if len(rough):
        small = F.avg_pool2d(x[rough], 3, 3, ceil_mode=True, count_include_pad=False)
        back = F.interpolate(small, x.shape[-2:], mode="bilinear", align_corners=False)
        x = x.index_copy(0, rough, back)
    return x


def colored(x: Tensor, draw: Draws, strength: float) -> Tensor:
    """Exposure, tint, contrast; a tenth lose their colour."""
    tint = 0.2 * draw.normal(1) + 0.07 * draw.normal(3)
    gain = torch.exp(strength * tint).to(x.device, non_blocking=True)[:, :, None, None]
    contrast = torch.exp(0.15 * strength * draw.normal(1, 1, 1)).to(x.device, non_blocking=True)
    grey = draw.chance(0.1 * strength).view(-1, 1, 1, 1)
    x = x * gain
    middle = x.mean((1, 2, 3), keepdim=True)
    x = (x - middle) * contrast + middle
    return torch.where(grey, x.mean(1, keepdim=True), x)


def noisy(x: Tensor, draw: Draws, strength: float) -> Tensor:
    """Grain of a level of its own per picture: one tile, rolled to another place in each."""
    height, width = x.shape[-2:]
    level = (0.06 * strength * draw.uniform() * (draw.uniform() < 0.5)).to(
        x.device, non_blocking=True
    )
    down, right = (draw.uniform(2) * torch.tensor([height, width])).long().unbind(1)
    tile = torch.randn(3, height, width, generator=draw.generator).to(x.device, non_blocking=True)
    rows = ((torch.arange(height) + down[:, None]) % height).to(x.device, non_blocking=True)
    columns = ((torch.arange(width) + right[:, None]) % width).to(x.device, non_blocking=True)
    grain = tile[:, rows[:, :, None], columns[:, None, :]].transpose(0, 1)
    return x + grain * level.view(-1, 1, 1, 1)
