"""The order of triangles, and what is left out of a picture because none of it would be seen."""

from __future__ import annotations

import numpy as np
import pytest

from train.synth.figure.meshes import Mesh, cross, grid_triangles
from train.synth.render.buffers import REMEMBERED, together
from train.synth.render.gl import clip_matrix
from train.synth.render.renderer import _reaches
from train.synth.worn.fitting import Part


def computed(faces: np.ndarray) -> int:
    """Vertices that a rasteriser computes which remembers one a slot, 1023 corners at a time."""
    count, corners = 0, faces.reshape(-1)
    for start in range(0, len(corners), 3 * REMEMBERED):
        slots = np.full(256, -1)
        for corner in corners[start : start + 3 * REMEMBERED].tolist():
            count += slots[corner % 256] != corner
            slots[corner % 256] = corner
    return count


def test_triangles_that_lie_together_follow_each_other(kit):
    faces = kit.triangles[:12_000]
    ordered = together(faces, kit.neutral)
    assert sorted(map(tuple, ordered.tolist())) == sorted(map(tuple, faces.tolist()))
    assert computed(ordered) < 0.8 * computed(faces)
    few = faces[:300]
    assert together(few, kit.neutral) is few


@pytest.mark.parametrize(
    ("offset", "seen"),
    [
        ((0, 0, 0), True),
        ((70, 0, 0), True),
        ((130, 0, 0), False),
        ((-130, 0, 0), False),
        ((0, 130, 0), False),
        ((0, -130, 0), False),
        ((100, 0, 0), False),
        ((100, 0, 400), True),
    ],
)
def test_what_lies_beyond_an_edge_of_the_window_is_not_drawn(offset, seen):
    """A window of 100 mm at 600 mm; far away it shows more."""
    camera = np.array([[600.0, 0, 49.5], [0, 600, 49.5], [0, 0, 1]])
    clip = clip_matrix(camera, (0, 0, 100, 100))
    view = np.eye(4)
    view[:3, 3] = 0, 0, 600
    corners = np.array([[-25, -25, 0], [25, -25, 0], [25, 25, 0]], np.float32)
    places = (corners + np.array(offset)).astype(np.float32)
    mesh = Mesh(places, corners, np.array([[0, 1, 2]], np.int32))
    part = Part(mesh, np.ones(3, np.float32), gloss=5.0, specular=0.0)
    assert _reaches(part, clip @ view) is seen


def test_grids_and_cross_products():
    assert grid_triangles(2, 3, closed=False).tolist() == [
        [0, 1, 3],
        [1, 4, 3],
        [1, 2, 4],
        [2, 5, 4],
    ]
    assert grid_triangles(2, 3, closed=True)[-2:].tolist() == [[2, 0, 5], [0, 3, 5]]
    a, b = np.random.default_rng(1).normal(size=(2, 5, 3))
    assert cross(a, b) == pytest.approx(np.cross(a, b))
    assert cross(a, b[0]) == pytest.approx(np.cross(a, b[0]))
