"""Things that people wear and the parts that ICT-FaceKit has not: eyes' balls, hair, glasses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


@dataclass(slots=True)
class Mesh:
    """Triangles in the head frame (millimetres)."""

    vertices: Floats
    normals: Floats
    triangles: Ints


def sphere_cap(center: Floats, radius: float, rings: int = 16, sectors: int = 24) -> Mesh:
    """The front half of a sphere, facing the head frame's −z (out of the face)."""
    theta = np.linspace(0, np.pi / 2, rings, dtype=np.float32)
    phi = np.linspace(0, 2 * np.pi, sectors, endpoint=False, dtype=np.float32)
    t, p = np.meshgrid(theta, phi, indexing="ij")
    normals = np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), -np.cos(t)], -1).reshape(
        -1, 3
    )
    return Mesh(
        (center + radius * normals).astype(np.float32),
        normals.astype(np.float32),
        grid_triangles(rings, sectors, closed=True),
    )


def grid_triangles(rows: int, columns: int, *, closed: bool) -> Ints:
    """Triangles of a row-major grid of vertices; ``closed`` joins the last column to the first."""
    faces = []
    for r in range(rows - 1):
        for c in range(columns if closed else columns - 1):
            d = (c + 1) % columns
            a, b, e, f = (
                r * columns + c,
                r * columns + d,
                (r + 1) * columns + c,
                (r + 1) * columns + d,
            )
            faces += [[a, b, e], [b, f, e]]
    return np.array(faces, dtype=np.int32)


def tube(
    path: Floats, radius: float | tuple[float, float], *, closed: bool, sides: int = 6
) -> Mesh:
    """A tube along a polyline (n, 3); ``radius`` in mm, or (across, along the head's z)."""
    rx, rz = radius if isinstance(radius, tuple) else (radius, radius)
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not closed:
        ahead[0], ahead[-1] = path[1] - path[0], path[-1] - path[-2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True) + 1e-6
    reference = np.where(np.abs(ahead[:, 2:]) > 0.9, [[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]])
    across = np.cross(ahead, reference)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-6
    third = np.cross(across, ahead)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = (
        rx * np.cos(angle)[None, :, None] * across[:, None]
        + rz * np.sin(angle)[None, :, None] * third[:, None]
    )
    vertices = (path[:, None] + ring).reshape(-1, 3)
    normals = ring.reshape(-1, 3) / (
        np.linalg.norm(ring.reshape(-1, 3), axis=1, keepdims=True) + 1e-6
    )
    triangles = grid_triangles(len(path), sides, closed=True)
    if closed:
        last = (len(path) - 1) * sides
        extra = [
            face
            for s in range(sides)
            for face in (
                [last + s, last + (s + 1) % sides, s],
                [last + (s + 1) % sides, (s + 1) % sides, s],
            )
        ]
        triangles = np.vstack([triangles, np.array(extra, dtype=np.int32)])
    return Mesh(vertices.astype(np.float32), normals.astype(np.float32), triangles)


