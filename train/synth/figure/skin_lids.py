"""Lids on a painted skin: creases above the eye, bags and fine lines below, edges and lash roots.

Both eyes of a person are painted alike, so one is painted and mirrored: what multiplies an encoded
texture (see :mod:`~train.synth.figure.skin_marks`) around the person's left eye.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synth.figure.skin_atlas import MIDDLE, Floats, SkinAtlas, mirrored, stroke
from train.synth.figure.skin_marks import EYE_BOX

MakeRng = Callable[[str], np.random.Generator]

CREASES = {"single": 0.56, "hooded": 0.20, "double": 0.12, "none": 0.12}
"""How the fold of the upper lid looks, with its share of people."""
_X, _TOP, _WIDE, _HIGH = EYE_BOX
_HALF = _WIDE // 2
_CORNER = np.array([MIDDLE + 0.5, _TOP], np.float32)


def lid_edges(atlas: SkinAtlas) -> Floats:
    """(h, w) over :data:`EYE_BOX`: 1 on the edges of the lids.

    They turn through all directions within a millimetre, so that some of each faces any lamp; if
    they were as glossy as cheeks, every eye would have a bright seam.
    """
    edges = _layer([(atlas.eye_top, 255.0, 8), (atlas.eye_bottom, 255.0, 8)], 2.0)
    return _both(np.minimum(1.2 * edges, 1))


def paint_lids(streams: MakeRng, atlas: SkinAtlas, image: Floats, *, tired: bool) -> Floats:
    """Paint both lids of both eyes; ``tired`` deepens what is below them.

    Returns the depth of folds (h, w) over :data:`EYE_BOX`, 0 to 1, for the relief.
    """
    factor = np.ones((_HIGH, _HALF, 3), np.float32)
    fold = _crease(streams("lid crease"), atlas, factor)
    bags = _bags(streams("eye bags"), atlas, factor, tired=tired)
    _edges(streams("lids"), atlas, factor)
    image[_TOP : _TOP + _HIGH, _X : _X + _WIDE] *= _both(factor)
    return _both(np.minimum(fold + 0.6 * bags, 1.0))


def _both(half: Floats) -> Floats:
    """A half mirrored to the person's right eye as well."""
    return np.asarray(np.concatenate([half[:, ::-1], half], 1), np.float32)


def _layer(lines: Sequence[tuple[Floats, float, int]], blur: float) -> Floats:
    """Lines given as (points (ax, y), value, thickness) over the half box, 0 to 1."""
    layer = np.zeros((_HIGH, _HALF), np.uint8)
    for points, value, thickness in lines:
        stroke(layer, mirrored(points, 1) - _CORNER, value, thickness)
    return cv2.GaussianBlur(layer, (0, 0), blur).astype(np.float32) * np.float32(1 / 255)


def _tint(factor: Floats, mask: Floats, color: tuple[float, float, float]) -> None:
    """Multiply by a colour where the mask is 1."""
    factor *= 1 + mask[..., None] * (np.array(color, np.float32) - 1)


def _crease(rng: np.random.Generator, atlas: SkinAtlas, factor: Floats) -> Floats:
    kind = str(rng.choice(list(CREASES), p=list(CREASES.values())))
    u = rng.random(8)
    height, strength = 7.0 + 9.0 * u[0], 0.5 + 0.5 * u[1]
    if kind == "hooded":
        height, strength = 3.0 + 4.0 * u[0], 0.45 + 0.5 * u[1]
    elif kind == "none":
        strength = 0.12 * u[1]
    ends = (0.15 + 0.6 * u[2], 0.65 + 0.45 * u[3])
    line = _above(atlas, height, ends, reach=6 + 12 * u[4])
    deep = _layer([(line[2:], 235, 2)], 1.0) * np.float32(strength)
    # Skin hangs over the fold: shade below the edge, wide where lids are hooded.
    shade = _layer([(line + np.array([0, 2], np.float32), 190, 7 if kind == "hooded" else 4)], 3.0)
    lit = _layer([(_above(atlas, 0.5 * height, ends, reach=2)[4:-4], 150, 3)], 1.8)
    fold = deep
    if kind == "double":
        second = _above(atlas, height + 4 + 4 * u[5], (ends[0], ends[1]), reach=8 + 10 * u[4])
        fold = deep + _layer([(second[6:], 190, 2)], 1.0) * np.float32(0.3 + 0.5 * u[6])
    _tint(factor, shade * np.float32(0.25 + 0.75 * strength), (0.86, 0.80, 0.79))
    _tint(factor, np.minimum(1.6 * fold, 1), (0.56, 0.46, 0.44))
    _tint(factor, lit * np.float32(0.4 + u[7]), (1.05, 1.04, 1.04))
    return np.asarray(np.minimum(fold, 1), np.float32)


