"""What surrounds a face and lights it: rooms, streets, skies and cars as maps of radiance.

Every surrounding is painted for given rays (H, W, 3) in its own frame (x right, y down, z forward),
with its main light towards −z, that is in front of a face that looks at the camera.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Surroundings:
    """A painted environment and the lights that are smaller than its pixels."""

    radiance: Floats
    """(H, W, 3) linear."""
    points: list[tuple[Floats, Floats, float]] = field(default_factory=list)
    """(unit direction, irradiance / pi (3,), angular radius in radians); not in ``radiance``."""


@dataclass(frozen=True, slots=True)
class Tints:
    """Colours (3,) of unit luminance, as the camera's white balance leaves them."""

    key: Floats
    fill: Floats


def towards(azimuth: float, elevation: float) -> Floats:
    """Unit vector; azimuth 0 is −z and grows towards +x, elevation is above the horizon."""
    c = np.cos(elevation)
    return np.array([np.sin(azimuth) * c, -np.sin(elevation), -np.cos(azimuth) * c])


def _step(x: Floats, soft: float) -> Floats:
    """0 to 1 around x = 0, over ``soft`` to either side."""
    return np.asarray(np.clip(0.5 + 0.5 * x / soft, 0, 1))


def _patch(rays: Floats, center: Floats, half: tuple[float, float], soft: float = 0.04) -> Floats:
    """Coverage (H, W) of a rectangle of half angles ``half`` (radians) around ``center``."""
    right = np.cross([0.0, 1.0, 1e-3], center)
    right /= np.linalg.norm(right)
    down = np.cross(center, right)
    along = np.maximum(rays @ center, 1e-3)
    across, under = np.arctan2(rays @ right, along), np.arctan2(rays @ down, along)
    return np.asarray(_step(half[0] - np.abs(across), soft) * _step(half[1] - np.abs(under), soft))


def _mottle(rng: np.random.Generator, shape: tuple[int, int], spread: float) -> Floats:
    """Factors (H, W, 1) around 1: what stands about a place, seen very coarsely."""
    grid = np.exp(rng.normal(0, spread, (8, 16))).astype(np.float32)
    grid = np.concatenate([grid, grid[:, :1]], 1)  # closes round the seam
    return np.asarray(cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float64)[
        ..., None
    ]


def _room(
    rng: np.random.Generator, rays: Floats, tints: Tints, lit: float
) -> tuple[Floats, Floats]:
    """Walls around the face, brighter near −z: radiance (H, W, 3) and the points hit, metres."""
    half = np.array([rng.uniform(1.2, 4), 1.35, rng.uniform(1.5, 5)])
    off = np.array([rng.uniform(-0.5, 0.5) * half[0], rng.uniform(-0.1, 0.3), 0.45 * half[2]])
    wall = rng.uniform(0.25, 0.85) * (1 + rng.normal(0, 0.06, 3))
    albedo = np.array([wall, wall, wall])
    albedo[1] = rng.uniform(0.1, 0.45) * np.array([1.1, 1.0, 0.85])  # floor
    step = np.where(rays >= 0, half - off, -half - off) / np.where(abs(rays) < 1e-6, 1e-6, rays)
    axis = step.argmin(-1)
    points = rays * step.min(-1, keepdims=True)
    color = albedo[axis]
    color = np.where(((axis == 1) & (rays[..., 1] < 0))[..., None], 0.8, color)  # ceiling
    near = points - np.array([0, -0.5, -half[2] * 0.8])
    falloff = 0.35 + 1.5 / (0.8 + (near * near).sum(-1, keepdims=True))
    mix = lit * tints.key + (1 - lit) * tints.fill
    return color * falloff * mix * _mottle(rng, rays.shape[:2], 0.35), points


def studio(rng: np.random.Generator, rays: Floats, tints: Tints) -> Surroundings:
    """A softbox, a reflector at the other side, sometimes light on the hair."""
    color = rng.uniform(0.05, 0.7) * tints.key * _mottle(rng, rays.shape[:2], 0.15)
    high = float(rng.uniform(0.15, 0.8))
    size = rng.uniform(0.22, 0.5)
    box = (float(size), float(size * rng.uniform(0.7, 1.5)))
    color = color + 14 * tints.key * _patch(rays, towards(0, high), box)[..., None]
    side = float(rng.choice([-1, 1]) * rng.uniform(0.9, 1.7))
    fill = rng.uniform(0.5, 5) * tints.fill
    color += (
        fill * _patch(rays, towards(side, float(rng.uniform(-0.2, 0.5))), (0.4, 0.6))[..., None]
    )
    hair = rng.uniform(0, 14) * (rng.random() < 0.5) * tints.fill
    place = towards(float(rng.choice([-1, 1]) * rng.uniform(2.2, 2.9)), 0.7)
    color += hair * _patch(rays, place, (0.2, 0.2))[..., None]
    return Surroundings(color)