def merge(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one."""
    starts = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        np.vstack([m.vertices for m in meshes]),
        np.vstack([m.normals for m in meshes]),
        np.vstack([m.triangles + s for m, s in zip(meshes, starts, strict=True)]).astype(np.int32),
    )


def glasses(
    rng: np.random.Generator, eyes: Floats, nose_bridge: Floats, ears: Floats
) -> tuple[Mesh, Mesh]:
    """A frame and its two lenses, fitted to a face.

    ``eyes`` (2, 3) eye centres, ``nose_bridge`` (3,), ``ears`` (2, 3) tops of the ears, all in the
    head frame; the person's right first.  Returns (frame, lenses).
    """
    width, height = rng.uniform(21, 29), rng.uniform(14, 24)
    power = rng.uniform(2.0, 5.0)
    thick = float(rng.uniform(0.5, 2.2))
    rims, lenses, sides = [], [], []
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    plane_z = min(
        float(nose_bridge[2]) - rng.uniform(2, 9), float(eyes[:, 2].min()) - rng.uniform(9, 14)
    )
    drop = rng.uniform(-2, 6)
    for k, sign in enumerate((-1.0, 1.0)):
        c, s = np.cos(angle), np.sin(angle)
        scale = (np.abs(c) ** power + np.abs(s) ** power) ** (-1 / power)
        x = eyes[k, 0] + sign * 2.0 + width * scale * c
        y = eyes[k, 1] + drop + height * scale * s
        z = plane_z + 0.10 * np.abs(x) ** 1.35 * 0.35
        loop = np.stack([x, y, z], 1).astype(np.float32)
        rims.append(tube(loop, thick, closed=True))
        center = loop.mean(0)
        fan = np.array([[0, i + 1, (i + 1) % 28 + 1] for i in range(28)], dtype=np.int32)
        bulge = np.vstack([center - (0, 0, 1.0), loop])
        tilt = np.stack(
            [0.012 * (bulge[:, 0] - center[0]), 0.012 * (bulge[:, 1] - center[1]), -np.ones(29)], 1
        )
        lenses.append(Mesh(bulge.astype(np.float32), tilt.astype(np.float32), fan))
        outer = loop[np.argmax(sign * loop[:, 0])]
        ear = ears[k] + (sign * 2.0, 0, 0)
        line = np.linspace(outer, ear, 8).astype(np.float32)
        line[1:-1, 0] += sign * 4.0
        sides.append(tube(line, (thick, thick), closed=False))
    inner_right = rims[0].vertices[np.argmax(rims[0].vertices[:, 0])]
    inner_left = rims[1].vertices[np.argmin(rims[1].vertices[:, 0])]
    bridge = np.linspace(inner_right, inner_left, 7).astype(np.float32)
    bridge[:, 1] -= 3.0 * np.sin(np.linspace(0, np.pi, 7)) + 2.0
    return merge([*rims, tube(bridge, thick, closed=False), *sides]), merge(lenses)


def hair_curtain(
    rng: np.random.Generator, head_center: Floats, head_radius: float, amount: float
) -> Mesh:
    """Long hair: a wavy surface hanging from the crown, open around the face."""
    opening = np.radians(rng.uniform(58, 95))
    columns, rows = 72, 18
    phi = np.linspace(opening, 2 * np.pi - opening, columns)
    fall = np.linspace(0, 1, rows)
    length = 90 + 190 * amount
    wave = rng.uniform(0, 4)
    phase, beat = rng.uniform(0, 6.3), rng.integers(3, 9)
    p, t = np.meshgrid(phi, fall)
    curl = wave * np.sin(beat * p + phase + 5 * t)
    radius = head_radius * (1.02 + 0.10 * np.sin(np.pi * np.minimum(t * 1.4, 1.0))) + curl
    x = head_center[0] + radius * np.sin(p) * 0.92
    z = head_center[2] - radius * np.cos(p) * (0.9 + 0.2 * (np.cos(p) < 0))
    y = head_center[1] - 0.35 * head_radius + t * length
    vertices = np.stack([x, y, z], -1).reshape(-1, 3)
    normals = np.stack([np.sin(p), -0.15 * np.ones_like(p), -np.cos(p)], -1).reshape(-1, 3)
    return Mesh(
        vertices.astype(np.float32),
        normals.astype(np.float32),
        grid_triangles(rows, columns, closed=False),
    )


def torso(rng: np.random.Generator, neck_y: float, center: Floats) -> Mesh:
    """Shoulders and chest below the neck: a stack of widening ellipses."""
    broad = rng.uniform(165, 215)
    heights = np.array([0, 12, 30, 60, 120, 260], dtype=np.float32)
    widths = np.array([0.42, 0.62, 0.85, 0.97, 1.0, 1.0]) * broad
    depths = np.array([0.35, 0.42, 0.48, 0.52, 0.55, 0.55]) * broad
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.stack([np.cos(angle), np.zeros(40), np.sin(angle)], -1)
    vertices = np.stack(
        [
            center + (0, neck_y - center[1] + h, 0) + ring * (w, 1, d)
            for h, w, d in zip(heights, widths, depths, strict=True)
        ]
    ).reshape(-1, 3)
    normals = np.tile(ring + (0, -0.35, 0), (len(heights), 1, 1)).reshape(-1, 3)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Mesh(
        vertices.astype(np.float32), normals.astype(np.float32), grid_triangles(6, 40, closed=True)
    )
