"""The skull under a hat: points laid out by direction from its middle, and the rims of hats.

A crown is a grid of azimuth (columns, 0 at the front) and elevation (rows, from the rim to the
top), each point the skull's own surface and a lift in millimetres; so it fits every head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from train.synth.figure.facekit import FaceKit
from train.synth.worn.fitting import Floats, Numbers, anatomy

COLUMNS = 48
AZIMUTH = np.linspace(-np.pi, np.pi, COLUMNS, endpoint=False)


@dataclass(frozen=True, slots=True)
class Rim:
    """Where a hat ends on the head: elevations in radians, from the skull's middle."""

    front: float
    side: float
    back: float

    def elevation(self, azimuth: Numbers) -> Numbers:
        """At each azimuth, smooth all around."""
        c = np.cos(azimuth)
        middle = (self.front + self.back) / 2
        return middle + (self.front - self.back) / 2 * c + (self.side - middle) * (1 - c**2)


class Head:
    """A person's skull as hats see it."""

    def __init__(self, kit: FaceKit, calm: Floats) -> None:
        self._anatomy = anatomy(kit)
        self._calm = calm
        self.center = self._anatomy.skull_center(calm).astype(np.float64)

    def lifted(self, azimuth: Numbers, elevation: Numbers, lift: Numbers | float) -> Numbers:
        """Points (..., 3) above the skull by ``lift`` mm along the rays from its middle."""
        at = self._anatomy.around_skull(azimuth, elevation)(self._calm).astype(np.float64)
        ray = at.reshape(*azimuth.shape, 3) - self.center
        length = np.linalg.norm(ray, axis=-1, keepdims=True)
        return np.asarray(self.center + ray * (1 + np.asarray(lift)[..., None] / length))

    def cleared(self, points: Numbers, least: float) -> Numbers:
        """``points`` (..., 3), moved out where they are less than ``least`` mm above the skull."""
        ray = points - self.center
        length = np.linalg.norm(ray, axis=-1)
        azimuth = np.arctan2(ray[..., 0], -ray[..., 2])
        skin = self.lifted(azimuth, np.arcsin(-ray[..., 1] / length), least)
        needed = np.linalg.norm(skin - self.center, axis=-1)
        return np.asarray(self.center + ray * (np.maximum(needed, length) / length)[..., None])

    def bound(self, places: Numbers, out: float) -> Numbers:
        """This person's surface points nearest to places (n, 3) on the mean head, ``out`` mm out.

        Out is away from the vertical axis of the head.
        """
        points = self._calm[self._anatomy.nearest(places)].astype(np.float64)
        away = points - self.center
        away[:, 1] *= 0.25
        return np.asarray(points + out * away / np.linalg.norm(away, axis=1, keepdims=True))


def draw_rim(rng: np.random.Generator, kind: str) -> Rim:
    """The first draw of every hat: how low it sits."""
    front, tilt = rng.uniform(0, 1, 2)
    low, high, side, back = {
        "cap": (16, 28, 7, -9),
        "brimmed_hat": (17, 26, 9, 3),
        "beanie": (18, 36, 3, -20),
        "helmet": (20, 30, 6, -6),
    }[kind]
    up = low + (high - low) * front
    return Rim(*np.radians([up, side + 3 * tilt, back - 8 * tilt + 0.3 * (up - low)]).tolist())


def crown_rows(rim: Rim, shares: Numbers, azimuth: Numbers = AZIMUTH) -> tuple[Numbers, Numbers]:
    """(azimuth, elevation) grids: ``shares`` of the way from the rim (0) to the top (1)."""
    start = rim.elevation(azimuth)
    elevation = start + shares[:, None] * (np.radians(89.5) - start)
    return np.broadcast_to(azimuth, elevation.shape), elevation


def visor(
    head: Head, rim: Rim, *, reach: float, pitch: float, half: float, droop: float, lift: float
) -> Numbers:
    """A peak's middle surface (rows, columns, 3) from the rim's front arc outwards."""
    s = np.linspace(-1, 1, 19)
    azimuth = s * half
    base = head.lifted(azimuth, rim.elevation(azimuth), np.full(19, lift))
    out = reach * (1 - np.abs(s) ** 2.4) ** 0.6
    t = np.linspace(0, 1, 7)[:, None]
    ahead = np.stack([0.25 * np.sin(azimuth), np.full(19, np.sin(pitch)), -np.cos(azimuth / 2)], 1)
    points = base + (t * out)[..., None] * ahead
    points[..., 1] += droop * s**2 * t + 0.10 * reach * t**2 * np.sin(pitch)
    return np.asarray(points)
