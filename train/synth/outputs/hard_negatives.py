"""Hard negatives for detectors: things with something of a face that are none; all painted here.

Fruit, stones, wheels, leaves, fur with eyes, boxes with knobs, and faces whose parts are in the
wrong places.  Each is premultiplied linear light (side, side, 4), as a cut-out is.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Light = NDArray[np.float32]
Rng = np.random.Generator

SIDE_PX = 144


def hard_negative(rng: Rng, side: int = SIDE_PX) -> Light:
    """Some thing, (side, side, 4), as bright as a face may be."""
    names = list(PAINTERS)
    chance = np.array([WEIGHTS[n] for n in names])
    thing = PAINTERS[names[int(rng.choice(len(names), p=chance / chance.sum()))]](rng, side)
    if rng.random() < 0.5:
        thing = np.ascontiguousarray(thing[:, ::-1])
    thing[..., :3] *= np.float32(np.exp(rng.normal(0, 0.5)))
    return thing


def scrambled(rng: Rng, rgba: Light, box: NDArray[np.float64]) -> Light:
    """A cut-out (H, W, 4) with its face (box x0, y0, x1, y1) taken apart or upside down.

    What is left has skin, hair and edges of eyes and mouths, but no face.
    """
    out = rgba.copy()
    x0, y0 = np.maximum(np.floor(box[:2]), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(box[2:]), rgba.shape[1::-1]).astype(int)
    face = rgba[y0:y1, x0:x1]
    if min(face.shape[:2]) < 12:
        return out
    kind = rng.random()
    if kind < 0.25:
        out[y0:y1, x0:x1] = face[::-1]
    elif kind < 0.75:
        rows, columns = int(rng.integers(2, 4)), int(rng.integers(2, 4))
        h, w = face.shape[0] // rows, face.shape[1] // columns
        tiles = [(r, c) for r in range(rows) for c in range(columns)]
        order = rng.permutation(len(tiles))
        # At least the upper left part moves, or nothing might have changed.
        if order[0] == 0:
            order = np.roll(order, 1)
        for (r, c), k in zip(tiles, order, strict=True):
            a, b = tiles[int(k)]
            tile = face[a * h : (a + 1) * h, b * w : (b + 1) * w]
            if rng.random() < 0.5:
                tile = tile[::-1]
            out[y0 + r * h : y0 + (r + 1) * h, x0 + c * w : x0 + (c + 1) * w] = tile
    else:  # one part of the face, as large as the whole
        h, w = face.shape[0] // 3, face.shape[1] // 3
        top, left = int(rng.integers(0, 2 * h)), int(rng.integers(0, 2 * w))
        part = face[top : top + h, left : left + w]
        size = (face.shape[1], face.shape[0])
        out[y0:y1, x0:x1] = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
    return out


def noise(rng: Rng, side: int, finest: int = 3, roughness: float = 0.6) -> Light:
    """(side, side) fractal noise of mean 0 and standard deviation 1."""
    out = np.zeros((side, side), np.float32)
    size, gain = 3, 1.0
    while size < side / finest:
        coarse = rng.standard_normal((size, size)).astype(np.float32)
        out += gain * cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        size, gain = size * 2, gain * roughness
    return np.asarray((out - out.mean()) / max(float(out.std()), 1e-6), np.float32)


def _color(rng: Rng) -> Light:
    """A colour (3,) in linear light; two fifths are those of skin."""
    if rng.random() < 0.4:
        skin = np.array([0.55, 0.33, 0.23]) * np.exp(rng.normal(-0.4, 0.6))
        return np.asarray(skin * np.exp(rng.normal(0, 0.12, 3)), np.float32)
    hue, chroma, value = rng.uniform(0, 180), rng.uniform(0, 255), rng.uniform(60, 255)
    pixel = np.array([[[hue, chroma, value]]]).astype(np.uint8)
    rgb = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]
    return np.asarray((rgb / 255.0) ** 2.2, np.float32)


def _grid(side: int) -> tuple[Light, Light]:
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _finish(light: Light, cover: Light) -> Light:
    """Premultiplied, with an edge of a pixel's softness."""
    cover = np.asarray(cv2.GaussianBlur(cover.astype(np.float32), (0, 0), 0.8), np.float32)
    return np.dstack([np.maximum(light, 0) * cover[..., None], cover]).astype(np.float32)


def _shade(rng: Rng, height: Light, strength: float) -> Light:
    """(side, side) light on a surface of this height, from some side."""
    gy, gx = np.gradient(height)
    turn = rng.uniform(0, 2 * np.pi)
    slope = (gx * np.cos(turn) + gy * np.sin(turn)) * strength * height.shape[0] / 2
    return np.asarray(np.clip(0.65 + 0.5 * slope, 0.08, 1.6), np.float32)


