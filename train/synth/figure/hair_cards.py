"""Cards: ribbons that carry painted strands of hair, and the skull that they must stay out of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import scipy.spatial
from numpy.typing import NDArray

from train.synth.figure.facekit import PARTS, FaceKit

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Ribbons = tuple[dict[str, NDArray[Any]], Ints]
"""The arrays of :class:`Strands` by name, and triangles."""

CARDS = 4
"""Pictures of cards side by side in the texture: two dense, two of loose strands."""
TEXTURE_PX = 256


@dataclass(frozen=True, slots=True)
class Strands:
    """Hair of one person as textured ribbons, head frame, mm (float32 and int32)."""

    vertices: Floats
    """(N, 3)."""
    tangents: Floats
    """(N, 3) unit, root to tip."""
    normals: Floats
    """(N, 3) unit, of the smooth surface that the hair forms."""
    uv: Floats
    """(N, 2): across a card (0.25 a card; which of the four differs), root 0 to tip 1."""
    tint: Floats
    """(N,) brightness, about 0.5 to 1.4."""
    anchor: Ints
    """(N,) FaceKit vertex that the card follows when the face moves; -1: rigid with the head."""
    triangles: Ints
    """(M, 3)."""
    coarse: int
    """triangles[:coarse] are the broad cards alone, enough for a face that is small."""


@dataclass(slots=True)
class Skull:
    """Distance of a head's surface from a point inside, by direction."""

    center: Floats
    bare: Floats
    """(60, 121) mm, ears left out; rows from elevation +88.5, columns from azimuth -180."""
    eared: Floats

    def radius(self, directions: Floats, *, ears: bool) -> Floats:
        """Distance (...) of the surface along unit directions (..., 3)."""
        azimuth, elevation = angles(directions)
        image = self.eared if ears else self.bare
        return _lookup(image, (azimuth + 180) / 3, (88.5 - elevation) / 3)


def angles(directions: Floats) -> tuple[Floats, Floats]:
    """Azimuth (0 ahead, +90 the person's left) and elevation of unit vectors, degrees."""
    azimuth = np.degrees(np.arctan2(directions[..., 0], -directions[..., 2]))
    elevation = np.degrees(np.arcsin(np.clip(-directions[..., 1], -1, 1)))
    return azimuth.astype(np.float32), elevation.astype(np.float32)


def look_up_line(image: Floats, directions: Floats) -> Floats:
    """Values of an image of the whole sphere (as ``hairline_distance`` gives) by direction."""
    azimuth, elevation = angles(directions)
    step = 180 / image.shape[0]
    return _lookup(image, (azimuth + 180) / step, (90 - elevation) / step)


def _lookup(image: Floats, x: Floats, y: Floats) -> Floats:
    flat = cv2.remap(
        image,
        np.clip(x, 0, image.shape[1] - 1).reshape(-1, 1).astype(np.float32),
        np.clip(y, 0, image.shape[0] - 1).reshape(-1, 1).astype(np.float32),
        cv2.INTER_LINEAR,
    )
    return np.asarray(flat, np.float32).reshape(x.shape)


@cache
def _skull_directions() -> Floats:
    azimuth, elevation = np.meshgrid(
        np.radians(np.arange(-180, 181, 3)), np.radians(np.arange(88.5, -90, -3))
    )
    flat = np.cos(elevation)
    return np.stack(
        [np.sin(azimuth) * flat, -np.sin(elevation), -np.cos(azimuth) * flat], -1
    ).astype(np.float32)