def office(rng: np.random.Generator, rays: Floats, tints: Tints) -> Surroundings:
    """Panels in a grid under the ceiling, mostly before the face; bright walls."""
    color, _ = _room(rng, rays, tints, 0.9)
    up = rng.uniform(0.9, 1.9)
    hit = rays[..., [0, 2]] * (up / np.maximum(-rays[..., 1:2], 1e-3))
    size = np.array([[0.6, 0.6], [1.2, 0.3], [0.3, 1.2], [1.5, 0.15]][int(rng.integers(4))]) / 2
    pitch = rng.uniform(1.3, 2.6, 2)
    first = rng.uniform(0, 1, 2) * pitch
    last = rng.uniform(2.0, 7.0)
    for i in range(-2, 3):
        for j in range(4):
            at = np.array([i, -j]) * pitch + first * (1, -1)
            if -at[1] > last:
                continue
            far = abs(hit - at)
            inside = _step(size[0] - far[..., 0], 0.08) * _step(size[1] - far[..., 1], 0.08)
            color += 16 * tints.key * (inside * (rays[..., 1] < -0.05))[..., None]
    glass = rng.uniform(0, 6) * (rng.random() < 0.4) * tints.fill
    side = float(rng.choice([-1, 1]) * rng.uniform(1.3, 2.0))
    color += glass * _patch(rays, towards(side, 0.05), (0.5, 0.25))[..., None]
    return Surroundings(color)


def window(rng: np.random.Generator, rays: Floats, tints: Tints) -> Surroundings:
    """A window or two with sky above and ground below, in a dim room."""
    color, _ = _room(rng, rays, tints, 0.8)
    color *= 0.6
    sky = 12 * (0.55 + 0.6 * np.maximum(-rays[..., 1:2], 0)) * tints.key
    out = np.where(rays[..., 1:2] < rng.normal(0, 0.06), sky, sky * rng.uniform(0.1, 0.45))
    half = (float(rng.uniform(0.15, 0.5)), float(rng.uniform(0.25, 0.45)))
    high = float(rng.uniform(0.05, 0.35))
    panes = int(rng.integers(1, 4))
    gap = 2 * half[0] + float(rng.uniform(0.04, 0.5))
    for k in range(panes):
        cover = _patch(rays, towards((k - (panes - 1) / 2) * gap, high), half)[..., None]
        color = color * (1 - cover) + out * cover
    lamp = rng.uniform(1, 10) * (rng.random() < 0.3) * tints.fill
    color += (
        lamp * _patch(rays, towards(float(rng.uniform(1.5, 4.5)), 0.5), (0.12, 0.12))[..., None]
    )
    return Surroundings(color)


def lamp(rng: np.random.Generator, rays: Floats, tints: Tints) -> Surroundings:
    """One to three lamps at home in the evening: bulbs, shades and their spill on the walls."""
    color, _ = _room(rng, rays, tints, 1.0)
    color *= 0.35
    points = []
    for k in range(3):
        azimuth = float(rng.uniform(0.7, 5.6)) if k else 0.0
        place = towards(azimuth, float(rng.uniform(0.0, 0.9)))
        strength = float(rng.uniform(0.1, 0.5) * (rng.random() < 0.5)) if k else 1.0
        tint = tints.fill if k == 2 else tints.key
        points.append((place, strength * tint, 0.05))
        spill = np.exp(6 * (rays @ place - 1))[..., None]
        color += strength * spill * tint * 0.5
    return Surroundings(color, points)


def _sky(rng: np.random.Generator, rays: Floats, top: Floats, rim: Floats) -> tuple[Floats, Floats]:
    """Sky above the skyline and ground under it; returns (radiance, is sky (H, W, 1))."""
    high = -rays[..., 1:2]
    skyline = rng.uniform(0.0, 0.35) * abs(_mottle(rng, rays.shape[:2], 0.6) - 1) ** 0.7
    is_sky = _step(high - skyline, 0.06)
    air = rim + (top - rim) * np.clip(high, 0, 1) ** 0.5
    return air * _mottle(rng, rays.shape[:2], 0.12), is_sky


def overcast(rng: np.random.Generator, rays: Floats, tints: Tints) -> Surroundings:
    """The CIE overcast sky (at the zenith thrice as bright as at the horizon), brighter ahead."""
    air, is_sky = _sky(rng, rays, 3.0 * tints.key, 1.0 * tints.key)
    air = air * (1 + rng.uniform(0.1, 1.2) * np.maximum(0, rays @ towards(0, 0.6)) ** 2)[..., None]
    ground = rng.uniform(0.1, 0.5) * tints.fill * (1 + rng.normal(0, 0.08, 3))
    return Surroundings(air * is_sky + (1 - is_sky) * ground * _mottle(rng, rays.shape[:2], 0.5))


