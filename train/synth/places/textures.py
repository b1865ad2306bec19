"""Flat procedural textures for backgrounds: (H, W, 3) float32 reflectance, 0 to 1, linear."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Random = np.random.Generator


def color(
    rng: Random, low: float = 0.05, high: float = 0.8, saturation: float | None = None
) -> Image:
    """A reflectance (3,); most things are greyish, and of the rest most are warm."""
    strength = 0.9 * rng.beta(1.0, 3.5) if saturation is None else saturation
    warm, blue, other = rng.normal(0.6, 0.35), rng.normal(4.0, 0.35), rng.uniform(0, 2 * np.pi)
    hue = (warm, blue, other)[int(rng.choice(3, p=[0.58, 0.3, 0.12]))]
    value = low * (high / low) ** rng.random()
    tint = 1 + strength * np.cos(hue - np.array([0, 2.1, 4.2]))
    return np.asarray(np.clip(value * tint, 0.01, 0.95), np.float32)


def field(
    rng: Random,
    height: int,
    width: int,
    *,
    cells: float = 4,
    octaves: int = 5,
    rough: float = 0.55,
    aspect: float = 1.0,
) -> Image:
    """Fractal noise (H, W), mean 0, deviation 1; ``aspect`` above 1 stretches it along x."""
    total = np.zeros((height, width), np.float32)
    for k in range(octaves):
        n = cells * 2**k
        rows, columns = max(2, round(n)), max(2, round(n * width / height / aspect))
        if rows > height or columns > width:
            break
        grid = rng.standard_normal((rows + 1, columns + 1)).astype(np.float32)
        layer = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        total += np.float32(rough**k) * layer
    return np.asarray((total - total.mean()) / (total.std() + 1e-6), np.float32)


def warped(rng: Random, image: Image, amount: float, cells: float = 3) -> Image:
    """The image pulled about by noise of ``amount`` pixels."""
    h, w = image.shape[:2]
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    dx, dy = (field(rng, h, w, cells=cells, octaves=3) * np.float32(amount) for _ in range(2))
    return np.asarray(
        cv2.remap(image, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    )


def mixed(a: Image, b: Image, share: Image) -> Image:
    """``a`` where ``share`` (H, W) is 0 and ``b`` where it is 1."""
    s = share[..., None].astype(np.float32)
    return np.asarray(a * (1 - s) + b * s, np.float32)


def flat(h: int, w: int, tint: Image) -> Image:
    return np.full((h, w, 3), tint, np.float32)


def plaster(rng: Random, h: int, w: int) -> Image:
    """A painted or raw wall: fine grain, stains, brush marks."""
    base = flat(h, w, color(rng, 0.12, 0.85))
    grain = field(rng, h, w, cells=60, octaves=3, rough=0.8, aspect=rng.choice([1, 1, 4, 0.25]))
    stain = field(rng, h, w, cells=2, octaves=6)
    relief = rng.uniform(0.005, 0.07) * grain + rng.uniform(0.0, 0.1) * stain
    return np.asarray(base * (1 + relief[..., None]), np.float32)


def stripes(rng: Random, h: int, w: int) -> Image:
    """Bands of two to four colours, as on cloth, blinds or siding."""
    x = np.arange(w, dtype=np.float32)
    period = rng.uniform(8, 110)
    colors = np.stack([color(rng) for _ in range(int(rng.integers(2, 5)))])
    widths = np.cumsum(rng.uniform(0.2, 1, len(colors)))
    place = (x / period + rng.random()) % 1 * widths[-1]
    line = colors[np.searchsorted(widths, place).clip(0, len(colors) - 1)]
    image = np.repeat(line[None], h, 0)
    if rng.random() < 0.4:  # rounded slats
        image = image * (0.6 + 0.4 * np.abs(np.sin(np.pi * x / period)))[None, :, None]
    return image.transpose(1, 0, 2)[:h, :w].copy() if rng.random() < 0.5 and h == w else image


def checks(rng: Random, h: int, w: int) -> Image:
    """Tartans, grids, chessboards."""
    y, x = np.mgrid[0:h, 0:w]
    size = rng.uniform(8, 70)
    a, b, c = color(rng), color(rng), color(rng)
    u, v = (x / size) % 1, (y / size) % 1
    if rng.random() < 0.4:
        return mixed(flat(h, w, a), flat(h, w, b), ((u < 0.5) ^ (v < 0.5)).astype(np.float32))
    thick = rng.uniform(0.08, 0.5)
    image = mixed(flat(h, w, a), flat(h, w, b), 0.5 * ((u < thick) + 1.0 * (v < thick)))
    return mixed(image, flat(h, w, c), ((abs(u - 0.7) < 0.03) | (abs(v - 0.7) < 0.03)) * 1.0)


def bricks(rng: Random, h: int, w: int) -> Image:
    """Bricks, blocks or tiles with joints, each of its own shade and lit at its upper edge."""
    tall = rng.uniform(10, 60)
    wide = tall * rng.choice([1.0, 2.0, 3.0, 2.5])
    shift = 0.0 if rng.random() < 0.3 else 0.5
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    row = np.floor(y / tall)
    u, v = x / wide + shift * (row % 2), y / tall
    cell = (row.astype(int) * 131 + np.floor(u).astype(int)) % 997
    shades = np.exp(rng.normal(0, rng.uniform(0.02, 0.25), (997, 1))) * (
        color(rng, 0.08, 0.7) * (1 + rng.normal(0, 0.05, (997, 3)))
    )
    image = shades[cell].astype(np.float32)
    joint = rng.uniform(0.02, 0.12)
    u, v = u % 1, v % 1
    edge = np.minimum(np.minimum(u, 1 - u) * wide, np.minimum(v, 1 - v) * tall) / tall
    image = image * (1 + 0.25 * np.clip((0.25 - v) / 0.25, 0, 1) * (edge > joint))[..., None]
    gap = np.clip((joint - edge) / 0.03 + 0.5, 0, 1)
    image = mixed(image, flat(h, w, color(rng, 0.1, 0.7, 0.05)), gap)
    return np.asarray(image * (1 + 0.08 * field(rng, h, w, cells=40, octaves=3)[..., None]), "f4")


def text(rng: Random, h: int, w: int) -> Image:
    """Lines of marks like writing, on paper or a screen."""
    paper, ink = color(rng, 0.5, 0.9, 0.1), color(rng, 0.02, 0.15)
    if rng.random() < 0.3:
        paper, ink = ink, paper
    image = flat(h, w, paper)
    y = float(rng.uniform(4, 20))
    while y < h - 8:
        size = float(rng.choice([5, 7, 9, 14, 26], p=[0.25, 0.3, 0.25, 0.12, 0.08]))
        x, end = float(rng.uniform(4, 30)), w * rng.uniform(0.4, 1.0)
        while x < end:
            for _ in range(int(rng.integers(2, 9))):
                top = y + size * (0.4 if rng.random() < 0.7 else 0.0)
                points = [
                    (x, y + size),
                    (x, top),
                    (x + size * 0.4, top),
                    (x + size * 0.4, y + size),
                ]
                order = rng.permutation(4)[: int(rng.integers(2, 5))]
                line = np.array([points[i] for i in order]) * 8
                thick = max(1, round(size / 9))
                cv2.polylines(
                    image, [line.astype(np.int32)], False, ink.tolist(), thick, cv2.LINE_AA, 3
                )
                x += size * 0.6
            x += size * 0.6
        y += size * rng.uniform(1.5, 2.4)
    return image


def cloth(rng: Random, h: int, w: int) -> Image:
    """Folds of curtain or cover, shaded by their slope, plain or patterned."""
    kind = rng.random()
    base = stripes(rng, h, w) if kind < 0.25 else checks(rng, h, w) if kind < 0.4 else None
    base = flat(h, w, color(rng)) if base is None else base
    fold = field(rng, h, w, cells=rng.uniform(3, 9), octaves=3, aspect=rng.choice([0.12, 0.3, 0.8]))
    fold = warped(rng, fold, 20)
    slope = cv2.Sobel(fold, -1, 1, 0, ksize=3)
    slope = cv2.GaussianBlur(slope, (0, 0), 2)
    shade = 1 + np.clip(slope / (slope.std() + 1e-6) * rng.uniform(0.1, 0.3), -0.7, 0.8)
    weave = 1 + 0.04 * rng.standard_normal((h, w)).astype(np.float32)
    return np.asarray(base * (shade * weave * np.exp(0.15 * fold))[..., None], np.float32)


def wood(rng: Random, h: int, w: int) -> Image:
    """Planks along x with grain."""
    tint = color(rng, 0.06, 0.5, 0.0) * np.array([1.25, 0.95, 0.65], np.float32)
    grain = field(rng, h, w, cells=24, octaves=4, rough=0.8, aspect=rng.uniform(8, 25))
    rings = np.sin(6 * warped(rng, field(rng, h, w, cells=3, octaves=2, aspect=6), 8))
    image = tint * np.exp(0.12 * grain + 0.1 * rings)[..., None]
    plank = max(16, int(rng.uniform(25, 120)))
    rows = np.arange(h) // plank
    image = image * np.exp(rng.normal(0, 0.15, rows.max() + 1))[rows][:, None, None]
    image[np.arange(h) % plank < 2] *= 0.4
    return np.asarray(image, np.float32)


def gravel(rng: Random, h: int, w: int) -> Image:
    """Cells: stones, pebbledash, spotted fur, terrazzo."""
    size = rng.uniform(6, 40)
    seeds = rng.random((h, w)) < 1 / size**2
    seeds[0, 0] = True
    far, label = cv2.distanceTransformWithLabels(
        (~seeds).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    spread = rng.uniform(0.1, 0.7)
    shades = color(rng) * np.exp(rng.normal(0, spread, (int(label.max()) + 1, 1)))
    image = shades[label] * (1.2 - 0.8 * np.clip(far / size, 0, 1))[..., None]
    return np.asarray(warped(rng, image.astype(np.float32), 2, 20), np.float32)


def leaves(rng: Random, h: int, w: int) -> Image:
    """Foliage: strokes from dark to light, denser and lighter where the crown bulges."""
    crown = field(rng, h, w, cells=rng.uniform(2, 6), octaves=4)
    green = np.array([rng.uniform(0.5, 1.4), 1.0, rng.uniform(0.2, 0.6)], np.float32)
    image = flat(h, w, 0.02 * green)
    size = rng.uniform(2.5, 8)
    count = int(min(3000, 1.6 * h * w / size**2))
    at = rng.uniform(0, 1, (count, 2)) * (w, h)
    turns, lights = rng.uniform(0, 180, count), np.sort(rng.gamma(2.0, 0.035, count))
    for (x, y), turn, light in zip(at, turns, lights, strict=True):
        lift = np.exp(0.5 * crown[int(y) % h, int(x) % w])
        tint = np.clip(light * lift * green * rng.uniform(0.8, 1.2, 3), 0, 0.45)
        axes = (int(size * 8), int(size * rng.uniform(2.5, 5)))
        place = (int(x * 8), int(y * 8))
        cv2.ellipse(image, place, axes, turn, 0, 360, tint.tolist(), -1, cv2.LINE_AA, 3)
    return np.asarray(image * np.exp(0.35 * crown)[..., None], np.float32)


def grass(rng: Random, h: int, w: int) -> Image:
    """Upright blades, smaller with height in the picture."""
    tint = color(rng, 0.08, 0.3, 0.0) * np.array([rng.uniform(0.7, 1.3), 1.1, 0.4], np.float32)
    blades = field(rng, h, w, cells=30, octaves=4, rough=0.9, aspect=0.25)
    patches = field(rng, h, w, cells=3, octaves=4, aspect=3)
    return np.asarray(tint * np.exp(0.5 * blades + 0.3 * patches)[..., None], np.float32)


def painting(rng: Random, h: int, w: int) -> Image:
    """An abstract picture, for frames, posters and screens."""
    image = warped(rng, np.stack([field(rng, h, w, cells=2) for _ in range(3)], -1), w / 12)
    image = color(rng, 0.1, 0.6) * np.exp(0.5 * image)
    for _ in range(int(rng.integers(0, 9))):
        points = rng.uniform(-0.1, 1.1, (int(rng.integers(3, 6)), 2)) * (w, h)
        cv2.fillPoly(image, [points.astype(np.int32)], color(rng).tolist(), cv2.LINE_AA)
    return np.asarray(np.clip(image, 0, 1), np.float32)


TEXTURES: tuple[Callable[[Random, int, int], Image], ...] = (
    plaster,
    stripes,
    checks,
    bricks,
    text,
    cloth,
    wood,
    gravel,
    leaves,
    grass,
    painting,
)
