"""What lies on skin: brows, make-up, a beard's roots; painted onto an encoded texture.

An *encoded* texture is float32 (768, 768, 3), 0 to 255, a power of 1/2.2 of linear light.  Each
function paints into it where it stands and draws from its own stream, the same draws always.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synth.figure.skin_atlas import (
    MIDDLE,
    TEXTURE_PX,
    Bytes,
    Floats,
    SkinAtlas,
    curve,
    mirrored,
    stroke,
)

BROW_FINE = 3
MOST_HAIRS = 900

LIPSTICKS = (
    (168, 18, 34), (196, 30, 58), (214, 62, 92), (226, 96, 122), (140, 28, 62),
    (96, 22, 46), (176, 76, 62), (150, 80, 70), (206, 84, 60), (70, 20, 34),
)  # fmt: skip
EYE_SHADOWS = (
    (96, 62, 44), (132, 78, 52), (60, 52, 56), (38, 36, 44), (150, 92, 100), (104, 62, 104),
    (62, 84, 132), (54, 104, 108), (70, 98, 64), (188, 132, 74), (170, 70, 84),
)  # fmt: skip


def encoded(linear: NDArray[np.floating]) -> Floats:
    """0 to 255 of linear light, as the texture is stored."""
    return np.asarray(255.0 * np.clip(linear, 0, 1) ** (1 / 2.2), np.float32)


def blend(image: Floats, mask: Floats, color: NDArray[np.floating], x0: int, y0: int) -> None:
    """Lay ``color``, (3,) or (h, w, 3), over ``image`` at (x0, y0), as much as ``mask`` says."""
    h, w = mask.shape
    part = image[y0 : y0 + h, x0 : x0 + w]
    part += mask[..., None] * (np.asarray(color, np.float32) - part)


def tint(image: Floats, mask: Floats, factor: tuple[float, float, float], x0: int, y0: int) -> None:
    """Multiply ``image`` at (x0, y0) by ``factor`` where ``mask`` (h, w) is 1."""
    h, w = mask.shape
    image[y0 : y0 + h, x0 : x0 + w] *= 1 + mask[..., None] * (np.array(factor, np.float32) - 1)


def paint_brows(
    rng: np.random.Generator, atlas: SkinAtlas, image: Floats, hair: Floats, *, thick: bool
) -> list[tuple[Floats, int, int]]:
    """Two brows of single hairs; ``hair`` (3,) linear.  Returns what each covers: (mask, x, y)."""
    shape = rng.choice(["arched", "straight", "round", "angled"])
    width = rng.uniform(6.0, 9.5)
    fill = rng.uniform(0.45, 1.1)
    shade = rng.uniform(0.75, 1.0)
    drop = rng.uniform(10, 19)
    tail = rng.uniform(0.78, 0.97)
    if thick:
        width, fill, shade = width * 1.55, 0.9 + 0.3 * fill, 0.7 * shade
    bend = {
        "arched": [0, 3, 8, 11, -2],
        "straight": [2, 1, 0, -1, -2],
        "round": [-2, 4, 7, 5, -4],
        "angled": [-4, 1, 7, 9, 0],
    }[str(shape)]
    t = np.linspace(0, 1, 60)
    line = atlas.brow.copy()
    line[:, 1] += np.interp(t, np.linspace(0, 1, 5), bend) - drop
    line[:, 0] = line[0, 0] + (line[:, 0] - line[0, 0]) * tail
    # Brows of light hair are darker than the hair itself.
    warm = np.array([1.0, 0.90, 0.82], np.float32)
    color = encoded(shade * hair * warm * (0.72 - 0.4 * float(hair.mean())))
    x0, y0, w, h = 150, 570, 240, 110
    covers = []
    for side in (-1, 1):
        cover = _brow_hairs(rng, line, width, min(int(600 * fill), MOST_HAIRS), (w, h), x0, y0)
        soft = cv2.GaussianBlur(cover, (0, 0), 2.2)
        mask = np.minimum(1.35 * cover + (0.4 + 0.25 * thick) * soft, 0.97)
        mask = mask if side < 0 else np.ascontiguousarray(mask[:, ::-1])
        left = x0 if side < 0 else TEXTURE_PX - x0 - w
        blend(image, mask, color, left, y0)
        covers.append((mask, left, y0))
    return covers


def _brow_hairs(
    rng: np.random.Generator,
    line: Floats,
    width: float,
    count: int,
    size: tuple[int, int],
    x0: int,
    y0: int,
) -> Floats:
    """Cover (h, w) by one brow's hairs; drawn for the person's right, ``line`` as (ax, y)."""
    t = rng.beta(1.35, 1.2, MOST_HAIRS)
    across = np.clip(rng.normal(0, 0.55, MOST_HAIRS), -1.15, 1.15)
    turn = rng.normal(0, 0.16, MOST_HAIRS)
    size_of = rng.uniform(0.7, 1.25, MOST_HAIRS)
    curl = rng.normal(-0.15, 0.18, MOST_HAIRS)
    t, across, turn, size_of, curl = (a[:count] for a in (t, across, turn, size_of, curl))
    at = np.linspace(0, 1, len(line))
    half = width * np.interp(t, [0, 0.08, 0.3, 0.65, 1], [0.6, 0.95, 1.05, 0.8, 0.3])
    slope = np.gradient(line[:, 1]) / np.gradient(line[:, 0])
    tangent = np.arctan(np.interp(t, at, slope))
    # Hairs rise at the nose's end, lie along the brow further out, and the rows above and below
    # lean towards its middle.
    rise = np.interp(t, [0, 0.12, 0.35, 0.7, 1], [1.35, 1.0, 0.5, 0.22, 0.0])
    lean = np.interp(t, [0, 0.25, 1], [0.05, 0.30, 0.20])
    angle = tangent + rise - lean * across + turn
    length = 14 * size_of * np.interp(t, [0, 0.2, 0.7, 1], [0.75, 1.0, 1.0, 0.6])
    root = np.stack([np.interp(t, at, line[:, 0]), np.interp(t, at, line[:, 1]) + across * half], 1)
    root -= 0.35 * length[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    points = [root]
    for k in range(3):
        bent = angle + curl * k
        points.append(points[-1] + length[:, None] / 3 * np.stack([np.cos(bent), np.sin(bent)], 1))
    hairs = np.stack(points, 1)
    hairs[..., 0] = MIDDLE - hairs[..., 0] - x0
    hairs[..., 1] -= y0
    fine = np.zeros((size[1] * BROW_FINE, size[0] * BROW_FINE), np.uint8)
    fixed = np.round((hairs + 0.5) * BROW_FINE * 16).astype(np.int32)
    for k in range(6):  # in layers of unlike darkness; tips are thinner than roots
        cv2.polylines(fine, list(fixed[k::6, 2:]), False, 90 + 12 * k, 1, cv2.LINE_AA, 4)
        cv2.polylines(fine, list(fixed[k::6, :3]), False, 165 + 18 * k, 1, cv2.LINE_AA, 4)
    cover = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cover, np.float32) * np.float32(1 / 255)


EYE_BOX = (210, 500, 348, 130)
"""(x, y, width, height) of the texels around both eyes."""


def eye_layer(lines: Sequence[tuple[Floats, float, int]], blur: float) -> Floats:
    """Lines given as (points (ax, y), value, thickness), on both sides, over :data:`EYE_BOX`."""
    x0, y0, w, h = EYE_BOX
    layer = np.zeros((h, w), np.uint8)
    for points, value, thickness in lines:
        for side in (-1, 1):
            stroke(layer, mirrored(points, side) - np.array([x0, y0], np.float32), value, thickness)
    return cv2.GaussianBlur(layer, (0, 0), blur).astype(np.float32) * np.float32(1 / 255)


def paint_eye_make_up(rng: np.random.Generator, atlas: SkinAtlas, image: Floats) -> None:
    """Eye shadow from the lashes to above the crease, and often a drawn line."""
    color = np.array(EYE_SHADOWS[int(rng.integers(len(EYE_SHADOWS)))]) * rng.uniform(0.8, 1.15, 3)
    strength = rng.uniform(0.6, 0.92)
    height = rng.uniform(14, 30)
    below = rng.uniform(0, 0.5)
    liner = rng.uniform(0.5, 1.0) * (rng.random() < 0.7)
    thickness = int(rng.integers(2, 5))
    wing = rng.uniform(0, 14)
    lines: list[tuple[Floats, float, int]] = []
    for k, value in ((0.15, 255), (0.45, 235), (0.75, 170), (1.0, 90)):
        ends = slice(1 + int(9 * k), 40 - int(5 * k))  # narrower towards the brow
        place = atlas.eye_top[ends] + np.array([3, height * k], np.float32)
        lines.append((place, value, max(4, int(height / 2.2))))
    under = atlas.eye_bottom[14:] - np.array([0, 3], np.float32)
    lines = [(under, 255 * below, 4), *reversed(lines)]
    shadow = np.minimum(eye_layer(lines, 4.0) * np.float32(strength * 1.1), 0.95)
    blend(image, shadow, np.clip(color, 0, 235), *EYE_BOX[:2])
    if liner:
        end = atlas.eye_top[-1] + np.array([[4, 1], [4 + wing, 1 + 0.7 * wing]], np.float32)
        drawn = [
            (
                np.vstack([atlas.eye_top[3:] + np.array([0, 1], np.float32), end]),
                255.0 * liner,
                thickness,
            )
        ]
        blend(
            image, np.minimum(1.2 * eye_layer(drawn, 0.7), 1), np.array([22, 17, 18]), *EYE_BOX[:2]
        )


LIP_BOX = (270, 245, 228, 170)


def lipstick(rng: np.random.Generator) -> tuple[Floats, float, float]:
    """Its colour (3,) encoded, cover and gloss (0 to 1)."""
    color = np.array(LIPSTICKS[int(rng.integers(len(LIPSTICKS)))]) * rng.uniform(0.88, 1.12, 3)
    cover = rng.uniform(0.78, 0.96)
    return np.asarray(np.clip(color, 5, 240), np.float32), float(cover), float(rng.uniform(0.25, 1))


def paint_roots(
    image: Floats, area: Floats, roots: Bytes, hair: Floats, *, shade: float, cover: float
) -> None:
    """Beard roots where ``area`` (768, 768) is: a cool shade within the skin, and short hairs.

    ``roots`` (768, 768) is a window of the atlas's; ``shade`` and ``cover`` are 0 to 1.
    """
    rows = slice(60, 540)
    part = np.ascontiguousarray(area[rows])
    tint(image, part * np.float32(shade), (0.60, 0.64, 0.68), 0, rows.start)
    mask = part * roots[rows].astype(np.float32) * np.float32(cover * 1.5 / 255)
    blend(image, np.minimum(mask, 0.92), encoded(0.8 * hair), 0, rows.start)


def wrinkle_lines(rng: np.random.Generator) -> list[tuple[Floats, float, int]]:
    """Lines of an aged face as (points (n, 2) in (signed ax, y), depth 0 to 1, thickness)."""
    lines: list[tuple[Floats, float, int]] = []

    def add(points: list[tuple[float, float]], depth: float, thick: int, wobble: float) -> None:
        p = np.array(points) + rng.normal(0, wobble, (len(points), 2))
        lines.append((curve(p, 28), depth, thick))

    y = rng.uniform(652, 660)
    for _ in range(int(rng.integers(3, 6))):  # forehead, broken here and there
        depth, reach = rng.uniform(0.45, 1.0), rng.uniform(110, 165)
        cut = rng.uniform(-0.5, 0.5) * reach
        dip = rng.uniform(-4, 7)
        for a, b in ((-reach, cut), (cut + rng.uniform(-15, 25), reach)):
            xs = np.linspace(a, b, 6)
            add([(x, y + dip * np.cos(x / 60)) for x in xs], depth, 2, 1.4)
        y += rng.uniform(14, 24)
    for side in (-1, 1):
        fold = rng.uniform(0.5, 1.0)
        add(
            [(side * 64, 436), (side * 84, 408), (side * 102, 378), (side * 114, 352)], fold, 2, 1.5
        )
        add([(side * 98, 322), (side * 108, 300), (side * 110, 278)], rng.uniform(0.1, 0.6), 2, 1.5)
        for k in range(4):  # crow's feet
            up = (k - 1.4) * 12 + rng.normal(0, 2)
            far = rng.uniform(24, 46)
            start = (side * (152 + abs(k - 1.5) * 3), 550 + 0.35 * up)
            middle = (side * (152 + 0.5 * far), 550 + 0.8 * up)
            add(
                [start, middle, (side * (152 + far), 548 + 1.5 * up)], rng.uniform(0.4, 0.9), 1, 0.8
            )
        for k in range(3):  # under the eye
            low = 536 - 8 * k + rng.normal(0, 1)
            arc = [(74 + 4 * k, low + 3), (96, low - 5), (124, low - 5), (146, low + 4)]
            add([(side * a, b) for a, b in arc], rng.uniform(0.25, 0.6), 1, 1.0)
        frown = rng.uniform(0.2, 0.9)
        add([(side * 17, 590), (side * 14, 610), (side * 18, 634)], frown, 2, 1.2)
        for k in range(3):  # above the lip
            x = side * (14 + 17 * k)
            add([(x, 394), (x * 1.02, 404)], rng.uniform(0.1, 0.4), 1, 0.8)
    return lines