def fit_skull(kit: FaceKit, calm: Floats) -> Skull:
    """The radial map of a head: ``calm`` (26719, 3), head frame, mm."""
    brow = calm[kit.landmarks[17:27]].mean(0)
    head = calm[: PARTS["head"][1]]
    center = np.array([0.0, brow[1] + 6.0, 0.5 * (brow[2] + head[:, 2].max())], np.float32)
    level = np.abs(head[:, 1] - brow[1]) < 20  # shoulders reach further back than the head
    center[2] = 0.5 * (head[level, 2].min() + head[level, 2].max())
    offset = head[::2] - center
    length = np.linalg.norm(offset, axis=1)
    unit = offset / length[:, None]
    azimuth, elevation = angles(unit)
    usual = np.median(length[elevation > 25])
    ear = (np.abs(np.abs(azimuth) - 98) < 17) & (np.abs(elevation + 25) < 22)
    ear &= length > 0.905 * usual
    grid = _skull_directions().reshape(-1, 3)
    shape = _skull_directions().shape[:2]
    low = np.degrees(np.arcsin(grid[:, 1])) > 30
    surfaces = []
    for kept in (~ear, np.ones_like(ear)):
        distance, index = scipy.spatial.cKDTree(unit[kept]).query(grid, k=3)
        near = length[kept][index]
        weight = 1 / (distance + 0.01)
        mean = (near * weight).sum(1) / weight.sum(1)
        surfaces.append(np.where(low, near.max(1), mean).reshape(shape).astype(np.float32))
    bare, full = surfaces
    eared = np.maximum(bare, np.minimum(full, bare + 22))
    eared = cv2.GaussianBlur(cv2.dilate(eared, np.ones((3, 3))), (0, 0), 0.9)
    # Below the jaw the neck's width counts, not the shoulders that the same directions meet.
    limit = np.interp(np.arange(88.5, -90, -3), [-56, -45], [104.0, 200.0])[:, None]
    return Skull(
        center,
        np.minimum(bare, limit).astype(np.float32),
        np.minimum(np.maximum(eared, bare), limit).astype(np.float32),
    )


def spiral(count: int, rng: np.random.Generator) -> Floats:
    """Points spread evenly over the sphere (a Fibonacci spiral), jittered."""
    k = np.arange(count) + 0.5
    y = -1 + 2 * k / count
    turn = np.pi * (1 + 5**0.5) * k + rng.uniform(0, 2 * np.pi)
    flat = np.sqrt(1 - y * y)
    unit = np.stack([flat * np.sin(turn), y, flat * np.cos(turn)], 1)
    unit += rng.normal(0, 0.6 / np.sqrt(count), unit.shape)
    return np.asarray(unit / np.linalg.norm(unit, axis=1, keepdims=True), np.float32)


def ribbons(
    lines: Floats,
    outward: Floats,
    widths: Floats,
    roll: Floats,
    card: Ints,
    tint: Floats,
    anchor: Ints,
) -> Ribbons:
    """Ribbons along centre lines.

    ``lines`` and ``outward`` (N, S, 3), ``widths`` (N,) mm, ``roll`` (N,) radians about the line,
    ``card`` (N,) picture of the texture, ``tint`` (N, S), ``anchor`` (N,).  Returns the arrays of
    :class:`Strands` by name, and the triangles.
    """
    count, points = lines.shape[:2]
    outward = outward / (np.linalg.norm(outward, axis=2, keepdims=True) + 1e-6)
    tangent = np.gradient(lines, axis=1)
    tangent /= np.linalg.norm(tangent, axis=2, keepdims=True) + 1e-6
    across = np.cross(tangent, outward)
    across /= np.linalg.norm(across, axis=2, keepdims=True) + 1e-6
    third = np.cross(across, tangent)
    across = across * np.cos(roll)[:, None, None] + third * np.sin(roll)[:, None, None]
    v = np.linspace(0, 1, points, dtype=np.float32)
    taper = np.interp(v, [0, 0.3, 0.75, 1], [0.75, 1.0, 0.95, 0.6])
    half = across * (0.5 * widths[:, None] * taper)[..., None]
    vertices = np.stack([lines - half, lines + half], 2)
    mirrored = (card >= CARDS)[:, None]
    ends = np.where(mirrored, [[1.0, 0.0]], [[0.0, 1.0]]) + (card % CARDS)[:, None]
    uv = np.empty((count, points, 2, 2), np.float32)
    uv[..., 0] = ends[:, None, :] / CARDS
    uv[..., 1] = v[None, :, None]
    base = 2 * np.arange(points - 1)[:, None]
    quad = np.array([[0, 1, 2, 1, 3, 2]])
    triangles = (2 * points * np.arange(count))[:, None] + (base + quad).reshape(1, -1)
    both = (count, points, 2)
    arrays = {
        "vertices": vertices.reshape(-1, 3).astype(np.float32),
        "tangents": np.repeat(tangent, 2, 1).reshape(-1, 3).astype(np.float32),
        "normals": np.repeat(outward, 2, 1).reshape(-1, 3).astype(np.float32),
        "uv": uv.reshape(-1, 2),
        "tint": np.broadcast_to(tint[..., None], both).reshape(-1).astype(np.float32),
        "anchor": np.broadcast_to(anchor[:, None, None], both).reshape(-1).astype(np.int32),
    }
    return arrays, triangles.reshape(-1, 3).astype(np.int32)


