"""Painted places that stand behind people: rooms, offices, cars, streets, nature and clutter.

Every painter gives (640, 640, 3) float32 linear light of no particular exposure.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from train.synth.places import textures as tex
from train.synth.places.textures import Image, Random, color, field, flat, mixed

SIDE = 640


def paste(image: Image, texture: Image, corners: ArrayLike, shade: float | Image = 1.0) -> None:
    """Warp a texture into four corners (4, 2) px from its upper left one clockwise, in place."""
    h, w = texture.shape[:2]
    to = np.asarray(corners, np.float32)
    low = np.clip(np.floor(to.min(0)).astype(int), 0, SIDE)
    high = np.clip(np.ceil(to.max(0)).astype(int) + 1, 0, SIDE)
    if (high - low < 2).any():
        return
    source = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32) - 0.5
    warp = cv2.getPerspectiveTransform(source, (to - low).astype(np.float32))
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    part = cv2.warpPerspective(
        texture, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    cover = np.zeros(size[::-1], np.float32)
    points = np.round((to - low) * 8).astype(np.int32)
    cv2.fillConvexPoly(cover, points, 1.0, cv2.LINE_AA, 3)
    area = image[low[1] : high[1], low[0] : high[0]]
    area[:] = mixed(area, part * np.float32(shade), cover)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> NDArray[np.float32]:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)


def shadow(image: Image, corners: ArrayLike, strength: float, blur: float) -> None:
    """Darken softly under and around a shape (N, 2) px, in place."""
    small = np.zeros((SIDE // 4, SIDE // 4), np.float32)
    cv2.fillPoly(small, [np.round(np.asarray(corners) / 4).astype(np.int32)], 1.0)
    blurred = cv2.GaussianBlur(small, (0, 0), max(0.5, blur / 4))
    image *= 1 - strength * cv2.resize(blurred, (SIDE, SIDE))[..., None]


def falloff(rng: Random, spread: float = 1.0) -> Image:
    """Uneven light (H, W, 1): a lamp or window somewhere, and a slope."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE
    cx, cy = rng.uniform(-0.3, 1.3), rng.uniform(-0.4, 0.9)
    r2 = (x - cx) ** 2 + (y - cy) ** 2
    light = 0.25 + 1 / (1 + spread * rng.uniform(1, 9) * r2)
    return np.asarray(light * (1 + rng.uniform(-0.3, 0.3) * (y - 0.5)), np.float32)[..., None]


def ellipse(
    image: Image, center: ArrayLike, axes: ArrayLike, angle: float, tint: ArrayLike, part: int = 360
) -> None:
    at, size = np.asarray(center) * 8, np.maximum(np.asarray(axes) * 8, 4)
    c = np.asarray(tint, np.float64).tolist()
    place, radii = (int(at[0]), int(at[1])), (int(size[0]), int(size[1]))
    cv2.ellipse(image, place, radii, angle, 0, part, c, -1, cv2.LINE_AA, 3)


def plain(rng: Random) -> Image:
    """A wall, or two that meet in a corner, in uneven light."""
    image = tex.plaster(rng, SIDE, SIDE)
    if rng.random() < 0.3:
        x = rng.uniform(0.1, 0.9) * SIDE
        other = tex.plaster(rng, SIDE, SIDE) if rng.random() < 0.5 else image * 1.0
        bent = x + rng.uniform(-15, 15)
        right = SIDE + 2.0
        corners = [[x, -2.0], [right, -2.0], [right, right], [bent, right]]
        paste(image, other, corners, rng.uniform(0.4, 0.85))
    if rng.random() < 0.3:  # the sun through a window
        light = np.zeros((SIDE, SIDE), np.float32)
        for k in range(int(rng.integers(1, 4))):
            x, y = rng.uniform(0, 0.5) * SIDE + 150 * k, rng.uniform(0, 0.6) * SIDE
            lean = rng.uniform(-120, 120)
            points = [[x, y], [x + 120, y + 20], [x + 120 + lean, y + 300], [x + lean, y + 280]]
            cv2.fillConvexPoly(light, np.array(points, np.int32), 1.0, cv2.LINE_AA)
        soft = cv2.GaussianBlur(light, (0, 0), rng.uniform(1, 14))
        image = image * (1 + rng.uniform(0.5, 2) * soft[..., None])
    return np.asarray(image * falloff(rng), np.float32)


