"""Eyelashes as ribbons that face the camera, rooted in the lids' edges and moving with them.

FaceKit's own lashes are sheets, the same for everybody; only their first row, which lies on the
edge of the lid, is used here.  A lash is thinner than a pixel, so a ribbon is drawn as wide as a
pixel needs and as faint as keeps the same cover.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from train.synth.figure.eye_looks import LOWER_LASHES, UPPER_LASHES, Lashes
from train.synth.figure.facekit import PARTS, FaceKit
from train.synth.figure.people import Person

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

JOINTS = 4
"""Points along a lash."""
SHEETS, COLUMNS = 6, 19
LINE_MM = (((0.3, 0.7), 0.0), ((0.3, 0.1), 1.0), ((0.2, -0.6), 0.75), ((0.1, -1.3), 0.0))
"""Rows of the roots' line: (ahead, away from the other lid) of the lid's edge, and its cover."""
LEAST_PX = 0.7
"""Width of a ribbon at the root; thinner ones would flicker between samples."""
LINE_ENDS = np.interp(np.linspace(0, 1, COLUMNS), [0, 0.12, 0.3, 0.95, 1], [0, 0.3, 1, 1, 0.6])


class LashShapes:
    """Vertices (x, y, z, cover) and triangles of both eyes' lashes; pure numpy."""

    def __init__(self, kit: FaceKit) -> None:
        self._upper, self._lower = (
            np.stack([_root_row(kit, side, upper=upper) for side in ("right", "left")])
            for upper in (True, False)
        )
        faces, start = [], 0
        for count in (UPPER_LASHES, LOWER_LASHES):
            for rows, columns in (*[(COLUMNS, len(LINE_MM))] * 2, *[(JOINTS, 2)] * (2 * count)):
                faces.append(_grid(rows, columns) + start)
                start += rows * columns
        self.triangles: Ints = np.vstack(faces).astype(np.int32)
        self.count = start

    def vertices(
        self, person: Person, posed: Floats, toward_camera: NDArray[np.floating], pixel_mm: float
    ) -> Floats:
        """(count, 4) of ``posed`` (26719, 3), head frame; ``pixel_mm`` is a pixel's size there."""
        toward = np.asarray(toward_camera, np.float32)
        parts = []
        for rows, lashes, sign in (
            (self._upper, person.eyes.upper, 1.0),
            (self._lower, person.eyes.lower, -1.0),
        ):
            frame = _Frame(posed[rows], person.eye_centers[:, None], sign)
            parts.append(_line(frame, lashes, toward))
            parts.append(_strands(frame, lashes, toward, pixel_mm))
        return np.concatenate(parts)


class _Frame:
    """Along both eyes' lids: roots (2, 19, 3), and directions ahead, away from the other lid and
    outwards (unit, alike)."""

    def __init__(self, roots: Floats, centers: Floats, sign: float) -> None:
        step = np.empty_like(roots)
        step[:, 1:-1] = roots[:, 2:] - roots[:, :-2]
        step[:, 0], step[:, -1] = roots[:, 1] - roots[:, 0], roots[:, -1] - roots[:, -2]
        outwards = _unit(step)
        ahead = roots - centers
        ahead = _unit(ahead - outwards * np.einsum("...i,...i", ahead, outwards)[..., None])
        away = _cross(ahead, outwards)
        away *= np.sign(-sign * away[..., 1:2])
        self.all = np.stack([roots, ahead, away, outwards])

    def at(self, place: Floats) -> Floats:
        """(4, 2, n, 3): roots and directions at places 0 (inner) to 1 (outer corner)."""
        x = place * (COLUMNS - 1)
        low = np.minimum(x.astype(np.int32), COLUMNS - 2)
        f = (x - low)[:, None]
        return np.asarray(self.all[:, :, low] * (1 - f) + self.all[:, :, low + 1] * f, np.float32)


def _strands(frame: _Frame, lashes: Lashes, toward: Floats, pixel_mm: float) -> Floats:
    """(2 * n * JOINTS * 2, 4) ribbons."""
    root, ahead, away, outwards = frame.at(lashes.place)
    t = np.linspace(0, 1, JOINTS, dtype=np.float32)
    middle = 0.5 * (t[1:] + t[:-1])
    angle = lashes.rise_rad[:, None] + lashes.curl_rad[:, None] * middle
    lean = lashes.lean[:, None] * (0.5 + 0.5 * middle)
    step = (
        np.cos(angle)[..., None] * ahead[:, :, None] + np.sin(angle)[..., None] * away[:, :, None]
    )
    step = _unit(step + lean[..., None] * outwards[:, :, None])
    step *= (lashes.length_mm / np.float32(JOINTS - 1))[:, None, None]
    points = np.concatenate([root[:, :, None], root[:, :, None] + np.cumsum(step, 2)], 2)
    along = np.concatenate([step[:, :, :1], step[:, :, 1:] + step[:, :, :-1], step[:, :, -1:]], 2)
    true_mm = lashes.width_mm * (1.0 - 0.75 * t)
    wide_mm = np.maximum(true_mm, LEAST_PX * pixel_mm * (1.0 - 0.5 * t))
    half = (0.5 * wide_mm).astype(np.float32)[:, None] * _unit(_cross(along, toward))
    out = np.empty((*points.shape[:3], 2, 4), np.float32)
    out[..., 0, :3], out[..., 1, :3] = points - half, points + half
    out[..., 3] = (true_mm / wide_mm)[:, None]
    return out.reshape(-1, 4)


def _line(frame: _Frame, lashes: Lashes, toward: Floats) -> Floats:
    """(2 * 19 * 4, 4): the dark line that roots and the lid's shaded edge make."""
    roots, ahead, away, _ = frame.all
    out = np.empty((2, COLUMNS, len(LINE_MM), 4), np.float32)
    for k, ((forth, off), share) in enumerate(LINE_MM):
        # Nearer to the camera by what lets it be seen on the lid.
        out[:, :, k, :3] = roots + np.float32(forth) * ahead + np.float32(off) * away
        out[:, :, k, :3] += np.float32(0.8) * toward
        out[:, :, k, 3] = lashes.line * share * LINE_ENDS
    return out.reshape(-1, 4)


def _cross(a: Floats, b: Floats) -> Floats:
    """numpy's cross, several times faster on few vectors."""
    out = np.empty(np.broadcast_shapes(a.shape, b.shape), np.float32)
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        out[..., k] = a[..., i] * b[..., j] - a[..., j] * b[..., i]
    return out


def _unit(vectors: Floats) -> Floats:
    length = np.sqrt(np.einsum("...i,...i->...", vectors, vectors))
    return np.asarray(vectors / (length[..., None] + 1e-9), np.float32)


def _root_row(kit: FaceKit, side: str, *, upper: bool) -> Ints:
    """(19,) vertices on the lid's edge, from the inner to the outer corner, of the first sheet."""
    first, end = PARTS[f"lashes_{side}"]
    size = (end - first) // SHEETS
    sheet = np.arange(first, first + size) + (0 if upper else (SHEETS // 2) * size)
    v = kit.uv[sheet, 1]
    row = sheet[v > v.max() - 0.01]
    return np.asarray(row[np.argsort(np.abs(kit.neutral[row, 0]))], np.int32)


def _grid(rows: int, columns: int) -> Ints:
    """Triangles of a row-major grid of vertices."""
    r, c = np.mgrid[0 : rows - 1, 0 : columns - 1]
    a = (r * columns + c).ravel()
    b, d, e = a + 1, a + columns, a + columns + 1
    return np.stack([a, b, d, b, e, d], 1).reshape(-1, 3).astype(np.int32)
