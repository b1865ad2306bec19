"""Beards and moustaches of rendered people, as textured cards on the lower face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synth.figure.facekit import NARROW_FACE_VERTICES, VERTICES, FaceKit
from train.synth.figure.hair_cards import CARDS, Floats, Ints, Ribbons, Strands, ribbons, strands_of
from train.synth.streams import Streams

MAP_PX = 256
DOWN = np.array([0.0, 1.0, 0.0], np.float32)

FULL_UV = ((0.135, 0.73), (0.175, 0.72), (0.19, 0.60), (0.23, 0.53), (0.29, 0.49), (0.345, 0.475))
"""Upper edge of a full beard on the right half of the face, in texture coordinates."""
UNDER_UV = ((0.30, 0.24), (0.21, 0.34), (0.165, 0.46), (0.135, 0.60))
"""Its lower edge, from the throat to the ear."""


@dataclass(frozen=True, slots=True)
class Beard:
    """What grows where.  Lengths in mm; 0: shaved."""

    kind: str
    length: float
    moustache: float


def choose_beard(streams: Streams, on: Mapping[str, bool]) -> Beard | None:
    """The beard that the factors allow; None for a shaved face."""
    rng = streams("beard")
    pick, size, lip = rng.random(), rng.random(), rng.random()
    kind, length = "none", 0.0
    if on.get("beard", False):
        if pick < 0.6:
            kind, length = "full", 5 + 6 * size
        elif pick < 0.9:
            kind, length = "full", 14 + 34 * size * size
        else:
            kind, length = "goatee", 6 + 16 * size
    moustache = 5.5 + 6 * lip if on.get("moustache", False) else 0.0
    return Beard(kind, length, moustache) if length or moustache else None


def _polygon(image: Floats, points: NDArray[np.float64] | Floats, value: float) -> None:
    cv2.fillPoly(image, [np.round(points * (MAP_PX - 1)).astype(np.int32)], value)


def _maps(streams: Streams, kit: FaceKit, beard: Beard) -> tuple[Floats, Floats]:
    """Density (256, 256) of the beard and of the moustache over texture coordinates."""
    rng = streams("beard map")
    marks = kit.uv[kit.landmarks].astype(np.float64)
    chin, lip = np.zeros((2, MAP_PX, MAP_PX), np.float32)
    mirror = np.array([-1.0, 1.0]), np.array([1.0, 0.0])
    if beard.kind == "full":
        rise = rng.uniform(-0.03, 0.02)
        upper = np.array(FULL_UV) + np.array([0.0, rise]) * np.array(
            [[0], [0], [1], [1], [1], [0.5]]
        )
        half = np.vstack([upper, [(0.42, 0.43)]])
        under = np.array(UNDER_UV) + (0, rng.uniform(-0.01, 0.02))
        right = half * mirror[0] + mirror[1]
        other = under * mirror[0] + mirror[1]
        _polygon(chin, np.vstack([half, right[::-1], other[::-1], under]), 1.0)
    if beard.kind in ("full", "goatee"):
        wide = rng.uniform(0.0, 0.03)
        top = marks[[48, 59, 58, 57, 56, 55, 54]]
        low = np.array(
            [(0.62 + wide, 0.33), (0.57, 0.25), (0.5, 0.235), (0.43, 0.25), (0.38 - wide, 0.33)]
        )
        _polygon(chin, np.vstack([top, low]), 1.0)
    if beard.kind != "none":  # bare beside the tuft under the lip
        for x in (0.445, 0.555):
            cv2.circle(chin, (round(x * 255), round(0.345 * 255)), 5, 0.35, -1)
    if beard.moustache:
        drop = rng.uniform(0.0, 0.05)
        edge = marks[48:55] + np.array([0, 0.008])
        top = np.array(
            [(0.395 - drop * 0.4, 0.455 - drop), (0.40, 0.50), (0.455, 0.535), (0.5, 0.53)]
        )
        other = top[:3][::-1] * mirror[0] + mirror[1]
        _polygon(lip, np.vstack([top, other, edge[::-1]]), 1.0)
    mouth = np.zeros_like(chin)
    _polygon(mouth, marks[48:60], 1.0)
    bare = 1 - cv2.GaussianBlur(mouth, (0, 0), 1.0)
    patchy = cv2.resize(rng.normal(0, 1, (24, 24)).astype(np.float32), (MAP_PX, MAP_PX))
    grain = np.clip(1 + 0.25 * patchy, 0, 1)
    chin = cv2.GaussianBlur(chin, (0, 0), 3.0) * bare * grain
    lip = cv2.GaussianBlur(lip, (0, 0), 1.3) * bare
    return np.where(chin > 0.05, chin, 0), np.where(lip > 0.05, lip, 0)


def _at_vertices(kit: FaceKit, image: Floats) -> Floats:
    out = np.zeros(VERTICES, np.float32)
    uv = (kit.uv[:NARROW_FACE_VERTICES] * (MAP_PX - 1)).round().astype(int)
    out[:NARROW_FACE_VERTICES] = image[uv[:, 1].clip(0, 255), uv[:, 0].clip(0, 255)]
    return out


def beard_cover(streams: Streams, kit: FaceKit, on: Mapping[str, bool]) -> Floats:
    """How far a beard colours the skin under it, (26719,) 0..1."""
    beard = choose_beard(streams, on)
    if beard is None:
        return np.zeros(VERTICES, np.float32)
    chin, lip = _maps(streams, kit, beard)
    return _at_vertices(kit, 0.7 * np.maximum(chin, lip))


def facial_hair(
    streams: Streams, kit: FaceKit, calm: Floats, on: Mapping[str, bool]
) -> Strands | None:
    """Cards of a beard and moustache; None where neither is worn.

    ``calm`` (26719, 3) is the person's neutral face, head frame, mm; ``on`` names the factors.
    """
    beard = choose_beard(streams, on)
    if beard is None:
        return None
    rng = streams("beard hair")
    chin, lip = _maps(streams, kit, beard)
    broad: list[Ribbons] = []
    fine: list[Ribbons] = []
    if beard.length:
        segments = 2 if beard.length < 12 else 3
        share = 1.0 if beard.kind == "full" else 0.5
        counts = (250, 560) if segments == 2 else (180, 340)
        roots = _Roots(kit, calm, _at_vertices(kit, chin))
        for group, count, width in ((broad, counts[0], 7.0), (fine, counts[1], 3.2)):
            group.append(_chin(rng, roots, kit, calm, beard, int(share * count), segments, width))
    if beard.moustache:
        roots = _Roots(kit, calm, _at_vertices(kit, lip))
        for group, count, width in ((broad, 50, 6.0), (fine, 105, 3.2)):
            group.append(_lip(rng, roots, kit, calm, beard, count, width))
    return strands_of(*broad, *fine, coarse=len(broad))


class _Roots:
    """Where hair may root: triangles of the face by density."""

    def __init__(self, kit: FaceKit, calm: Floats, density: Floats) -> None:
        inside = (density > 0)[kit.triangles].all(1)
        self.triangles = kit.triangles[inside]
        corners = calm[self.triangles]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        if (cross * (corners.mean(1) - (0, 20, 70))).sum() < 0:
            cross = -cross
        self.weight = np.linalg.norm(cross, axis=1) * density[self.triangles].mean(1)
        normals = np.zeros_like(calm)
        for corner in range(3):
            np.add.at(normals, self.triangles[:, corner], cross)
        self.normals = normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-6)
        self.calm = calm

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, Floats, Ints]:
        """Points (N, 3), normals (N, 3) and a vertex nearby (N,), spread evenly."""
        heap = np.cumsum(self.weight)
        at = (np.arange(count) + rng.random(count)) / count * heap[-1]
        rows = self.triangles[np.searchsorted(heap, at).clip(0, len(heap) - 1)]
        share = rng.dirichlet((1.0, 1.0, 1.0), count)[..., None]
        points = (self.calm[rows] * share).sum(1)
        normals = (self.normals[rows] * share).sum(1)
        order = rng.permutation(count)
        return points[order], normals[order], rows[order, 0]


def _chin(
    rng: np.random.Generator,
    roots: _Roots,
    kit: FaceKit,
    calm: Floats,
    beard: Beard,
    count: int,
    segments: int,
    width: float,
) -> Ribbons:
    points, normals, anchor = roots.draw(rng, count)
    corner, tip = calm[kit.landmarks[[48, 8]], 1]
    low = np.clip((points[:, 1] - corner + 25) / (tip - corner + 20), 0, 1)
    middle = np.exp(-((points[:, 0] / 38) ** 2))
    length = (
        beard.length * (0.45 + 0.55 * low * (0.6 + 0.4 * middle)) * rng.uniform(0.7, 1.1, count)
    )
    length = np.where(points[:, 1] < corner - 25, np.minimum(length, 9.0), length)
    swirl = np.stack([0.25 * points[:, 0] / 60, np.ones(count), -0.15 * np.ones(count)], 1)
    swirl += rng.normal(0, 0.22, (count, 3))
    lift = np.where(beard.length > 12, 0.25 + 0.35 * low, 0.45)
    return _comb(rng, points, normals, anchor, swirl, lift, length, segments, width)


def _lip(
    rng: np.random.Generator,
    roots: _Roots,
    kit: FaceKit,
    calm: Floats,
    beard: Beard,
    count: int,
    width: float,
) -> Ribbons:
    points, normals, anchor = roots.draw(rng, count)
    part = np.where(points[:, 0] + rng.normal(0, 1.0, count) > 0, 1.0, -1.0)
    out = np.clip(np.abs(points[:, 0]) / 20, 0, 1)
    swirl = np.stack([part * (0.5 + 0.3 * out), 0.9 + 0 * out, 0.25 * out], 1)
    swirl += rng.normal(0, 0.15, (count, 3))
    stop = calm[kit.landmarks[[61, 62, 63]], 1].mean() + 6 * out**2
    length = np.minimum(beard.moustache, np.maximum(1.3 * (stop - points[:, 1]) + 1, 3.0))
    length = length * rng.uniform(0.75, 1.05, count)
    return _comb(rng, points, normals, anchor, swirl, np.full(count, 0.3), length, 2, width)


def _comb(
    rng: np.random.Generator,
    points: Floats,
    normals: Floats,
    anchor: Ints,
    swirl: NDArray[np.float64],
    lift: NDArray[np.float64],
    length: NDArray[np.float64],
    segments: int,
    width: float,
) -> Ribbons:
    """Cards that leave the skin at ``lift`` (0 flat, 1 upright), then bend down."""
    count = len(points)
    flat = swirl - normals * (swirl * normals).sum(1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-6
    heading = flat * (1 - lift[:, None]) + normals * lift[:, None]
    lines = [points + 0.2 * normals]
    for step in range(segments):
        heading = heading / (np.linalg.norm(heading, axis=1, keepdims=True) + 1e-6)
        lines.append(lines[-1] + heading * (length / segments)[:, None])
        pull = 0.25 * length[:, None] / 20 * DOWN
        inward = np.minimum((pull * normals).sum(1, keepdims=True), 0)
        heading = heading + pull - inward * normals + 0.05 * (step + 1) * flat
    path = np.stack(lines, 1)
    outward = np.broadcast_to(normals[:, None], path.shape) + 0.0
    shade = (
        np.linspace(0.82, 1.03, segments + 1)
        * rng.normal(0.92, 0.05, count).clip(0.6, 1.3)[:, None]
    )
    card = CARDS - 1 - (rng.random(count) < 0.3) + CARDS * rng.integers(0, 2, count)
    wide = width * rng.uniform(0.7, 1.2, count)
    return ribbons(path, outward, wide, rng.normal(0, 0.3, count), card, shade, anchor)
