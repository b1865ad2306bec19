"""What a network that looks at the eyes is shown: two eye patches and both halves of the face.

A *sheet* is (3, 48, 208): the person's right side, then the left one mirrored.  Each side is an eye
patch of 48 x 72 pixels at the resolution of the face crop (1.6 px/mm, 45 x 30 mm), cut around the
middle of the eye's corners, beside half of the face at a quarter of that resolution (48 x 32, from
row 16 of the crop on; the halves overlap by 32 pixels of the crop).  The mirror image of a face has
the sides of the sheet swapped, exactly.

All points are pixels, and pixel centres are at integers.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from train.data.samples import EYE_POINTS, SIZE_PX

EYE_PX = (48, 72)
"""Height and width of an eye patch."""
FACE_PX = (48, 32)
"""Height and width of half of the face."""
FACE_SHRINK, FACE_TOP = 4, 16
"""Pixels of the crop to one of the face's, and the crop's first row that is seen."""
SIDE_PX = EYE_PX[1] + FACE_PX[1]
SHEET_PX = (EYE_PX[0], 2 * SIDE_PX)

FOCAL_PX, CENTER_PX, DISTANCE_MM = 960.0, 111.5, 600.0
"""Of the normalised face crop."""
EYES_MM = ((-31.5, -22.4, 9.9), (31.5, -22.4, 9.9))
"""Middles of the right and left eye's corners in the head frame (SDK's face model), mm: where eyes
are looked for when nobody says where they are."""

LIDS = 6
RIMS = 8
POINTS = LIDS + 1 + RIMS
"""Of each side: six points of the lids (outer corner first, along the upper lid, and back), the
iris's middle, eight points of its rim."""
_INDEX = {mark: k for k, mark in enumerate(EYE_POINTS)}
_RIGHT = torch.tensor([_INDEX[m] for m in (36, 37, 38, 39, 40, 41, 68)])
_LEFT = torch.tensor([_INDEX[m] for m in (45, 44, 43, 42, 47, 46, 69)])
_CORNERS = torch.tensor([[_INDEX[36], _INDEX[39]], [_INDEX[42], _INDEX[45]]])
_LEFT_RIM = torch.tensor([(4 - k) % RIMS for k in range(RIMS)])
"""Rim points lie at angles of 0, 45, ... degrees; in a mirror an angle a becomes 180 - a."""
SIDES = torch.tensor([1.0, -1.0])
_MIDDLE = torch.tensor([(EYE_PX[1] - 1) / 2, (EYE_PX[0] - 1) / 2])
_CAMERA = torch.tensor([[FOCAL_PX, 0, CENTER_PX], [0, FOCAL_PX, CENTER_PX], [0, 0, 1]])
_CAMERA_INVERSE = torch.linalg.inv(_CAMERA)
"""Of the normalised crop; inverted here, as a GPU would be waited for."""


def _there(value: Tensor, device: torch.device) -> Tensor:
    """A small constant on a device, without waiting for what it does."""
    return value.to(device, non_blocking=True)


def eye_places(batch: Mapping[str, Tensor]) -> Tensor:
    """(B, 2, 2) pixels of the crop around which to cut the eyes, the person's right one first.

    What the pipeline saw (``seen_eyes``); where that is unknown, the true corners' middles; then
    where a face of the SDK's model that is turned as ``head`` says has its eyes; then where one
    that looks into the camera has.
    """
    count, device = len(batch["image"]), batch["image"].device
    head = batch.get("head", torch.full((count, 2), torch.nan, device=device))
    places = canonical_places(torch.where(head.isfinite(), head, 0.0))
    if "points" in batch:
        corners = batch["points"][:, _there(_CORNERS, device)].mean(2)
        places = torch.where(corners.isfinite().all(-1, keepdim=True), corners, places)
    if "seen_eyes" in batch:
        seen = batch["seen_eyes"]
        places = torch.where(seen.isfinite().all(-1, keepdim=True), seen, places)
    return places.float()


def on_whole_pixels(places: Tensor) -> Tensor:
    """The nearest places around which patches hold the crop's own pixels, not means of them."""
    return places.floor() + 0.5  # a patch has an even number of pixels to either side


def canonical_places(head: Tensor) -> Tensor:
    """(B, 2, 2) pixels of a mean face's eyes; ``head`` (B, 2) is where it points, radians."""
    pitch, yaw = head.unbind(-1)
    cp, sp, cy, sy = pitch.cos(), -pitch.sin(), yaw.cos(), yaw.sin()
    zero = torch.zeros_like(pitch)
    # Columns of R_y(yaw) R_x(-pitch), whose third is the head's z axis.
    x_axis = torch.stack([cy, zero, -sy], -1)
    y_axis = torch.stack([sy * sp, cp, cy * sp], -1)
    z_axis = torch.stack([sy * cp, -sp, cy * cp], -1)
    turned = torch.stack([x_axis, y_axis, z_axis], -1)
    eyes = _there(torch.tensor(EYES_MM, dtype=head.dtype), head.device) @ turned.mT
    depth = eyes[..., 2:] + DISTANCE_MM
    return eyes[..., :2] / depth * FOCAL_PX + CENTER_PX


