"""Hats: caps, beanies and hats with a brim, and which of all headwear a picture shows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from train.synth.figure.facekit import FaceKit
from train.synth.figure.meshes import merge
from train.synth.streams import Streams
from train.synth.worn.fitting import (
    Floats,
    Numbers,
    Part,
    dye,
    ellipsoid,
    sheet,
    surface,
    weave,
)
from train.synth.worn.helmets import head_scarf, helmet
from train.synth.worn.skull import AZIMUTH, COLUMNS, Head, Rim, crown_rows, draw_rim, visor

HATS = ("helmet", "head_scarf", "beanie", "brimmed_hat", "cap")
"""In order of precedence, should more than one be asked for."""


def headwear(streams: Streams, kit: FaceKit, calm: Floats, on: Mapping[str, bool]) -> list[Part]:
    """Parts of the hat that ``on`` asks for (see :data:`HATS`), or none."""
    kind = next((name for name in HATS if on.get(name)), None)
    if kind is None:
        return []
    rng, head = streams(kind), Head(kit, calm)
    if kind == "helmet":
        return helmet(rng, head)
    if kind == "head_scarf":
        return head_scarf(rng, head)
    make = {"beanie": _beanie, "brimmed_hat": _brimmed_hat, "cap": _cap}[kind]
    return make(rng, head)


def rim_of(streams: Streams, on: Mapping[str, bool]) -> Rim | None:
    """Where hair ends under the hat (above it none shows), or None without a hat."""
    kind = next((name for name in HATS if on.get(name)), None)
    if kind is None:
        return None
    if kind == "head_scarf":
        return Rim(-1.6, -1.6, -1.6)
    return draw_rim(streams(kind), kind)


def _cap(rng: np.random.Generator, head: Head) -> list[Part]:
    rim = draw_rim(rng, "cap")
    front, top = rng.uniform(4, 15), rng.uniform(6, 13)
    reach, pitch, droop = rng.uniform(60, 76), np.radians(rng.uniform(4, 20)), rng.uniform(0, 16)
    color, other, badge = dye(rng), dye(rng), dye(rng)
    two_tone, has_badge, pattern = rng.random() < 0.3, rng.random() < 0.5, weave(rng, 0.1, 3, 7)
    shares = np.array([0, 0, 0.06, 0.16, 0.28, 0.40, 0.52, 0.64, 0.76, 0.88, 0.95, 1.0])
    azimuth, elevation = crown_rows(rim, shares)
    t = shares[:, None]
    ahead = np.maximum(np.cos(azimuth), 0) ** 1.5
    lift = 5 + top * np.sin(np.pi / 2 * t) + front * ahead * np.sin(np.pi * t**0.8)
    seam = np.abs((AZIMUTH / np.radians(60) + 0.5) % 1 - 0.5) < 0.02
    lift = lift - 0.9 * seam * (t > 0.05)
    lift[0] = 1.5  # the hem lies on the forehead
    crown = surface(head.lifted(azimuth, elevation, lift), closed=True, toward=head.center)
    peak = visor(head, rim, reach=reach, pitch=pitch, half=1.12, droop=droop, lift=4.0)
    above = peak[3, 9] + (0, 200, 0)
    bill = sheet(peak, 2.6, closed=False, toward=above)
    button = head.lifted(np.zeros(1), np.full(1, np.pi / 2), np.array([5.5 + top]))[0]
    crown = merge([crown, ellipsoid(button, np.diag([6.0, 2.5, 6.0]))])
    parts = [
        Part(crown, color, 6.0, 0.04, pattern=pattern),
        Part(bill, other if two_tone else color, 8.0, 0.06, pattern=pattern),
    ]
    if has_badge:
        across, up = np.meshgrid(np.linspace(-0.24, 0.24, 9), np.linspace(0.15, 0.40, 7))
        rise = rim.elevation(across) + up * (np.pi / 2 - rim.elevation(across))
        height = (
            5.7
            + top * np.sin(np.pi / 2 * up)
            + front * np.cos(across) ** 1.5 * np.sin(np.pi * up**0.8)
        )
        round_off = np.sqrt(np.maximum(1 - ((up - 0.275) / 0.13) ** 2, 0.02))
        points = head.lifted(across * round_off, rise, height)
        patch = surface(points, closed=False, toward=head.center)
        parts.append(Part(patch, badge, 10.0, 0.1, shadow=False))
    return parts


def _beanie(rng: np.random.Generator, head: Head) -> list[Part]:
    rim = draw_rim(rng, "beanie")
    over_ears = rng.random() < 0.4
    cuff, cuffed = rng.uniform(0.30, 0.55), rng.random() < 0.7
    peak, slouch, loose = rng.uniform(2, 26), rng.uniform(0, 1) ** 2 * 40, rng.uniform(3, 8)
    color, other = dye(rng), dye(rng)
    contrast, bobble, pattern = rng.random() < 0.15, rng.random() < 0.2, weave(rng, 0.25, 4, 8)
    bumps = rng.normal(0, 1.8, 12 * 14)
    fold = 5.0 if cuffed else 0.0
    profile = [(0, 1.0), (0, 6 + fold), (0.04, 7.5 + fold)]
    if cuffed:
        profile += [(cuff * 0.5, 12.5), (cuff * 0.92, 12.8), (cuff, 11.5), (cuff * 1.02, 7.0)]
    start = profile[-1][0]
    rows = np.linspace(start, 1, 9)[1:]
    body = np.array([*[p for p, _ in profile], *rows])
    lift = np.array(
        [*[h for _, h in profile], *(7 + loose * np.sin(np.pi * rows) + peak * rows**3)]
    )
    # Shares of the way to the top, as the cuff is; low behind, over the tops of the ears.
    azimuth, elevation = crown_rows(rim, np.clip(body * np.where(body < 1, 0.75, 1), 0, 1))
    grid = np.repeat(lift[:, None], COLUMNS, 1)
    ear = np.exp(-(((np.abs(azimuth) - 1.80) / 0.28) ** 2) - ((elevation + 0.05) / 0.28) ** 2)
    grid = grid + (13 if over_ears else 4) * ear
    points = head.lifted(azimuth, elevation, grid)
    back = np.clip((body - 0.5) / 0.5, 0, 1)[:, None] ** 1.5
    points[..., 2] += slouch * back
    points[..., 1] += 0.35 * slouch * back**2
    knit = surface(points, closed=True, toward=head.center)
    parts = [Part(knit, color, 5.0, 0.02, pattern=pattern)]
    if bobble:
        ball = ellipsoid(points[-1].mean(0) - (0, 26, 0), np.eye(3) * 22, rings=12, sectors=14)
        ball.vertices += ball.normals * bumps[:, None].astype(np.float32)
        parts.append(Part(ball, other if contrast else color, 4.0, 0.0, pattern=pattern))
    return parts


def _brimmed_hat(rng: np.random.Generator, head: Head) -> list[Part]:
    rim = draw_rim(rng, "brimmed_hat")
    kind = str(rng.choice(["fedora", "bucket", "sun", "cowboy"], p=[0.35, 0.3, 0.2, 0.15]))
    size, slope, wave, taper = rng.uniform(0, 1, 4)
    color, band, pattern = dye(rng, hat=True), dye(rng), weave(rng, 0.1, 3, 7)
    phase, banded = rng.uniform(0, 6.3), rng.random() < 0.8
    low, high, fall, curl, extra, narrow = {
        "fedora": (44, 64, 0.05, 0.22, 26, 0.86),
        "bucket": (38, 56, 0.55, 0.0, 6, 0.80),
        "sun": (75, 110, 0.10, 0.05, 12, 0.86),
        "cowboy": (75, 92, -0.02, 0.75, 36, 0.84),
    }[kind]
    elevation = rim.elevation(AZIMUTH)
    base = head.lifted(AZIMUTH, elevation, np.full(COLUMNS, 5.0))
    middle = base.mean(0)
    along = base[0] - base[COLUMNS // 2]  # from the front to the back
    up = np.array([0.0, -along[2], along[1]]) / np.hypot(along[1], along[2])
    outward = base - middle
    outward -= (outward @ up)[:, None] * up
    radius = np.linalg.norm(outward, axis=1, keepdims=True)
    outward /= radius
    # Brim: out from the base, falling or curled up at the sides.
    reach = low + (high - low) * size
    t = np.linspace(0, 1, 7)[:, None]
    side = np.abs(np.sin(AZIMUTH))
    drop = (fall + 0.15 * slope) * t * reach - curl * reach * t**2 * side**2
    drop = drop + (0.06 * reach * wave * t**2 * np.sin(3 * AZIMUTH + phase) if kind == "sun" else 0)
    brim = base + (t * reach)[..., None] * outward - drop[..., None] * up
    # Crown: a tapering wall, a rounded edge and a creased top.
    skull = anatomy_top(head, middle, up)
    tall = skull + 8 + extra * (0.6 + 0.4 * taper)
    height = np.array([0, 0.12, 0.3, 0.5, 0.7, 0.86, 0.95, 1.0, 1.0, 1.0, 1.0]) * tall
    scale = 1 - (1 - narrow) * np.minimum(height / tall / 0.86, 1)
    scale[6:] *= np.array([0.97, 0.90, 0.62, 0.3, 0.02])
    wall = middle + scale[:, None, None] * radius * outward + height[:, None, None] * up
    wall += scale[:, None, None] * ((base - middle) @ up)[:, None] * up
    if kind in ("fedora", "cowboy"):
        crease = (
            np.exp(-((wall[..., 0] / 16) ** 2))
            * np.clip((height / tall - 0.9) / 0.1, 0, 1)[:, None]
        )
        wall -= (0.7 * extra * crease)[..., None] * up
        pinch = (
            np.exp(-(((np.abs(AZIMUTH) - 0.6) / 0.3) ** 2))
            * np.clip(height / tall, 0, 1)[:, None] ** 2
        )
        wall -= (9 * pinch * (scale[:, None] > 0.7))[..., None] * outward
    wall = head.cleared(wall, 4.0)
    felt = merge(
        [
            surface(wall, closed=True, toward=middle),
            sheet(brim, 2.4, closed=True, toward=middle + 300 * -up),
        ]
    )
    parts = [Part(felt, color, 6.0, 0.03, pattern=pattern)]
    if banded and kind != "bucket":
        ribbon = wall[:3] + outward * 1.2
        parts.append(Part(surface(ribbon, closed=True, toward=middle), band, 12.0, 0.12))
    return parts


def anatomy_top(head: Head, middle: Numbers, up: Numbers) -> float:
    """Height of the skull above a hat's rim (mm)."""
    azimuth, elevation = np.meshgrid(AZIMUTH[::6], np.radians([50.0, 70.0, 88.0]))
    return float(((head.lifted(azimuth, elevation, 0.0 * azimuth) - middle) @ up).max())