def _above(atlas: SkinAtlas, height: float, ends: tuple[float, float], *, reach: float) -> Floats:
    """(40, 2) a line over the upper lid's edge; ``ends`` are shares of the height there."""
    t = np.linspace(0, 1, 40)
    arc = np.interp(t, [0, 0.3, 0.65, 1], [ends[0], 0.95, 1.0, ends[1]])
    outward = np.outer(t**3, [reach, -0.35 * reach])
    return np.asarray(atlas.eye_top + np.stack([0 * arc, height * arc], 1) + outward, np.float32)


def _bags(rng: np.random.Generator, atlas: SkinAtlas, factor: Floats, *, tired: bool) -> Floats:
    """The roll of skin below the lower lid and the line under it; fine lines across."""
    u = rng.random(6)
    depth = 0.10 + 0.35 * u[0] ** 2 + (0.35 if tired else 0.0)
    low = 9.0 + 8.0 * u[1]
    line = _layer([(_below(atlas, low)[: 22 + int(14 * u[2])], 230, 2)], 1.6)
    roll = _layer([(_below(atlas, 0.5 * low), 140, 5)], 2.5)
    fine = []
    for k in range(3):
        first, rough = int(rng.integers(0, 14)), rng.normal(0, 0.6, 40)
        place = _below(atlas, (0.35 + 0.3 * k) * low, rough)
        fine.append((place[first : first + 22], 150.0 + 60 * u[3], 1))
    lines = _layer(fine, 0.8) * np.float32(0.15 + 0.5 * u[4])
    _tint(factor, np.minimum(1.6 * line, 1) * np.float32(depth), (0.66, 0.55, 0.55))
    _tint(factor, lines, (0.78, 0.70, 0.69))
    _tint(factor, roll * np.float32(depth + 0.3 * u[5]), (1.08, 1.06, 1.05))
    return np.asarray(np.minimum(depth * line + 0.5 * lines, 1), np.float32)


def _below(atlas: SkinAtlas, drop: float, rough: NDArray[np.floating] | float = 0.0) -> Floats:
    """(40, 2) a line under the lower lid's edge, lowest in the middle."""
    sag = np.interp(np.linspace(0, 1, 40), [0, 0.2, 0.55, 1], [0.55, 0.95, 1.0, 0.45])
    return np.asarray(atlas.eye_bottom - np.stack([0 * sag, drop * sag + rough], 1), np.float32)


def _edges(rng: np.random.Generator, atlas: SkinAtlas, factor: Floats) -> None:
    """Moist pink edges, and the dark roots of the lashes."""
    lash = rng.uniform(0.35, 0.8)
    lower = rng.uniform(0.08, 0.3)
    pink = rng.uniform(0.5, 1.0)
    wet = [(atlas.eye_bottom[4:] + np.array([0, 2], np.float32), 255.0, 3)]
    _tint(factor, _layer(wet, 0.9) * np.float32(pink), (0.86, 0.64, 0.61))
    red = [(atlas.eye_bottom[:9], 200.0, 4), (atlas.eye_top[:6], 160.0, 3)]  # the inner corner
    _tint(factor, _layer(red, 2.0) * np.float32(pink), (0.98, 0.76, 0.74))
    roots = [
        (atlas.eye_top[2:], 255.0 * lash, 2),
        (atlas.eye_bottom[12:] - np.array([0, 1], np.float32), 255.0 * lower, 1),
    ]
    _tint(factor, np.minimum(1.3 * _layer(roots, 0.8), 1), (0.24, 0.19, 0.18))