def sky(rng: Random) -> Image:
    """Blue, grey or evening sky with clouds."""
    y = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None, None]
    blue = np.array([[0.18, 0.35, 0.75], [0.6, 0.62, 0.65], [0.5, 0.45, 0.55]], "f4")
    low = np.array([[0.6, 0.75, 0.95], [0.9, 0.9, 0.9], [1.1, 0.6, 0.3]], "f4")
    k = int(rng.choice(3, p=[0.5, 0.35, 0.15]))
    image = np.repeat(blue[k] * (1 - y) + low[k] * y, SIDE, 1)
    clouds = tex.warped(rng, field(rng, SIDE, SIDE, cells=2, octaves=6, aspect=2.5), 20)
    share = np.clip(clouds * 0.6 + rng.uniform(-0.6, 0.5), 0, 1)
    white = (0.95 + 0.12 * field(rng, SIDE, SIDE, cells=5))[..., None] * np.ones(3, "f4")
    return mixed(image.astype(np.float32), white.astype(np.float32), share)


def tree(rng: Random, image: Image, x: float, ground: float, size: float) -> None:
    """A trunk with branches and a crown of leaves, in place."""
    bark = color(rng, 0.02, 0.12, 0.1).tolist()
    ends = [(x, ground, -np.pi / 2 + rng.normal(0, 0.06), size * 0.4, size * 0.05)]
    for _ in range(28):
        px, py, angle, length, thick = ends.pop(0)
        qx, qy = px + length * np.cos(angle), py + length * np.sin(angle)
        points = (int(px), int(py)), (int(qx), int(qy))
        cv2.line(image, *points, bark, max(1, round(thick)), cv2.LINE_AA)
        for turn in rng.normal(0, 0.5, 2):
            ends.append((qx, qy, angle + turn, length * rng.uniform(0.55, 0.8), thick * 0.6))
    crown = tex.leaves(rng, SIDE // 2, SIDE // 2)
    crown = np.tile(np.concatenate([crown, crown[::-1]]), (1, 2, 1))
    y, xx = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    far = np.hypot((xx - x) / size, (y - ground + size * 0.95) / (0.75 * size))
    rag = field(rng, SIDE, SIDE, cells=12, octaves=5, rough=0.75)
    share = np.clip((0.6 - far + 0.13 * rag) * 14, 0, 1)
    image[:] = mixed(image, crown, share)


def facade(rng: Random, h: int = 420, w: int = 360) -> Image:
    """A front with windows in rows, some lit, some open to the sky's reflection."""
    image = tex.bricks(rng, h, w) if rng.random() < 0.4 else tex.plaster(rng, h, w)
    rows, columns = int(rng.integers(2, 9)), int(rng.integers(2, 8))
    fill = rng.uniform(0.4, 0.85, 2)
    frame = color(rng, 0.1, 0.8, 0.05)
    for i in range(rows):
        for j in range(columns):
            x0, y0 = (j + 0.5 - fill[0] / 2) * w / columns, (i + 0.5 - fill[1] / 2) * h / rows
            x1, y1 = x0 + fill[0] * w / columns, y0 + fill[1] * h / rows
            a, b = (round(x0), round(y0)), (round(x1), round(y1))
            cv2.rectangle(image, a, b, frame.tolist(), -1)
            glass = rng.uniform(0.02, 0.5) * np.array([0.8, 0.95, 1.15])
            cv2.rectangle(image, (a[0] + 2, a[1] + 2), (b[0] - 2, b[1] - 2), glass.tolist(), -1)
            if rng.random() < 0.5:
                mid = (a[0] + b[0]) // 2
                cv2.line(image, (mid, a[1]), (mid, b[1]), frame.tolist(), 2)
            cv2.line(image, (a[0], b[1] + 1), (b[0], b[1] + 1), (frame * 0.4).tolist(), 2)
    return image


def vehicle(rng: Random, image: Image, x: float, y: float, size: float) -> None:
    """A car from its side: body, windows, wheels, gloss and shadow, in place."""
    shadow(image, rectangle(x - size, y - 0.05 * size, x + size, y + 0.1 * size), 0.8, size / 12)
    body = color(rng, 0.03, 0.7)
    hull = np.array([[-1, 0], [-1, -0.3], [-0.6, -0.38], [-0.35, -0.68], [0.4, -0.68]])
    bow = np.array([[0.7, -0.36], [1, -0.28], [1, 0]])
    hull = np.vstack([hull, bow]) * size + (x, y)
    cv2.fillPoly(image, [hull.astype(np.int32)], body.tolist(), cv2.LINE_AA)
    roof = np.array([[-0.5, -0.39], [-0.3, -0.62], [0.36, -0.62], [0.6, -0.38]]) * size + (x, y)
    cv2.fillPoly(image, [roof.astype(np.int32)], (0.04, 0.05, 0.06), cv2.LINE_AA)
    shine = (
        (int(x - 0.95 * size), int(y - 0.28 * size)),
        (int(x + 0.95 * size), int(y - 0.3 * size)),
    )
    cv2.line(image, *shine, np.minimum(body * 2 + 0.1, 1).tolist(), max(1, int(size / 30)))
    for wheel in (-0.6, 0.62):
        ellipse(image, (x + wheel * size, y), (0.19 * size,) * 2, 0, (0.015,) * 3)
        ellipse(image, (x + wheel * size, y), (0.1 * size,) * 2, 0, (0.3,) * 3)
    ellipse(image, (x - 0.94 * size, y - 0.22 * size), (0.05 * size, 0.05 * size), 0, (1, 0.9, 0.7))


def street(rng: Random) -> Image:
    """Fronts along a road to a vanishing point, trees, cars, posts and signs."""
    image = sky(rng)
    vx, vy = rng.uniform(0.2, 0.8) * SIDE, rng.uniform(0.35, 0.65) * SIDE
    road = tex.plaster(rng, 320, 320)
    road = road.mean(-1, keepdims=True) / road.mean() * color(rng, 0.06, 0.25, 0.05)
    edge = int(rng.integers(30, 90))
    for part in (np.s_[:, :edge], np.s_[:, -edge:]):  # pavements, kerbs and lane marks
        road[part] = tex.bricks(rng, 320, edge)
    road[:, [edge, edge + 1, -edge, -edge - 1]] = 0.6
    lane = int(rng.integers(edge + 20, 300 - edge))
    road[np.arange(320) // 14 % 2 == 0, lane : lane + 5] = 0.7
    paste(image, flat(8, 8, road[0, 160]), rectangle(-2, vy, SIDE + 2, SIDE + 2))
    reach = SIDE * rng.uniform(1.0, 2.5)
    near, far = SIDE + 2, 12
    corners = [(vx - far, vy + 4), (vx + far, vy + 4), (vx + reach, near), (vx - reach, near)]
    paste(image, road.astype(np.float32), corners)
    for side in (-1, 1):
        beside = vx + side * SIDE * rng.uniform(0.5, 1.1)
        top, low = rng.uniform(0.6, 1.6) * SIDE, rng.uniform(0.15, 0.35) * SIDE
        steps = np.array([1.3, *np.sort(rng.uniform(0.06, 1, 4))[::-1]])
        for far_in, near_in in zip(steps[1:], steps[:-1], strict=True):
            tall = top * rng.uniform(0.6, 1.1)
            c = [(vx + (beside - vx) * s, s) for s in (far_in, near_in)]
            corners = [(c[0][0], vy - tall * c[0][1]), (c[1][0], vy - tall * c[1][1])]
            corners += [(c[1][0], vy + low * c[1][1]), (c[0][0], vy + low * c[0][1])]
            paste(image, facade(rng), corners, 0.45 if side > 0 else 0.9)
    for _ in range(int(rng.integers(0, 4))):
        tree(rng, image, rng.uniform(0, 1) * SIDE, vy + rng.uniform(10, 120), rng.uniform(60, 280))
    for _ in range(int(rng.integers(0, 4))):
        vehicle(
            rng, image, rng.uniform(0, 1) * SIDE, vy + rng.uniform(20, 170), rng.uniform(40, 150)
        )
    for _ in range(int(rng.integers(0, 4))):
        x, y = int(rng.uniform(0, SIDE)), int(rng.uniform(0.1, 0.5) * SIDE)
        cv2.line(image, (x, y), (x, SIDE - 100), (0.05, 0.05, 0.05), int(rng.integers(2, 9)))
        board = tex.text(rng, 60, 100) if rng.random() < 0.5 else flat(60, 100, color(rng))
        if rng.random() < 0.4:
            ellipse(image, (x, y), (rng.uniform(12, 40),) * 2, 0, color(rng, 0.1, 0.6, 0.9))
        paste(image, board, rectangle(x - 40, y - 20, x + rng.uniform(0, 60), y + 30))
    return image


def nature(rng: Random) -> Image:
    """Hills, trees, bushes and grass under the sky, or leaves all over."""
    if rng.random() < 0.3:
        return np.asarray(tex.leaves(rng, SIDE, SIDE) * falloff(rng), np.float32)
    image = sky(rng)
    level = rng.uniform(0.3, 0.65) * SIDE
    for k in range(3):
        knots = rng.normal(0, 22, 6)
        line = level + 40 * k + np.interp(np.arange(SIDE), np.linspace(0, SIDE, 6), knots)
        tufts = rng.normal(0, rng.uniform(1, 6), 161)
        line = line + np.interp(np.arange(SIDE), np.arange(161) * 4, tufts)
        y = np.arange(SIDE)[:, None]
        hill = (tex.leaves if rng.random() < 0.7 else tex.grass)(rng, SIDE // 2, SIDE // 2)
        hill = np.tile(np.concatenate([hill, hill[::-1]]), (1, 2, 1))
        haze = np.float32(0.55 - 0.25 * k)
        air = np.array([0.45, 0.55, 0.65], np.float32)
        hill = np.asarray(hill * (1 - haze) + haze * air, np.float32)
        image = mixed(image, hill, np.clip((y - line[None]) / 3, 0, 1))
    paste(image, tex.grass(rng, SIDE, SIDE), rectangle(-2, level + 130, SIDE + 2, SIDE + 2))
    for _ in range(int(rng.integers(0, 6))):
        size = rng.uniform(80, 420)
        tree(rng, image, rng.uniform(0, 1) * SIDE, level + 60 + size * 0.25, size)
    return np.asarray(image * (0.5 + 0.5 * falloff(rng)), np.float32)


def textured(rng: Random) -> Image:
    """One or two textures, seen askew and unevenly lit."""
    image = np.zeros((SIDE, SIDE, 3), np.float32)
    for k in range(int(rng.integers(1, 4))):
        side = int(rng.choice([320, 480, 640]))
        pattern = tex.TEXTURES[int(rng.integers(len(tex.TEXTURES)))](rng, side, side)
        reach = rectangle(-0.15, -0.15, 1.15, 1.15) if k == 0 else rectangle(0, 0, 0.5, 0.6)
        skew = reach + rng.normal(0, 0.1 if k else 0.04, (4, 2))
        corners = (skew + (0 if k == 0 else rng.uniform(-0.1, 0.6, 2))) * SIDE
        if k:
            shadow(image, corners + (5, 9), 0.5, 9)
        paste(image, pattern, corners)
    return np.asarray(image * falloff(rng, 0.6), np.float32)


def bokeh(rng: Random) -> Image:
    """Defocused lights of the night, or of leaves against the sun."""
    dark = color(rng, 0.003, 0.12)
    image = dark * np.exp(0.7 * field(rng, SIDE, SIDE, cells=2, octaves=3))[..., None]
    base = rng.uniform(6, 45)
    hues = [color(rng, 0.3, 0.9, s) for s in (0.1, 0.5, 0.7, 0.9)]
    for _ in range(int(rng.integers(15, 130))):
        at, size = rng.uniform(0, SIDE, 2), base * rng.uniform(0.6, 1.3)
        spot = np.zeros_like(image[:, :, 0])
        place, radius = (int(at[0] * 8), int(at[1] * 8)), int(size * 8)
        cv2.circle(spot, place, radius, 1.0, -1, cv2.LINE_AA, 3)
        cv2.circle(spot, place, radius - 6, 0.8, -1, cv2.LINE_AA, 3)
        x0, y0 = np.clip(at - size - 3, 0, SIDE).astype(int)
        x1, y1 = np.clip(at + size + 3, 0, SIDE).astype(int)
        tint = hues[int(rng.integers(4))] * rng.gamma(1.2, 0.5)
        image[y0:y1, x0:x1] += spot[y0:y1, x0:x1, None] * tint
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.6, 3))), np.float32)


PLACES: dict[str, Callable[[Random], Image]] = {
    "plain": plain,
    "street": street,
    "nature": nature,
    "textures": textured,
    "bokeh": bokeh,
}