def cut(
    image: Tensor, eyes: Tensor, new_from_old: Tensor | None = None, zoom: Tensor | None = None
) -> Tensor:
    """Sheets (B, 3, 48, 208) in [0, 1] of crops (B, 3, 224, 224), uint8 or float in [0, 1].

    ``eyes`` (B, 2, 2) are the patches' middles.  With ``new_from_old`` (B, 3, 3) and ``zoom`` (B,)
    the crop is seen by a camera that is turned and zoomed so, and ``eyes`` are in its pixels.
    Beyond its border the picture goes on in its last colour.
    """
    if not image.is_floating_point():
        image = image.float() / 255
    device = image.device
    old = None if new_from_old is None else _old_from_new(new_from_old, zoom)
    height, width = EYE_PX
    y, x = _grid(height, width, device)
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    sides = _there(SIDES, device)[:, None, None]
    places = torch.stack([x * sides, y.expand(2, -1, -1)], -1) + eyes[:, :, None, None]
    patches = _sampled(image, places, old, shrink=1)
    height, width = FACE_PX
    y, x = _grid(height, width, device)
    y = (y + 0.5) * FACE_SHRINK - 0.5 + FACE_TOP
    x = (x + 0.5) * FACE_SHRINK - 0.5
    x = torch.stack([x, 2 * CENTER_PX - x])
    places = torch.stack([x, y.expand(2, -1, -1)], -1).expand(len(image), -1, -1, -1, -1)
    faces = _sampled(F.avg_pool2d(image, FACE_SHRINK), places, old, shrink=FACE_SHRINK)
    sheet = torch.cat([patches, faces], -1)
    return sheet.permute(0, 1, 3, 2, 4).flatten(-2)


def cut_classes(classes: Tensor, eyes: Tensor, rows: tuple[int, int]) -> Tensor:
    """(B, 2, 48, 72) of classes (B, h, 224), the crop's rows from ``rows[0]`` on, by nearest pixel.

    0 beyond them.
    """
    height, width = EYE_PX
    device = classes.device
    y, x = _grid(height, width, device)
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    sides = _there(SIDES, device)[:, None, None]
    places = torch.stack([x * sides, y.expand(2, -1, -1)], -1) + eyes[:, :, None, None]
    column, row = places.round().long().unbind(-1)
    row = row - rows[0]
    inside = (row >= 0) & (row < classes.shape[1]) & (column >= 0) & (column < SIZE_PX)
    picture = torch.arange(len(classes), device=device)[:, None, None, None]
    found = classes[picture, row.clamp(0, classes.shape[1] - 1), column.clamp(0, SIZE_PX - 1)]
    kept: Tensor = torch.where(inside, found, torch.zeros_like(found))
    return kept


def _old_from_new(new_from_old: Tensor, zoom: Tensor | None) -> Tensor:
    """(B, 3, 3) homographies of pixels."""
    if zoom is None:
        zoom = torch.ones(len(new_from_old), device=new_from_old.device)
    scale = torch.stack([zoom, zoom, torch.ones_like(zoom)], -1)
    camera, inverse = _there(_CAMERA, zoom.device), _there(_CAMERA_INVERSE, zoom.device)
    old_from_new: Tensor = camera @ (new_from_old.mT / scale[:, None]) @ inverse
    return old_from_new


def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and columns, (height, width) each."""
    rows = torch.arange(height, device=device, dtype=torch.float32)
    columns = torch.arange(width, device=device, dtype=torch.float32)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return y, x


def _sampled(image: Tensor, places: Tensor, old_from_new: Tensor | None, *, shrink: int) -> Tensor:
    """(B, 3, 2, h, w) of an image at places (B, 2, h, w, 2) in pixels of the whole crop."""
    size, sides, height, width, _ = places.shape
    flat = places.reshape(size, -1, 2)
    if old_from_new is not None:
        old = F.pad(flat, (0, 1), value=1.0) @ old_from_new.mT
        flat = old[..., :2] / old[..., 2:]
    grid = ((2 * flat + 1) / SIZE_PX - 1).reshape(size, sides * height, width, 2)
    found: Tensor = F.grid_sample(image, grid, padding_mode="border", align_corners=False)
    each: Tensor = found.unflatten(2, (sides, height))
    return each


def points_of_sides(points: Tensor, rims: Tensor | None = None) -> Tensor:
    """(B, 2, POINTS, 2) pixels of the crop, by side; ``points`` (B, 28, 2) are EYE_POINTS.

    ``rims`` (B, 2, 8, 2) are of the right and the left iris; without, NaN.
    """
    device = points.device
    if rims is None:
        rims = torch.full((len(points), 2, RIMS, 2), torch.nan, device=device)
    right = torch.cat([points[:, _there(_RIGHT, device)], rims[:, 0]], 1)
    left = torch.cat(
        [points[:, _there(_LEFT, device)], rims[:, 1][:, _there(_LEFT_RIM, device)]], 1
    )
    return torch.stack([right, left], 1)


def in_patches(points: Tensor, eyes: Tensor) -> Tensor:
    """Points (B, 2, K, 2) of the crop, by side, in the pixels of patches around ``eyes``."""
    middle = _there(_MIDDLE, points.device)
    return (points - eyes[:, :, None]) * _mirror_x(points.device) + middle


def from_patches(points: Tensor, eyes: Tensor) -> Tensor:
    """The inverse of :func:`in_patches`."""
    middle = _there(_MIDDLE, points.device)
    return (points - middle) * _mirror_x(points.device) + eyes[:, :, None]


def _mirror_x(device: torch.device) -> Tensor:
    """(2, 1, 2): the left side's x axis is mirrored."""
    return _there(torch.tensor([[[1.0, 1.0]], [[-1.0, 1.0]]]), device)


def swapped(sheet: Tensor) -> Tensor:
    """The sheets (B, 3, 48, 208) of the mirrored faces."""
    return torch.cat([sheet[..., SIDE_PX:], sheet[..., :SIDE_PX]], -1)
