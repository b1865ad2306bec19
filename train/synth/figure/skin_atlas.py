"""Where things are on the unwrapped face: masks, lines and noise that every person's skin shares.

Texels are (x, y) of a 768 px texture whose row 0 is v = 0, so **y grows towards the forehead**.
FaceKit's unwrapping is symmetric about its middle column; ``ax`` is the distance from it.  One
texel is about 0.4 mm of skin.  Soft masks are 192 px (``COARSE``) and enlarged when used.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synth.figure.facekit import FaceKit

TEXTURE_PX = 768
COARSE_PX = 192
MIDDLE = (TEXTURE_PX - 1) / 2

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Point = tuple[float, float]

BLOBS: dict[str, list[tuple[float, float, float, float]]] = {
    "cheeks": [(128, 452, 62, 48)],
    "nose": [(0, 466, 42, 46), (46, 438, 24, 22)],
    "chin": [(0, 232, 52, 34)],
    "forehead": [(0, 690, 190, 62)],
    "tear_trough": [(82, 531, 20, 12), (104, 518, 30, 13), (126, 521, 26, 13)],
    "upper_lid": [(108, 564, 44, 13)],
    "socket": [(106, 552, 62, 36)],
    "inner_corner": [(70, 551, 15, 18)],
    "alar_crease": [(60, 430, 9, 22)],
    "perioral": [(70, 345, 40, 50), (0, 290, 70, 26)],
    "nostrils": [(34, 432, 10, 8)],
    "freckled": [(118, 468, 78, 46), (0, 500, 46, 56)],
    "porous": [(0, 462, 58, 60), (100, 455, 62, 52), (0, 690, 150, 60), (0, 236, 70, 40)],
    "oily": [(0, 690, 110, 52), (0, 478, 30, 70), (0, 236, 46, 30), (120, 468, 44, 30)],
}
"""Gaussians (ax, y, radius in x, radius in y), in texels, mirrored to both sides."""


def uv_points(kit: FaceKit, landmarks: Sequence[int]) -> Floats:
    """(n, 2) texels of landmarks."""
    return np.asarray(kit.uv[kit.landmarks[list(landmarks)]] * (TEXTURE_PX - 1), np.float32)


def curve(
    points: NDArray[np.floating] | Sequence[Point], count: int, *, closed: bool = False
) -> Floats:
    """(count, 2) points of a Catmull-Rom curve through ``points``."""
    p = np.asarray(points, np.float64)
    ends = (p[-1:], p[:2]) if closed else (2 * p[:1] - p[1:2], 2 * p[-1:] - p[-2:-1])
    p = np.vstack([ends[0], p, ends[1]])
    t = np.linspace(0, len(p) - 3, count, endpoint=not closed)
    i = np.minimum(t.astype(int), len(p) - 4)
    f = (t - i)[:, None]
    a, b, c, d = (p[i + k] for k in range(4))
    smooth = 2 * b + (c - a) * f + (2 * a - 5 * b + 4 * c - d) * f**2
    return np.asarray(0.5 * (smooth + (3 * b - a - 3 * c + d) * f**3), np.float32)


def stroke(image: Bytes, points: Floats, value: float, thickness: int) -> None:
    """An antialiased open line through (n, 2) texels, to a sixteenth of a texel."""
    fixed = np.round(points * 16).astype(np.int32)
    cv2.polylines(image, [fixed], False, value, thickness, cv2.LINE_AA, 4)


def mirrored(points: Floats, side: int) -> Floats:
    """Points given as (ax, y) as texels of one side: −1 the person's right, 1 the left."""
    return np.asarray(np.stack([MIDDLE + side * points[:, 0], points[:, 1]], 1), np.float32)


