"""Helmets (bicycle, building site, motorcycle) and head scarves."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from train.synth.figure.meshes import Mesh, merge
from train.synth.worn.fitting import Floats, Numbers, Part, bar, dye, rgb, sheet, surface, weave
from train.synth.worn.skull import AZIMUTH, COLUMNS, Head, Rim, crown_rows, draw_rim, visor

SHELL_COLORS = (
    (0.80, 0.80, 0.78),
    (0.02, 0.02, 0.022),
    (0.75, 0.50, 0.02),
    (0.70, 0.05, 0.03),
    (0.03, 0.12, 0.45),
    (0.75, 0.22, 0.02),
    (0.10, 0.35, 0.12),
    (0.30, 0.31, 0.33),
)
STRAP = rgb(0.015, 0.015, 0.016)


def helmet(rng: np.random.Generator, head: Head) -> list[Part]:
    """A helmet with its straps."""
    rim = draw_rim(rng, "helmet")
    kind = str(rng.choice(["bicycle", "hard hat", "motorcycle"], p=[0.4, 0.3, 0.3]))
    color = rgb(*SHELL_COLORS[int(rng.integers(len(SHELL_COLORS)))])
    shape = rng.uniform(0, 1, 4)
    make = {"bicycle": _bicycle, "hard hat": _hard_hat, "motorcycle": _motorcycle}[kind]
    return make(head, rim, np.asarray(color * np.float32(0.8 + 0.3 * shape[3]), np.float32), shape)


_ROWS = np.array([0, 0, 0.03, 0.1, 0.2, 0.32, 0.45, 0.58, 0.7, 0.82, 0.92, 1.0])


def _bicycle(head: Head, rim: Rim, color: Floats, shape: Numbers) -> list[Part]:
    azimuth, elevation = crown_rows(rim, _ROWS)
    t = _ROWS[:, None]
    back = np.maximum(-np.cos(azimuth), 0)
    lift = 20 + 9 * np.sin(np.pi / 2 * t) + (4 + 10 * shape[0]) * back * np.sin(np.pi * t)
    lift[0], lift[1] = 6.0, 18.0
    shell = surface(head.lifted(azimuth, elevation, lift), closed=True, toward=head.center)
    # Vents: dark patches, pointed at both ends, in lines from front to back.
    across = np.array([-44.0, -15.0, 15.0, 44.0])[:, None, None, None]
    spans = np.array([[0.62, 0.95], [1.08, 1.45], [1.62, 2.05]])[:, :, None, None]
    along = np.linspace(0, 1, 7)
    turn = spans[:, 0] + (spans[:, 1] - spans[:, 0]) * along  # 0 at the front, π/2 at the top
    wide = 8.5 * np.sin(np.pi * (0.04 + 0.92 * along)) * np.array([[-1.0], [0], [1]])
    x, turn = np.broadcast_arrays((across + wide) / 105, turn)
    ray = np.stack([x, -np.sin(turn), -np.cos(turn)], -1)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    az, el = np.arctan2(ray[..., 0], -ray[..., 2]), np.arcsin(-ray[..., 1])
    share = (el - rim.elevation(az)) / (np.pi / 2 - rim.elevation(az))
    high = 20.8 + 9 * np.sin(np.pi / 2 * share)
    high += (4 + 10 * shape[0]) * np.maximum(-np.cos(az), 0) * np.sin(np.pi * share)
    patches = head.lifted(az, el, high).reshape(-1, 3, 7, 3)
    vents = [surface(patch, closed=False, toward=head.center) for patch in patches]
    parts = [
        Part(shell, color, 60.0, 0.5),
        Part(merge(vents), rgb(0.006, 0.006, 0.007), 8.0, 0.05, shadow=False),
        _straps(head),
    ]
    if shape[1] < 0.4:
        peak = visor(head, rim, reach=32, pitch=0.1, half=0.8, droop=4, lift=19.0)
        parts.append(Part(_bill(peak), STRAP, 40.0, 0.3))
    return parts


def _hard_hat(head: Head, rim: Rim, color: Floats, shape: Numbers) -> list[Part]:
    azimuth, elevation = crown_rows(rim, _ROWS)
    t = _ROWS[:, None]
    lift = 15 + 16 * np.sin(np.pi / 2 * t)
    lift[0] = 24.0  # a lip runs all around
    points = head.lifted(azimuth, elevation, lift + 0.0 * azimuth)
    ridge = 5 * np.exp(-((points[..., 0] / 13) ** 4)) * np.clip((t - 0.15) / 0.15, 0, 1)
    points += ridge[..., None] * (points - head.center) / 110
    points[0, :, 1] += 2.0
    peak = visor(head, rim, reach=34 + 14 * shape[0], pitch=0.18, half=1.0, droop=3, lift=17.0)
    shell = merge([surface(points, closed=True, toward=head.center), _bill(peak)])
    parts = [Part(shell, color, 70.0, 0.55)]
    # The harness that shows between forehead and shell.
    band = np.array([0.0, 0.0, 0.06, 0.06])
    az, el = crown_rows(rim, band)
    el[:2] -= 0.10
    inner = head.lifted(az, el, np.array([1.0, 3.5, 3.5, 15.0])[:, None] + 0.0 * az)
    parts.append(Part(surface(inner, closed=True, toward=head.center), STRAP, 8.0, 0.05))
    if shape[1] < 0.35:
        parts.append(_straps(head))
    return parts


def _bill(peak: Numbers) -> Mesh:
    return sheet(peak, 2.6, closed=False, toward=peak[3, 9] + (0, 200, 0))


def _straps(head: Head) -> Part:
    """Webbing from before and behind each ear to the chin."""
    straps = []
    for s in (-1.0, 1.0):
        front = [(s * 76, -46, 62), (s * 75, -22, 66), (s * 72, 8, 70), (s * 68, 36, 68)]
        rear = [(s * 76, -48, 128), (s * 71, -12, 120), (s * 64, 24, 104), (s * 66, 38, 70)]
        chin = [(s * 68, 36, 68), (s * 60, 62, 52), (s * 36, 86, 22), (0, 96, 14)]
        for line, out in ((front, 2.0), (rear, 2.0), (chin, 2.2)):
            path = head.bound(np.array(line), out)
            path = CubicSpline(np.arange(len(path)), path)(np.linspace(0, len(path) - 1, 10))
            straps.append(_ribbon(path, head.center + (0, 40, 0), 7.5))
    return Part(merge(straps), STRAP, 8.0, 0.05)


def _ribbon(path: Numbers, middle: Numbers, half: float) -> Mesh:
    """A flat band along a path, lying against what is around ``middle``."""
    ahead = np.gradient(path, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    away = path - middle
    across = np.cross(ahead, away)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    points = np.stack([path - half * across, path, path + half * across])
    points[1] += 0.6 * away / np.linalg.norm(away, axis=1, keepdims=True)
    return surface(points, closed=False, toward=middle)


def _motorcycle(head: Head, rim: Rim, color: Floats, shape: Numbers) -> list[Part]:
    """Open-faced: down over the ears to the jaw, a padded edge, perhaps a shield."""
    side = np.linspace(np.radians(50), np.radians(66), 8)
    half = np.concatenate([np.linspace(0, np.radians(44), 8), side, np.linspace(1.35, np.pi, 14)])
    azimuth = np.concatenate([-half[:0:-1], half])[1:]
    turn = np.abs(azimuth)
    low = np.radians(-40.0 - 6 * shape[0])
    fall = np.clip((turn - np.radians(48)) / np.radians(18), 0, 1)
    fall = fall**2 * (3 - 2 * fall)
    start = rim.front + np.radians(2) + (low - rim.front) * fall
    shares = np.array([0, 0, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    elevation = start + shares[:, None] * (np.radians(89.5) - start)
    az = np.broadcast_to(azimuth, elevation.shape)
    lift = np.full(elevation.shape, 27.0) + 5 * np.sin(np.maximum(elevation, 0))
    lift[0] = 26.0
    points = _egg(head, az, elevation, lift)
    shell = surface(points, closed=True, toward=head.center)
    edge = points[1]
    tube = bar(np.vstack([edge, edge[:2]]), np.full((len(edge) + 2, 2), 3.2), up=(0.1, 0.2, -1.0))
    parts = [Part(shell, color, 100.0, 0.8), Part(tube, STRAP, 20.0, 0.2)]
    inward = np.array([0.0, 0.02, 0.12, 0.3, 0.55])[:, None]
    rows = start + inward * (np.radians(89.5) - start)
    depth = np.array([26.5, 13.0, 10.0, 8.0, 6.0])[:, None] + 0 * rows
    lining = surface(_egg(head, az[:5], rows, depth), closed=True, toward=head.center)
    parts.append(Part(lining, rgb(0.02, 0.02, 0.022), 5.0, 0.0))
    parts.append(_straps(head))
    if shape[1] < 0.5:
        peak = visor(head, rim, reach=42, pitch=0.02, half=0.95, droop=8, lift=30.0)
        parts.append(Part(_bill(peak), STRAP, 40.0, 0.3))
    return parts


def _egg(head: Head, azimuth: Numbers, elevation: Numbers, lift: Numbers) -> Numbers:
    """Points above the skull; below its middle, on a wall that goes straight down."""
    upper = np.maximum(elevation, 0.0)
    points = head.lifted(azimuth, upper, np.broadcast_to(lift, upper.shape))
    below = np.maximum(-elevation, 0.0)
    ray = points - head.center
    level = np.hypot(ray[..., 0], ray[..., 2])
    ray[..., 1] += level * np.tan(np.minimum(below, 1.1))
    tuck = 1 - 0.10 * (below / 0.8) ** 2
    ray[..., 0] *= tuck
    ray[..., 2] *= tuck
    return np.asarray(head.center + ray)


# -- head scarf -----------------------------------------------------------------------------------

_FACE_EDGE = np.array(  # of the left half: azimuth (degrees) and elevation where cloth begins
    [[0, 30], [25, 29], [42, 24], [54, 10], [60, -8], [63, -25], [64, -40], [66, -52]], float
)


def head_scarf(rng: np.random.Generator, head: Head) -> list[Part]:
    """Cloth around the face, under the chin and over the shoulders."""
    color, under = dye(rng), dye(rng)
    raise_front, loose, pattern = rng.uniform(-4, 4), rng.uniform(3, 8), weave(rng, 0.2, 2, 7)
    phase, folds = rng.uniform(0, 6.3, 3), rng.uniform(0.6, 1.5)
    banded = rng.random() < 0.25
    edge = _FACE_EDGE * (1, 1) + np.array([0, 1]) * raise_front * (_FACE_EDGE[:, 1:] > 0)
    s = np.linspace(0, 1, 25)
    line = CubicSpline(np.linspace(0, 1, len(edge)), edge)(s)
    tail = np.stack([np.linspace(72, 180, 13), np.full(13, -50.0)], 1)
    half = np.radians(np.vstack([line, tail]))
    az = np.concatenate([-half[:0:-1, 0], half[:, 0]])[1:]
    start = np.concatenate([half[:0:-1, 1], half[:, 1]])[1:]
    shares = np.array([0, 0, 0.02, 0.07, 0.15, 0.25, 0.37, 0.5, 0.64, 0.78, 0.9, 1.0])
    elevation = start + shares[:, None] * (np.radians(89.5) - start)
    azimuth = np.broadcast_to(az, elevation.shape)
    lift = np.full(elevation.shape, 4.0) + loose * np.sin(np.pi * shares**0.5)[:, None]
    ear = np.exp(-(((np.abs(azimuth) - 1.75) / 0.6) ** 2) - ((elevation + 0.38) / 0.75) ** 2)
    lift = lift + 18 * ear
    lift += (
        1.2
        * folds
        * np.sin(9 * elevation + 2 * np.abs(azimuth) + phase[0])
        * (shares > 0.05)[:, None]
    )
    lift[0] = 0.8
    hood = surface(head.lifted(azimuth, elevation, lift), closed=True, toward=head.center)
    wrap = _wrap(head, phase, folds)
    parts = [Part(merge([hood, wrap]), color, 6.0, 0.05, pattern=pattern)]
    if banded:
        band = np.linspace(-0.95, 0.95, 21)
        low = np.interp(np.abs(band), half[:25, 0], half[:25, 1])
        az2, el2 = np.broadcast_to(band, (3, 21)), low + np.array([[-0.09], [-0.085], [0.05]])
        strip = head.lifted(az2, el2, np.array([[0.8], [2.5], [2.5]]) + 0 * az2)
        parts.append(Part(surface(strip, closed=False, toward=head.center), under, 6.0, 0.05))
    return parts


# The wrap's rings: (front, oblique, side, oblique behind, back), each (x, y, z) on the mean head.
_RINGS = np.array(
    [
        [[0, 95, 12], [34, 86, 24], [62, 46, 55], [70, 10, 120], [0, 20, 172]],
        [[0, 101, 8], [38, 93, 20], [66, 60, 52], [70, 40, 125], [0, 50, 172]],
        [[0, 113, 22], [44, 108, 30], [70, 88, 60], [66, 80, 130], [0, 90, 168]],
        [[0, 130, 24], [56, 126, 36], [80, 116, 75], [72, 112, 140], [0, 118, 176]],
        [[0, 152, 16], [76, 150, 30], [118, 142, 85], [98, 136, 160], [0, 142, 194]],
        [[0, 190, 4], [98, 192, 22], [170, 184, 92], [130, 170, 176], [0, 180, 206]],
        [[0, 260, -8], [110, 262, 14], [192, 262, 92], [140, 250, 184], [0, 260, 210]],
    ],
    float,
)


def _wrap(head: Head, phase: Numbers, folds: float) -> Mesh:
    """From under the chin around the neck and down over the shoulders."""
    turn = np.array([0, 0.2, 0.5, 0.75, 1.0])
    around = np.linspace(-1, 1, COLUMNS, endpoint=False)
    knots = np.concatenate([-turn[:0:-1], turn])
    mirrored = np.concatenate([_RINGS[:, :0:-1] * (-1, 1, 1), _RINGS], 1)
    mirrored[:, 0] = mirrored[:, -1]
    rings = CubicSpline(knots, mirrored, axis=1, bc_type="periodic")(around)
    rows = np.linspace(0, len(_RINGS) - 1, 15)
    points = CubicSpline(np.arange(len(_RINGS)), rings)(rows)
    shift = head.bound(np.array([[0.0, 95, 12]]), 0.0)[0] - (0, 95, 12)
    points += shift * np.linspace(1, 0.7, 15)[:, None, None]
    depth = np.clip((rows - 0.6) / 2, 0, 1)[:, None]
    wave = np.sin(2 * rows[:, None] + 3.0 * around + phase[1]) + 0.6 * np.sin(
        5.2 * rows[:, None] - 7.0 * around + phase[2]
    )
    away = points - (points[:, :1] + points[:, COLUMNS // 2 : COLUMNS // 2 + 1]) / 2
    away[..., 1] = 0
    away /= np.linalg.norm(away, axis=-1, keepdims=True) + 1e-6
    points += (2.6 * folds * depth * wave)[..., None] * away
    middle = np.array([0.0, 150.0, 95.0])
    return surface(points, closed=True, toward=middle)


__all__ = ["AZIMUTH", "head_scarf", "helmet"]