def strands_of(*groups: Ribbons, coarse: int) -> Strands:
    """Join groups of ribbons; the first ``coarse`` groups are the broad cards."""
    starts = np.cumsum([0] + [len(arrays["tint"]) for arrays, _ in groups[:-1]])
    triangles = [t + start for (_, t), start in zip(groups, starts, strict=True)]
    joined = {name: np.concatenate([arrays[name] for arrays, _ in groups]) for name in groups[0][0]}
    return Strands(
        **joined,
        triangles=np.vstack(triangles).astype(np.int32),
        coarse=sum(len(t) for t in triangles[:coarse]),
    )


@cache
def strand_texture() -> NDArray[np.uint8]:
    """Four pictures of cards side by side, (256, 256, 4) uint8, row 0 at the roots.

    Red is the coverage of straight strands, green that of curly ones, blue each strand's
    brightness, alpha how it leans (128: straight).  Always the same.
    """
    rng = np.random.default_rng(20260711)
    cell = TEXTURE_PX // CARDS
    big = 4  # drawn larger, then shrunk, for smooth edges
    image = np.zeros((TEXTURE_PX, TEXTURE_PX, 4), np.float32)
    for k in range(CARDS):
        clumps, loose = ((6, 34), (5, 30), (2, 24), (0, 17))[k]
        for curly in (False, True):
            cover = np.zeros((TEXTURE_PX * 2, cell * big), np.uint8)
            shade = np.full_like(cover, 128)
            lean = np.full_like(cover, 128)
            for strand in range(clumps + loose):
                wide = strand < clumps
                line, width, tone = _painted_strand(rng, cell, wide, curly)
                _draw_tapered((cover, shade, lean), line * (big, TEXTURE_PX * 2), width * big, tone)
            size = (cell, TEXTURE_PX)
            columns = slice(k * cell, (k + 1) * cell)
            image[:, columns, 1 if curly else 0] = cv2.resize(
                cover, size, interpolation=cv2.INTER_AREA
            )
            free = 1 - image[:, columns, 0] / 255 if curly else 1.0  # both kinds share these
            for channel, drawn in ((2, shade), (3, lean)):
                small = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)
                image[:, columns, channel] += free * (small - image[:, columns, channel])
    return np.clip(image, 0, 255).astype(np.uint8)


def _painted_strand(
    rng: np.random.Generator, cell: int, wide: bool, curly: bool
) -> tuple[Floats, Floats, float]:
    """Points (20, 2) (x in texels, y 0..1), widths (20,) in texels, brightness 0..1."""
    t = np.linspace(0, 1, 20)
    spread = 0.36 if wide else 0.44
    x0 = rng.uniform(0.5 - spread, 0.5 + spread)
    x1 = 0.5 + (x0 - 0.5) * rng.uniform(0.7, 1.1) + rng.normal(0, 0.06)
    x = x0 + (x1 - x0) * t + rng.normal(0, 0.03) * np.sin(np.pi * t)
    if curly:
        x = x + rng.uniform(0.05, 0.13) * np.sin(
            2 * np.pi * (t * rng.uniform(2.5, 4.5) + rng.random())
        )
    end = rng.uniform(0.6, 1.0) if wide else rng.uniform(0.5, 1.0)
    start = rng.uniform(-0.05, 0.05) if wide else rng.uniform(-0.05, 0.12)
    y = start + (end - start) * t
    width = rng.uniform(4, 9) if wide else rng.uniform(1.4, 3.0)
    widths = width * np.clip((1 - t) / 0.55, 0.0, 1) ** 0.8 * np.clip(0.5 + t / 0.1, 0, 1)
    x = np.clip(x, 0.05, 0.95) * cell
    return np.stack([x, y], 1).astype(np.float32), widths.astype(np.float32), rng.uniform(0, 1)


def _draw_tapered(
    images: tuple[NDArray[np.uint8], ...], line: Floats, widths: Floats, tone: float
) -> None:
    step = np.gradient(line, axis=0)
    across = np.stack([np.ones(len(line)), np.zeros(len(line))], 1) * widths[:, None] / 2
    outline = np.vstack([line - across, (line + across)[::-1]])
    points = np.round(outline * 16).astype(np.int32)
    slope = float((step[:, 0] / np.maximum(step[:, 1], 1e-3)).mean())
    values = (255, int(40 + 200 * tone), int(np.clip(128 + 300 * slope, 20, 235)))
    for image, value in zip(images, values, strict=True):
        cv2.fillPoly(image, [points], value, cv2.LINE_AA, 4)