def periodic_noise(rng: np.random.Generator, side: int, low: float, high: float) -> Floats:
    """(side, side) noise of deviation 1 that tiles, of ``low`` to ``high`` cycles per side."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side))) * side
    band = np.exp(-((frequency / high) ** 2)) - np.exp(-((frequency / low) ** 2))
    noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) * band).real
    return np.asarray(noise / noise.std(), np.float32)


class SkinAtlas:
    """Masks and noise for one :class:`FaceKit`; made once, about a second, then read only."""

    def __init__(self, kit: FaceKit) -> None:
        rng = np.random.default_rng(768)
        y, x = np.mgrid[0:COARSE_PX, 0:COARSE_PX].astype(np.float32) * 4 + 1.5
        self.ax, self.y = np.abs(x - MIDDLE), y
        self.masks: dict[str, Floats] = {
            name: np.clip(sum(self._blob(*blob) for blob in blobs), 0, 1).astype(np.float32)
            for name, blobs in BLOBS.items()
        }
        self.masks["ears"] = _step(self.ax, 300, 330) * _step(y, 320, 350) * _step(-y, -560, -530)
        self.masks["neck"] = _step(-y, -190, -130)
        lips = curve(uv_points(kit, range(48, 60)), 96, closed=True)
        self.lips = _filled([lips], 1.6)
        """(768, 768) the vermilion, and what of it lies inside the mouth."""
        self.masks |= self._beard(kit)
        self.eye_top = curve(_side_points(kit, (39, 38, 37, 36)), 40)
        """(40, 2) the upper lid's edge from the inner corner outwards, as (ax, y)."""
        self.eye_bottom = curve(_side_points(kit, (39, 40, 41, 36)), 40)
        self.brow = curve(_side_points(kit, (21, 20, 19, 18, 17)), 60)
        self.mottle = periodic_noise(rng, 1024, 60, 260)
        self.grain = cv2.GaussianBlur(
            rng.normal(0, 1, (1024, 1024)).astype(np.float32), (0, 0), 0.7
        )
        self.pores = _pores(rng)
        self.roots = _roots(rng)
        """(1024, 1024) uint8: short hairs that point down, 255 where one covers a texel."""

    def _blob(self, ax: float, y: float, rx: float, ry: float) -> Floats:
        both = [
            np.exp(-(((self.ax - s * ax) / rx) ** 2) - ((self.y - y) / ry) ** 2) for s in (1, -1)
        ]
        return np.asarray(np.maximum(*both), np.float32)

    def _beard(self, kit: FaceKit) -> dict[str, Floats]:
        """Where a beard and a moustache grow (coarse); lips and what is under the nose are bare."""
        cheek = curve([(268, 520), (262, 430), (205, 360), (130, 345), (96, 330)], 30)
        below = [(96, 250), (0, 250), (0, 90), (150, 90), (290, 190), (300, 380), (292, 520)]
        half = np.vstack([cheek, np.array(below, np.float32)])
        chin = np.array([(0, 262), (60, 272), (104, 330), (120, 250), (0, 180)], np.float32)
        lip = uv_points(kit, (48, 49, 50, 51))
        lip = np.stack([MIDDLE - lip[:, 0], lip[:, 1] - 3], 1)
        top = np.array([(0, 408), (40, 409), (62, 396), (104, 345)], np.float32)
        upper = np.vstack([lip, top])
        bare = 1.0 - cv2.GaussianBlur(self.lips, (0, 0), 1.0)
        out = {}
        for name, shapes, blur in (("beard", (half, chin), 11.0), ("moustache", (upper,), 5.0)):
            mask = _filled([mirrored(s, side) for s in shapes for side in (-1, 1)], blur) * bare
            coarse = cv2.resize(mask, (COARSE_PX, COARSE_PX), interpolation=cv2.INTER_AREA)
            out[name] = np.asarray(coarse, np.float32)
        return out


def _side_points(kit: FaceKit, landmarks: Sequence[int]) -> Floats:
    points = uv_points(kit, landmarks)
    return np.stack([np.abs(points[:, 0] - MIDDLE), points[:, 1]], 1)


def _step(values: Floats, low: float, high: float) -> Floats:
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _filled(outlines: list[Floats], blur: float) -> Floats:
    mask = np.zeros((TEXTURE_PX, TEXTURE_PX), np.float32)
    for outline in outlines:
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), blur), np.float32)


def _pores(rng: np.random.Generator, side: int = 1024) -> Floats:
    """Pits about 0.8 mm apart, each some 0.3 mm wide, with a pale rim; mean 0, pits negative."""
    dots = np.zeros((side, side), np.float32)
    step = 3.2
    gy, gx = np.mgrid[0:side:step, 0:side:step]
    place = np.stack([gx, gy], -1).reshape(-1, 2)
    place = np.round(place + rng.normal(0, 0.9, place.shape)).astype(int) % side
    np.add.at(dots, (place[:, 1], place[:, 0]), rng.gamma(1.2, 1.0, len(place)).astype(np.float32))
    pits = cv2.GaussianBlur(dots, (0, 0), 0.7) - cv2.GaussianBlur(dots, (0, 0), 2.2)
    pits = np.clip(-pits / pits.std(), -4, 1.5)
    return np.asarray(pits - pits.mean(), np.float32)


def _roots(rng: np.random.Generator, side: int = 1024, count: int = 60000) -> Bytes:
    """Beard hairs just out of the skin: short strokes that lean every way, but mostly down."""
    large = np.zeros((2 * side, 2 * side), np.uint8)
    start = rng.uniform(0, 2 * side, (count, 2))
    angle = rng.normal(-np.pi / 2, 0.5, count)
    length = rng.uniform(1.5, 6.0, count)[:, None]
    end = start + length * np.stack([np.cos(angle), np.sin(angle)], 1)
    lines = np.round(np.stack([start, end], 1) * 16).astype(np.int32)
    for k, part in enumerate(np.array_split(lines, 5)):
        cv2.polylines(large, list(part), False, 115 + 35 * k, 1, cv2.LINE_AA, 4)
    return np.asarray(cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