def sun(rng: np.random.Generator, rays: Floats, tints: Tints) -> Surroundings:
    """A clear sky, blue and brighter around the sun, over sunlit ground."""
    place = towards(0, float(rng.uniform(0.2, 1.1)))
    air, is_sky = _sky(rng, rays, 0.25 * tints.fill, 0.5 * (tints.fill + tints.key) / 2)
    near = (rays @ place)[..., None]
    air = air + (0.8 * np.exp(12 * (near - 1)) + 0.25 * np.exp(3 * (near - 1))) * tints.key
    ground = rng.uniform(0.08, 0.4) * tints.key * (1 + rng.normal(0, 0.1, 3))
    ground = ground * _mottle(rng, rays.shape[:2], 0.5)
    return Surroundings(air * is_sky + ground * (1 - is_sky), [(place, 1.6 * tints.key, 0.005)])


def screen(rng: np.random.Generator, rays: Floats, tints: Tints) -> Surroundings:
    """A monitor below or around the camera in a dim room."""
    color, _ = _room(rng, rays, tints, 0.6)
    color *= rng.uniform(0.03, 0.15)
    half = (float(rng.uniform(0.18, 0.5)), float(rng.uniform(0.12, 0.3)))
    at = towards(float(rng.normal(0, 0.1)), float(-half[1] * rng.uniform(0.2, 1.5)))
    page = 8 * tints.key * (1 + rng.normal(0, 0.12, 3))
    color += page * _patch(rays, at, half)[..., None] * _mottle(rng, rays.shape[:2], 0.3)
    far = towards(float(rng.uniform(1.2, 5.0)), float(rng.uniform(0.1, 0.7)))
    color += rng.uniform(0, 4) * tints.fill * _patch(rays, far, (0.15, 0.15))[..., None]
    return Surroundings(color)


def night_street(rng: np.random.Generator, rays: Floats, tints: Tints) -> Surroundings:
    """Street lamps, shop windows and signs of many colours in the dark."""
    color = 0.02 * tints.fill * _mottle(rng, rays.shape[:2], 0.8) * (1 - 0.5 * rays[..., 1:2])
    shop = float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.15, 0.35))
    color += (
        1.5 * tints.key * _patch(rays, towards(float(rng.normal(0, 0.15)), 0.05), shop)[..., None]
    )
    points = [(towards(0, float(rng.uniform(0.25, 0.9))), rng.uniform(0.2, 0.8) * tints.key, 0.04)]
    for _ in range(5):
        place = towards(float(rng.uniform(0.8, 5.5)), float(rng.uniform(-0.1, 0.5)))
        hue = np.exp(rng.normal(0, 0.45, 3))
        glow = np.exp(60 * (rays @ place - 1))[..., None]
        color += rng.uniform(0.2, 2.5) * glow * hue / hue.mean() * tints.fill
    place = towards(float(rng.choice([-1, 1]) * rng.uniform(1.2, 2.8)), 0.5)
    points.append((place, rng.uniform(0, 0.35) * tints.fill, 0.04))
    return Surroundings(color, points)


def car(rng: np.random.Generator, rays: Floats, tints: Tints) -> Surroundings:
    """Windscreen before the face, side and rear windows, dark roof and seats."""
    air, is_sky = _sky(rng, rays, 2.5 * tints.key, 3.5 * tints.key)
    road = rng.uniform(0.4, 1.2) * tints.key * _mottle(rng, rays.shape[:2], 0.3)
    outside = air * is_sky + road * (1 - is_sky)
    inside = rng.uniform(0.03, 0.25) * (1 + rng.normal(0, 0.08, 3)) * tints.fill
    color = inside * _mottle(rng, rays.shape[:2], 0.3) * (1.2 + 0.5 * rays[..., 1:2])
    low = float(rng.uniform(0.1, 0.25))
    panes = [(0.0, 0.75, 0.30), (1.5, 0.42, 0.26), (-1.5, 0.42, 0.26), (3.14, 0.45, 0.16)]
    shade = [1.0, *rng.uniform(0.3, 1.0, 3)]
    for (azimuth, wide, tall), glass in zip(panes, shade, strict=True):
        cover = _patch(rays, towards(azimuth, low), (wide, tall))[..., None] * glass
        color = color * (1 - cover) + outside * cover
    beam = float(rng.uniform(0.3, 1.3) * (rng.random() < 0.4))
    at = towards(float(rng.uniform(-0.4, 0.4)), float(rng.uniform(0.25, 0.6)))
    return Surroundings(color, [(at, beam * tints.key, 0.005)])


def infrared(rng: np.random.Generator, rays: Floats, tints: Tints) -> Surroundings:
    """A grey illuminator beside the camera; the rest is nearly dark."""
    color, _ = _room(rng, rays, tints, 1.0)
    place = towards(float(rng.normal(0, 0.1)), float(rng.normal(0, 0.08)))
    return Surroundings(0.15 * color, [(place, np.ones(3), float(rng.uniform(0.01, 0.04)))])


PAINTERS: dict[str, Callable[[np.random.Generator, Floats, Tints], Surroundings]] = {
    f.__name__: f
    for f in (studio, office, window, lamp, overcast, sun, screen, night_street, car, infrared)
}