def _ball(rng: Rng, side: int) -> Light:
    """A fruit or a stone: an uneven ellipsoid with spots, stains and a highlight."""
    x, y = _grid(side)
    wide, uneven = rng.uniform(0.6, 0.95), rng.choice([0.02, 0.08, 0.2])
    radius = np.hypot(x / wide, y / rng.uniform(0.75, 0.95)) + uneven * noise(rng, side, 24)
    cover = radius < 0.95
    height = np.sqrt(np.clip(1 - (radius / 0.95) ** 2, 0, 1))
    height = height + rng.choice([0.0, 0.02, 0.07]) * noise(rng, side, int(rng.integers(3, 12)))
    albedo = np.exp(rng.uniform(0.05, 0.5) * noise(rng, side))[..., None] * _color(rng)
    for _ in range(int(rng.choice([0, 1, 2, 3, 6, 20, 60]))):
        px, py = rng.normal(0, 0.4, 2)
        size, depth = rng.uniform(0.02, 0.25), rng.uniform(0.2, 1.0)
        spot = np.exp(-((x - px) ** 2 + ((y - py) * rng.uniform(0.6, 1.6)) ** 2) / size**2 * 2)
        tone = _color(rng) if rng.random() < 0.3 else np.float32(0.05)
        albedo = albedo * (1 - depth * spot[..., None]) + depth * spot[..., None] * tone
    light = albedo * _shade(rng, height, rng.uniform(0.3, 1.0))[..., None]
    if rng.random() < 0.5:
        px, py = rng.uniform(-0.5, 0.5, 2)
        light += np.exp(-((x - px) ** 2 + (y - py) ** 2) / 0.02)[..., None] * rng.uniform(0.1, 0.8)
    return _finish(light, cover)


def _wheel(rng: Rng, side: int) -> Light:
    """Rings about a centre, with spokes or holes: wheels, loudspeakers, plates, clocks."""
    x, y = _grid(side)
    radius = np.hypot(x / rng.uniform(0.55, 0.95), y / 0.95)
    angle = np.arctan2(y, x)
    light = np.zeros((side, side, 3), np.float32)
    light[:] = _color(rng)
    for edge in np.sort(rng.uniform(0.1, 0.95, int(rng.integers(1, 6))))[::-1]:
        light[radius < edge] = _color(rng) * rng.choice([0.05, 0.3, 1.0])
    spokes = int(rng.choice([0, 0, 3, 5, 8, 12, 24]))
    if spokes:
        phase = rng.uniform(0, 7)
        bars = (np.cos(spokes * angle + phase) > rng.uniform(0, 0.9)) & (radius > 0.15)
        light[bars & (radius < rng.uniform(0.5, 0.9))] = _color(rng)
    light *= _shade(rng, np.sqrt(np.clip(1 - radius**2, 0, 1)), 0.4)[..., None]
    return _finish(light, radius < 0.95)


def _leaves(rng: Rng, side: int) -> Light:
    """A heap of leaves, petals or feathers."""
    light = np.zeros((side, side, 3), np.float32)
    cover = np.zeros((side, side), np.float32)
    base = _color(rng)
    for _ in range(int(rng.integers(5, 40))):
        tone = base * np.exp(rng.normal(0, 0.5)) * np.exp(rng.normal(0, 0.15, 3))
        at = tuple(int(v) for v in rng.normal(side / 2, side / 5, 2))
        size = rng.uniform(0.05, 0.3) * side
        axes = (max(int(size), 2), max(int(size * rng.uniform(0.2, 0.7)), 1))
        turn = float(rng.uniform(0, 360))
        cv2.ellipse(light, at, axes, turn, 0, 360, [float(v) for v in tone], -1, cv2.LINE_AA)
        cv2.ellipse(cover, at, axes, turn, 0, 360, 1.0, -1, cv2.LINE_AA)
        vein = np.array([np.cos(np.radians(turn)), np.sin(np.radians(turn))]) * axes[0]
        a, b = (np.array(at) - vein).astype(int), (np.array(at) + vein).astype(int)
        dark = [float(v * rng.uniform(0.4, 1.5)) for v in tone]
        cv2.line(light, a.tolist(), b.tolist(), dark, 1, cv2.LINE_AA)
    light *= np.exp(0.3 * noise(rng, side))[..., None]
    return _finish(light, cover)


