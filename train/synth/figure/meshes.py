"""Triangle meshes in the head frame, and the shapes that several modules need."""

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


def sphere_cap(
    center: Floats, radius: float, *, reach: float = np.pi / 2, rings: int = 16, sectors: int = 24
) -> Mesh:
    """The front of a sphere, to ``reach`` radians around the head frame's −z (out of the face)."""
    theta = np.linspace(0, reach, rings, dtype=np.float32)
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
    row = np.arange(rows - 1)[:, None] * columns
    column = np.arange(columns if closed else columns - 1)
    a, b = row + column, row + (column + 1) % columns
    faces = np.stack([a, b, a + columns, b, b + columns, a + columns], -1)
    return np.asarray(faces.reshape(-1, 3), np.int32)


def cross(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """Cross products (..., 3) of vectors (..., 3): numpy's own takes four times as long."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def merge(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one."""
    starts = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        np.vstack([m.vertices for m in meshes]),
        np.vstack([m.normals for m in meshes]),
        np.vstack([m.triangles + s for m, s in zip(meshes, starts, strict=True)]).astype(np.int32),
    )
