"""Augmentation of what a network that looks at the eyes is shown, with labels kept right.

As ``train.gaze.augment``, on sheets: crops are turned, zoomed and cut in one step, and patches are
cut where an erring landmark network would.  Half of the pictures are neither turned nor zoomed, and
are cut at whole pixels, so that they stay as sharp as the camera made them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from train.data.samples import CLASS_ROWS
from train.gaze import sheets
from train.gaze.augment import (
    Augmentation,
    Batch,
    Draws,
    coarse,
    colored,
    hidden,
    mirror_angles,
    mirror_points,
    noisy,
    rotation,
    turn_labels,
    turn_points,
)
from train.gaze.models import EYES, Architecture

JITTER_PX = 1.5
"""Standard deviation of what is added to a patch's place, as seen by the pipeline."""
ERROR_PX = 2.0
"""The same, where only its true place is known."""
HEAD_ERROR_RAD = 0.08
"""Standard deviation of the head that is told, where only the true one is known."""


class SheetAugmentation:
    """Random places, turn, zoom, mirror, hidden parts, colour, blur, coarseness and noise."""

    def __init__(self, strength: float, *, seed: int, mirrored: bool = True) -> None:
        if strength < 0:
            raise ValueError(f"strength is {strength}; expected at least 0")
        self.strength, self.seed, self.mirrored = strength, seed, mirrored

    def __call__(
        self, batch: Mapping[str, Tensor], step: int, *, first: int = 0, total: int | None = None
    ) -> Batch:
        """The batch with ``image`` sheets (B, 3, 48, 208) in [0, 1], and labels to match.

        Adds ``eye_points`` (B, 2, POINTS, 2), pixels of the patches, where points are known, and
        ``eye_classes`` (B, 2, 48, 72) of pictures that were not turned, -1 elsewhere.  The batch is
        rows ``first`` to ``first + B`` of ``total`` that all processes have together.
        """
        size = len(batch["image"])
        total = size if total is None else total
        out = dict(batch)
        draw = Draws(self.seed, step, total, slice(first, first + size), batch["image"].device)
        places = sheets.eye_places(batch)
        if self.strength == 0:
            places = sheets.on_whole_pixels(places)
            out["image"] = sheets.cut(batch["image"], places)
            return out | self._signs(out, places, torch.ones(size, dtype=torch.bool))
        device = draw.device
        varied = draw.chance(0.5)
        turn = draw.normal(3) * torch.tensor([0.006, 0.006, 0.04]) * self.strength
        new_from_old = rotation(turn).to(device, non_blocking=True)
        straight = torch.eye(3, device=device).expand_as(new_from_old)
        new_from_old = torch.where(varied[:, None, None], new_from_old, straight)
        zoom = torch.exp(0.05 * self.strength * draw.normal()).to(device, non_blocking=True)
        zoom = torch.where(varied, zoom, 1.0)
        for key in ("gaze", "head", "seen_head"):
            if key in out:
                out[key] = turn_labels(out[key], new_from_old)
        for key in ("points", "rims"):
            if key in out:
                flat = out[key].flatten(1, -2)
                out[key] = turn_points(flat, new_from_old, zoom).reshape(out[key].shape)
        places = turn_points(places, new_from_old, zoom)
        error = torch.where(self._is_seen(batch), JITTER_PX, ERROR_PX)
        jitter = draw.normal(2, 2).to(device, non_blocking=True)
        places = places + self.strength * error[:, None, None] * jitter
        places = torch.where(varied[:, None, None], places, sheets.on_whole_pixels(places))
        told = draw.normal(2).to(device, non_blocking=True) * HEAD_ERROR_RAD * self.strength
        x = sheets.cut(batch["image"], places, new_from_old, zoom)
        out |= self._signs(out, places, ~varied)
        if "head" in out:
            seen = out.get("seen_head", torch.full_like(out["head"], torch.nan))
            out["seen_head"] = torch.where(seen.isfinite(), seen, out["head"] + told)
        out["image"] = x
        flipped = draw.chance(0.5)
        if self.mirrored:
            out = mirror_sheets(out, flipped)
        x = coarse(hidden(out["image"], draw, self.strength), draw, self.strength)
        x = noisy(colored(x, draw, self.strength), draw, self.strength)
        out["image"] = x.clamp(0, 1)
        return out

    @staticmethod
    def _is_seen(batch: Mapping[str, Tensor]) -> Tensor:
        """(B,) whether the pipeline's own error is in the places already."""
        if "seen_eyes" not in batch:
            return torch.zeros(len(batch["image"]), dtype=torch.bool, device=batch["image"].device)
        return batch["seen_eyes"].isfinite().all(-1).all(-1)

    @staticmethod
    def _signs(batch: Mapping[str, Tensor], places: Tensor, straight: Tensor) -> Batch:
        """What the dense heads are to say."""
        found: Batch = {}
        if "points" in batch:
            points = sheets.points_of_sides(batch["points"], batch.get("rims"))
            found["eye_points"] = sheets.in_patches(points, places)
        if "classes" in batch:
            classes = sheets.cut_classes(batch["classes"], places, CLASS_ROWS).long()
            known = straight.to(classes.device, non_blocking=True)[:, None, None, None]
            known = known & (batch["classes"] > 0).any(-1).any(-1)[:, None, None, None]
            found["eye_classes"] = torch.where(known, classes, -1)
        return found


def mirror_sheets(batch: Mapping[str, Tensor], which: Tensor) -> Batch:
    """Mirror the samples ``which`` (B,) bool: sides are swapped, yaws negate, points move."""
    out = dict(batch)
    out["image"] = torch.where(
        which.view(-1, 1, 1, 1), sheets.swapped(batch["image"]), batch["image"]
    )
    for key in ("gaze", "head", "seen_head"):
        if key in batch:
            out[key] = torch.where(which[:, None], mirror_angles(batch[key]), batch[key])
    if "points" in batch:
        out["points"] = torch.where(
            which[:, None, None], mirror_points(batch["points"]), batch["points"]
        )
    for key in ("openness", "eye_points", "eye_classes"):
        if key in batch:
            wide = which.view(-1, *[1] * (batch[key].ndim - 1))
            out[key] = torch.where(wide, batch[key].flip(1), batch[key])
    return out


def augmentation_for(
    architecture: Architecture, strength: float, *, seed: int, mirrored: bool = True
) -> Augmentation | SheetAugmentation:
    """The augmentation that makes what a model of this architecture is shown."""
    if architecture.backbone == EYES:
        return SheetAugmentation(strength, seed=seed, mirrored=mirrored)
    return Augmentation(
        strength,
        seed=seed,
        rows=architecture.rows,
        half=architecture.half,
        mirrored=mirrored,
    )