def _fur(rng: Rng, side: int) -> Light:
    """An animal's head or flank: fur, perhaps ears, a snout and dark round eyes without whites."""
    x, y = _grid(side)
    strands = rng.standard_normal((side, side)).astype(np.float32)
    kernel = np.zeros((15, 15), np.float32)
    turn = rng.uniform(0, np.pi)
    reach = 7 * np.array([np.cos(turn), np.sin(turn)])
    cv2.line(kernel, (7 - reach).astype(int).tolist(), (7 + reach).astype(int).tolist(), 1.0)
    strands = np.asarray(cv2.filter2D(strands, -1, kernel / kernel.sum()), np.float32)
    strands = strands / strands.std()
    radius = np.hypot(x / rng.uniform(0.6, 0.9), y / rng.uniform(0.7, 0.9))
    cover = radius + 0.05 * noise(rng, side, 6) < 0.9
    tone = _color(rng) * rng.uniform(0.2, 1.5)
    light = tone * np.exp(rng.uniform(0.15, 0.5) * strands + 0.3 * noise(rng, side))[..., None]
    if rng.random() < 0.5:  # patches of another colour
        light = np.where((noise(rng, side, 24) > 0.5)[..., None], light * _color(rng) * 2, light)
    if rng.random() < 0.6:
        apart, up = rng.uniform(0.2, 0.55), rng.uniform(-0.4, 0.1)
        size = rng.uniform(0.05, 0.13)
        for sign in (-1, 1):
            far = np.hypot(x - sign * apart, y - up)
            light[far < size] = rng.choice([0.005, 0.02, 0.1]) * _color(rng)
            light[np.hypot(x - sign * apart + 0.03, y - up + 0.03) < 0.02] = 0.8
            ear = (np.abs(x - sign * rng.uniform(0.5, 0.7)) < 0.25 * (y + 1)) & (y < -0.4)
            cover = cover | (ear & (rng.random() < 0.7))
        snout = np.hypot((x) / rng.uniform(0.2, 0.4), (y - 0.4) / rng.uniform(0.25, 0.5))
        light = np.where((snout < 1)[..., None], light * rng.uniform(0.5, 2.5), light)
        nose = np.hypot(x / rng.uniform(0.08, 0.2), (y - 0.35) / rng.uniform(0.06, 0.14))
        light[nose < 1] = 0.01 + 0.05 * _color(rng)
    light *= _shade(rng, np.sqrt(np.clip(1 - radius**2, 0, 1)), 0.6)[..., None]
    return _finish(light, cover)


def _box(rng: Rng, side: int) -> Light:
    """A thing with panels, knobs, slots and letters."""
    light = np.zeros((side, side, 3), np.float32)
    cover = np.zeros((side, side), np.float32)
    half = (rng.uniform(0.25, 0.48, 2) * side).astype(int)
    low, high = side // 2 - half, side // 2 + half
    light[:] = _color(rng)
    cover[low[1] : high[1], low[0] : high[0]] = 1
    for _ in range(int(rng.integers(2, 14))):
        tone = [float(v) for v in _color(rng) * rng.choice([0.05, 0.5, 1.0])]
        at = tuple(int(v) for v in rng.uniform(low, high))
        size = max(int(rng.uniform(0.02, 0.18) * side), 1)
        kind = rng.random()
        if kind < 0.35:
            cv2.circle(light, at, size, tone, -1, cv2.LINE_AA)
            if rng.random() < 0.5:
                ring = [float(v) for v in _color(rng)]
                cv2.circle(light, at, max(size // 2, 1), ring, -1, cv2.LINE_AA)
        elif kind < 0.75:
            to = (at[0] + size * int(rng.integers(1, 4)), at[1] + size)
            cv2.rectangle(light, at, to, tone, int(rng.choice([-1, 1, 2])))
        else:
            text = "".join(chr(int(c)) for c in rng.integers(48, 122, 4))
            ink = np.zeros((side, side), np.uint8)
            cv2.putText(ink, text, at, 0, size / 20, 255, 1, cv2.LINE_AA)
            light[ink > 127] = tone
    if rng.random() < 0.5:  # two alike beside each other, as eyes are
        at = (low + (high - low) * rng.uniform(0.2, 0.4, 2)).astype(int)
        size = max(int(rng.uniform(0.03, 0.1) * side), 1)
        tone = [float(v) for v in _color(rng) * 0.1]
        for column in (at[0], side - 1 - at[0]):
            cv2.circle(light, (int(column), int(at[1])), size, tone, -1, cv2.LINE_AA)
    x, y = _grid(side)
    light *= (1 + rng.normal(0, 0.3) * x + rng.normal(0, 0.3) * y).clip(0.2)[..., None]
    return _finish(light * np.exp(0.1 * noise(rng, side))[..., None], cover)


PAINTERS: dict[str, Callable[[Rng, int], Light]] = {
    "ball": _ball,
    "wheel": _wheel,
    "leaves": _leaves,
    "fur": _fur,
    "box": _box,
}
WEIGHTS = {"ball": 3.0, "wheel": 1.0, "leaves": 1.5, "fur": 1.5, "box": 1.0}
