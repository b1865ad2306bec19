"""Face masks: the posed face pushed out and drawn taut, so that they follow the jaw."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from train.synth.figure.facekit import FaceKit
from train.synth.figure.meshes import Mesh, merge
from train.synth.streams import Streams
from train.synth.worn.fitting import (
    FACE_AXIS_Z,
    Floats,
    Numbers,
    Part,
    anatomy,
    bar,
    dye,
    rgb,
    sheet,
    weave,
)

_ACROSS = 27
_SURGICAL = ((0.30, 0.52, 0.66), (0.72, 0.74, 0.75), (0.012, 0.012, 0.013), (0.35, 0.58, 0.48))
# The rows stand closer at the hems and at the three pleats.
_DOWN = np.array(
    [0, 0.03, 0.1, 0.18, 0.26, 0.275, 0.36, 0.45, 0.465, 0.55, 0.64, 0.655, 0.75, 0.86, 0.95, 1]
)


def mask(
    streams: Streams, kit: FaceKit, posed_vertices: Floats, on: Mapping[str, bool]
) -> list[Part]:
    """A surgical, cloth or FFP2 mask with its ear loops, if ``on["face_mask"]``.

    ``posed_vertices`` (26719, 3) is the person with the picture's expression, head frame.
    """
    if not on.get("face_mask"):
        return []
    rng = streams("mask")
    kind = str(rng.choice(["surgical", "cloth", "ffp2"], p=[0.5, 0.3, 0.2]))
    top, half, low, sag = rng.uniform((-17, 66, 3, 0), (-4, 75, 9, 1))
    below_nose, pick, pattern = rng.random() < 0.1, rng.random(), weave(rng, 0.25, 3, 8)
    cloth, wire = dye(rng), rng.uniform(0.8, 2.0)
    if below_nose:
        top = 24.0
    color = {
        "surgical": rgb(*_SURGICAL[int(np.searchsorted([0.55, 0.75, 0.93], pick))]),
        "cloth": cloth,
        "ffp2": rgb(0.76, 0.77, 0.77) if pick < 0.8 else rgb(0.015, 0.015, 0.016),
    }[kind]
    points = _tent(kit, posed_vertices, kind, (float(top), np.radians(half), float(low)))
    middle = np.array([0.0, 40.0, FACE_AXIS_Z])
    body = sheet(points, 1.0 if kind != "cloth" else 1.6, closed=False, toward=middle)
    loops = _loops(kit, posed_vertices, points, float(wire), float(sag))
    loop_color = color if kind == "cloth" else rgb(0.7, 0.7, 0.7) * np.float32(min(1, color[0] * 3))
    return [
        Part(body, color, 6.0, 0.03, pattern=pattern if kind == "cloth" else 0.0),
        Part(loops, loop_color, 5.0, 0.02),
    ]


def _tent(kit: FaceKit, posed: Floats, kind: str, cut: tuple[float, float, float]) -> Numbers:
    """The mask's middle surface (rows, columns, 3)."""
    top, half, low = cut
    u, v = np.meshgrid(np.linspace(-1, 1, _ACROSS), _DOWN)
    begin = top + 17 * np.abs(u) ** 1.3
    end = 87 + low - (32 if kind == "surgical" else 40) * u**2
    skin = anatomy(kit).around_face(u * half, begin + v * (end - begin))(posed)
    skin = skin.reshape(*u.shape, 3).astype(np.float64)
    turn = np.arctan2(skin[..., 0], FACE_AXIS_Z - skin[..., 2])
    floor = np.hypot(skin[..., 0], FACE_AXIS_Z - skin[..., 2]) + 2.0
    floor += 1.5 * (np.abs(u) < 0.25) * (v < 0.5)  # the nose's tip is narrower than the grid
    radius, height = floor.copy(), skin[..., 1].copy()
    rim = np.minimum(np.minimum(v, 1 - v) / 0.06, 1.0)
    for _ in range(14):  # taut: smoothed, but never inside the face
        padded = np.pad(radius, 1, mode="edge")
        soft = 0.3 * (padded[:-2, 1:-1] + padded[2:, 1:-1])
        soft += 0.2 * (padded[1:-1, :-2] + padded[1:-1, 2:])
        radius = np.maximum(floor, radius + rim * (soft - radius))
        flat = np.pad(height, ((0, 0), (1, 1)), mode="edge")
        height += 0.3 * (0.5 * (flat[:, :-2] + flat[:, 2:]) - height)
    belly = np.sin(np.pi * np.clip(v, 0, 1)) * (1 - u**2)
    if kind == "surgical":
        saw = sum(np.clip((v - p) / 0.19, 0, 1) * (v < p + 0.18) for p in (0.275, 0.465, 0.655))
        radius += 1.5 * belly + 1.4 * (1 - saw) * (v > 0.26) * (v < 0.85) * (1 - u**4)
    elif kind == "cloth":  # a seam down the middle
        radius += 3 * belly + 3.5 * np.exp(-np.abs(u) / 0.12) * np.sin(np.pi * v)
    else:  # a fold down the middle that stands well off, and a weld along the cheeks
        radius += 9 * belly + 9 * np.exp(-np.abs(u) / 0.25) * np.sin(np.pi * v) ** 0.8
        radius -= 1.0 * np.exp(-(((v - 0.5 + 0.15 * u**2) / 0.03) ** 2)) * (np.abs(u) > 0.2)
    return np.stack([radius * np.sin(turn), height, FACE_AXIS_Z - radius * np.cos(turn)], -1)


def _loops(kit: FaceKit, posed: Floats, points: Numbers, wire: float, sag: float) -> Mesh:
    """Elastic from the side edges' corners around each ear."""
    body = anatomy(kit)
    loops = []
    for sign, edge in ((-1.0, points[:, 0]), (1.0, points[:, -1])):
        over = posed[body.vertex(sign * 77, -27, 93)] + (sign * 1.5, -0.5, 0)
        hidden = posed[body.vertex(sign * 73, -5, 116)] + (sign * 1.0, 0, -9.0)
        lobe = posed[body.vertex(sign * 66, 28, 100)] + (sign * 2.0, 0, -4.0)
        knots = np.array([edge[1], over, hidden, lobe, edge[-2]], np.float64)
        knots[:, 0] += sign * np.array([0.5, 1.0, 0.5, 0.5, 0.5])
        lengths = np.linalg.norm(np.diff(knots, axis=0), axis=1)
        s = np.concatenate([[0], np.cumsum(lengths)])
        along = np.linspace(0, s[-1], 22)
        path = np.stack([np.interp(along, s, k) for k in knots.T], 1)
        for _ in range(2):  # stretched straight, rounded where it turns
            path[1:-1] = 0.25 * path[:-2] + 0.5 * path[1:-1] + 0.25 * path[2:]
        path[1:7, 1] += 2.5 * sag * np.sin(np.linspace(0.4, np.pi, 6))
        # Outside of the cheek, which bulges between the mask and the ear.
        cheek = posed[body.side].astype(np.float64)
        mine = cheek[cheek[:, 0] * sign > 0]
        close = np.hypot(path[:, 1:2] - mine[:, 1], path[:, 2:] - mine[:, 2]) < 5
        wall = np.where(close, np.abs(mine[:, 0]), 0).max(1) + 0.8
        wall = np.where(np.abs(np.arange(22) - 10) < 7, 0, wall)
        path[:, 0] = sign * np.maximum(np.abs(path[:, 0]), wall)
        loops.append(bar(path, np.full((22, 2), (0.6 * wire, wire)), up=(0.02, -0.5, 0.6), sides=6))
    return merge(loops)
