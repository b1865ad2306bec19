"""Coarser triangles over the same vertices: a software rasteriser pays per triangle.

FaceKit's face has a vertex every 2 mm.  Seen at 1 px per mm its triangles are smaller than the
blocks in which pixels are shaded, and most of the work is thrown away.  Here close vertices are
merged into one of them, less around eyes and lips, whose shape matters for gaze.
"""

from __future__ import annotations

import heapq

import numpy as np
import scipy.sparse
import scipy.spatial
from numpy.typing import NDArray

from train.synth.figure.facekit import PARTS, FaceKit

FINE_LANDMARKS = (*range(36, 48), *range(48, 68), 31, 33, 35)
"""Eyes, lips and nostrils."""


def coarse_triangles(
    kit: FaceKit, *, spacing_cm: float, fine_cm: float, eyes_cm: float
) -> NDArray[np.int32]:
    """Triangles of the face, head and eye sockets with merged vertices.

    ``spacing_cm`` is the distance between kept vertices in general, ``fine_cm`` around the lips
    and nostrils, ``eyes_cm`` around the lids (about a cm around each landmark).
    """
    count = PARTS["head"][1]
    points = kit.neutral[:count].astype(np.float64)
    eyes = points[kit.landmarks[36:48]]
    fine = points[kit.landmarks[list(FINE_LANDMARKS)]]
    to_eye = scipy.spatial.cKDTree(eyes).query(points)[0]
    to_fine = scipy.spatial.cKDTree(fine).query(points)[0]
    radius = np.full(count, spacing_cm)
    radius = np.minimum(radius, fine_cm + (spacing_cm - fine_cm) * np.clip(to_fine - 0.9, 0, 1))
    radius = np.minimum(radius, eyes_cm + (spacing_cm - eyes_cm) * np.clip(to_eye - 0.8, 0, 1))
    faces = kit.triangles[(kit.triangles < count).all(1)]
    merged = _merged(points, faces, radius, kit.landmarks)[faces]
    a, b, c = merged.T
    merged = merged[(a != b) & (b != c) & (a != c)]
    # A triangle may come twice, from two fine ones: keep one.
    _, first = np.unique(np.sort(merged, 1), axis=0, return_index=True)
    merged = merged[np.sort(first)]
    # Merging can turn a small triangle over: it is drawn from both sides, or it would be a hole.
    fine_normals = _vertex_normals(points, faces)
    p = points[merged]
    facing = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    same = np.einsum("ij,ij->i", facing, fine_normals[merged].sum(1)) > 0
    sockets = np.zeros(len(kit.neutral), bool)
    for side in ("left", "right"):
        sockets[slice(*PARTS[f"eye_socket_{side}"])] = True
    rest = kit.triangles[sockets[kit.triangles].all(1)]
    return np.vstack([merged, merged[~same][:, ::-1], rest]).astype(np.int32)


def _merged(
    points: NDArray[np.float64],
    faces: NDArray[np.int32],
    radius: NDArray[np.float64],
    first: NDArray[np.int32],
) -> NDArray[np.int64]:
    """The kept vertex that stands for each vertex, near along the surface.

    Distances along edges and not through the air: closed lips and lids stay apart.
    """
    ends = np.vstack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    length = np.linalg.norm(points[ends[:, 0]] - points[ends[:, 1]], axis=1)
    count = len(points)
    graph = scipy.sparse.csr_matrix((length, (ends[:, 0], ends[:, 1])), shape=(count, count))
    graph = graph.maximum(graph.T).tocsr()
    starts, targets, lengths = graph.indptr, graph.indices, graph.data
    best = np.full(count, np.inf)
    owner = np.arange(count)
    for index in (*first.tolist(), *np.argsort(radius, kind="stable").tolist()):
        if best[index] < np.inf:
            continue
        queue, limit = [(0.0, index)], radius[index]
        while queue:
            distance, vertex = heapq.heappop(queue)
            if distance > best[vertex] or (distance == best[vertex] and owner[vertex] != index):
                continue
            best[vertex], owner[vertex] = distance, index
            for k in range(starts[vertex], starts[vertex + 1]):
                further = distance + lengths[k]
                if further <= limit and further < best[targets[k]]:
                    heapq.heappush(queue, (further, int(targets[k])))
    return owner


def _vertex_normals(
    points: NDArray[np.float64], triangles: NDArray[np.int32]
) -> NDArray[np.float64]:
    p = points[triangles]
    normals = np.zeros_like(points)
    facing = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    for k in range(3):
        np.add.at(normals, triangles[:, k], facing)
    return np.asarray(normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12))
