"""What worn things share: parts, measures of a head, and points that follow a person's surface.

Every identity shares one mesh, so a point laid once on the mean head follows each person and each
expression as a fixed mixture of a few vertices (:class:`Binding`).  Hats, masks and clothes start
from such points.  All coordinates are in the head frame (millimetres: x to the person's left,
y down, z into the head).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.spatial
from numpy.typing import NDArray

from train.synth.figure.facekit import HEAD_FROM_FACEKIT, NARROW_FACE_VERTICES, PARTS, FaceKit
from train.synth.figure.meshes import Mesh, cross, grid_triangles

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Numbers = NDArray[np.float64]

SKULL_CENTER = np.array([0.0, -40.0, 88.0])
"""Middle of the mean head's skull; hats are laid out by direction from here."""


BUST_CENTER = np.array([0.0, 125.0, 112.0])
FACE_AXIS_Z = 60.0


@dataclass(frozen=True, slots=True)
class Part:
    """One surface of a worn or held thing, of one material."""

    mesh: Mesh
    """Head frame, normals outwards."""
    color: Floats
    """(3,) linear light."""
    gloss: float
    """Sharpness of the highlight: 5 cloth to 120 plastic and metal."""
    specular: float
    """Strength of the highlight: 0 cloth to 1.5 metal."""
    pattern: float = 0.0
    """0 plain, above 0 the scale of a cloth's pattern."""
    alpha: float = 1.0
    """Below 1 it is a lens, drawn last and blended."""
    reflection: float = 0.0
    """How strongly a lens mirrors the room."""
    shadow: bool = True
    hides: bool = True
    """Counts as hiding what is behind it (clear lenses do not, dark ones do)."""
    eyewear: bool = False
    """A part of glasses, which the classes of pixels tell from all else that hides a face."""


def rgb(*values: float) -> Floats:
    """A linear colour (3,)."""
    return np.array(values, np.float32)


@dataclass(frozen=True, slots=True)
class Binding:
    """Points as mixtures of vertices."""

    indices: Ints
    """(n, k) vertices of each point."""
    weights: Floats
    """(n, k), each row sums to 1."""

    def __call__(self, vertices: Floats) -> Floats:
        """The points (n, 3) on a person, ``vertices`` (26719, 3)."""
        return np.asarray((vertices[self.indices] * self.weights[..., None]).sum(1))


def bind(
    cloud: scipy.spatial.cKDTree, wanted: NDArray[np.floating], ids: Ints, width: float
) -> Binding:
    """Bind ``wanted`` (n, d) to the nearest of ``cloud`` (m points), the vertices ``ids`` (m,)."""
    distance, nearest = cloud.query(wanted, k=6)
    width_each = np.maximum(width, distance[:, 1:2])
    weights = np.exp(-((distance / width_each) ** 2)) + 1e-9
    weights /= weights.sum(1, keepdims=True)
    return Binding(ids[nearest].astype(np.int32), weights.astype(np.float32))


def directions(azimuth: Numbers, elevation: Numbers) -> Numbers:
    """Unit vectors (..., 3): azimuth 0 is out of the face, positive to the person's left."""
    level = np.cos(elevation)
    return np.stack(
        [np.sin(azimuth) * level, -np.sin(elevation), -np.cos(azimuth) * level], axis=-1
    )


class Anatomy:
    """Vertices of the mean head by what they are; made once per process."""

    def __init__(self, kit: FaceKit) -> None:
        self.kit = kit
        marks = kit.neutral[kit.landmarks]
        origin = (marks[[36, 39, 42, 45]].mean(0) + marks[[31, 35]].mean(0)) / 2
        self.neutral = ((kit.neutral - origin) @ HEAD_FROM_FACEKIT).astype(np.float32)
        outer = self.neutral[: PARTS["head"][1]]
        x, y, z = np.abs(outer[:, 0]), outer[:, 1], outer[:, 2]
        ids = np.arange(len(outer), dtype=np.int32)
        away = np.hypot((z - 100) / 24, (y + 0) / 38)
        self.ear = ids[(away < 1) & (x > 74)]
        """Vertices of both ears' shells."""
        near_ear = (away < 1.05) & (x > 60)
        self.skull = ids[(~near_ear) & (y < 95)]
        """Outside of the head without ears, neck and shoulders."""
        self.scalp = ids[(y < -60) & (z > 20)]
        narrow = ids < NARROW_FACE_VERTICES
        self.front = ids[narrow & (x < 72) & (y > -80) & (y < 40) & (z < 48)]
        """The middle of the face, for what must clear it."""
        self.side = ids[(x > 45) & (y > -60) & (y < 60) & (z > 0) & (z < 140) & ~near_ear]
        """Temples and cheeks up to the ears and behind them."""
        self.lower_face = self._outermost(
            ids[narrow & (y > -40) & (y < 110) & (z < 90) & ~near_ear]
        )
        """The face below the eyes, without what lies behind something (nostrils, lips' insides)."""
        self.bust = ids[(y > 95) & ((x < 115) | (y > 140))]
        tree = scipy.spatial.cKDTree
        self._tree = tree(outer)
        self._skull_rays = tree(_unit(self.neutral[self.skull] - SKULL_CENTER))
        self._bust_rays = tree(_unit(self.neutral[self.bust] - BUST_CENTER))
        p = self.neutral[self.lower_face]
        flat = np.stack([np.arctan2(p[:, 0], FACE_AXIS_Z - p[:, 2]) * 70, p[:, 1]], 1)
        self._flat_face = tree(flat)

    def _outermost(self, ids: Ints) -> Ints:
        """Those of ``ids`` that no other vertex lies well in front of, seen from around."""
        p = self.neutral[ids]
        flat = np.stack([np.arctan2(p[:, 0], FACE_AXIS_Z - p[:, 2]) * 70, p[:, 1]], 1)
        radius = np.hypot(p[:, 0], FACE_AXIS_Z - p[:, 2])
        near = scipy.spatial.cKDTree(flat).query(flat, k=10)[1]
        return np.asarray(ids[radius > radius[near].max(1) - 4.0])

    def vertex(self, x: float, y: float, z: float) -> int:
        """The outer vertex nearest to a place on the mean head."""
        return int(self._tree.query((x, y, z))[1])

    def nearest(self, places: NDArray[np.floating]) -> Ints:
        """The outer vertices (n,) nearest to places (n, 3) on the mean head."""
        return np.asarray(self._tree.query(places)[1], np.int32)

    def around_skull(self, azimuth: Numbers, elevation: Numbers) -> Binding:
        """Points where rays from the skull's middle leave the mean head (ears apart)."""
        wanted = directions(azimuth, elevation).reshape(-1, 3)
        return bind(self._skull_rays, wanted, self.skull, 0.05)

    def around_bust(self, azimuth: Numbers, elevation: Numbers) -> Binding:
        """Points where rays from :data:`BUST_CENTER` leave the mean neck and shoulders."""
        wanted = directions(azimuth, elevation).reshape(-1, 3)
        return bind(self._bust_rays, wanted, self.bust, 0.05)

    def around_face(self, turn: Numbers, height: Numbers) -> Binding:
        """Points of the mean face by angle about the upright axis at :data:`FACE_AXIS_Z`, and y.

        ``turn`` in radians (0 at the front, positive to the person's left), ``height`` in mm.
        """
        wanted = np.stack([turn.ravel() * 70, height.ravel()], 1)
        return bind(self._flat_face, wanted, self.lower_face, 3.0)

    def skull_center(self, calm: Floats) -> Floats:
        """The middle of this person's skull (3,)."""
        moved = calm[self.scalp].mean(0) - self.neutral[self.scalp].mean(0)
        return np.asarray(SKULL_CENTER + moved, np.float32)


_ANATOMIES: dict[int, Anatomy] = {}


def anatomy(kit: FaceKit) -> Anatomy:
    """The :class:`Anatomy` of a face model (kept, so that a model is looked over once)."""
    if id(kit) not in _ANATOMIES:
        _ANATOMIES[id(kit)] = Anatomy(kit)
    return _ANATOMIES[id(kit)]


# -- surfaces -----------------------------------------------------------------------------------


@cache
def lattice(rows: int, columns: int, *, closed: bool) -> Ints:
    """Triangles of a grid of vertices, kept; see ``figure.meshes.grid_triangles``."""
    return grid_triangles(rows, columns, closed=closed)


def grid_normals(
    points: NDArray[np.floating], *, closed: bool, toward: NDArray[np.floating]
) -> Floats:
    """Unit normals (rows, columns, 3) of a grid of points, on the side away from ``toward``.

    ``toward`` (3,) is a place inside the thing, or (rows, columns, 3) one for each point.
    """
    if closed:
        along = np.roll(points, -1, 1) - np.roll(points, 1, 1)
    else:
        along = np.gradient(points, axis=1)
    normals = _unit(cross(along, np.gradient(points, axis=0)))
    outwards = ((points - toward) * normals).sum(-1, keepdims=True)
    if toward.ndim == 1:  # one sign for the whole sheet, so that folds keep theirs
        return np.asarray(normals * np.sign(outwards.sum()), np.float32)
    return np.asarray(normals * np.sign(outwards), np.float32)


def surface(points: NDArray[np.floating], *, closed: bool, toward: NDArray[np.floating]) -> Mesh:
    """A mesh of a grid of points (rows, columns, 3); see :func:`grid_normals`."""
    rows, columns = points.shape[:2]
    normals = grid_normals(points, closed=closed, toward=toward)
    return Mesh(
        points.reshape(-1, 3).astype(np.float32),
        normals.reshape(-1, 3),
        lattice(rows, columns, closed=closed),
    )


def sheet(
    points: NDArray[np.floating],
    thickness: float,
    *,
    closed: bool,
    toward: NDArray[np.floating],
) -> Mesh:
    """A sheet with two sides, ``thickness`` mm apart, joined along its first and last rows."""
    normals = grid_normals(points, closed=closed, toward=toward)
    outer, inner = points + normals * thickness / 2, points - normals * thickness / 2
    edge = normals[-1] * 0.5 + _unit(points[-1] - points[-2])
    first = normals[0] * 0.5 + _unit(points[0] - points[1])
    vertices = np.vstack([outer, inner[::-1], outer[:1]])
    shading = np.vstack([normals, -normals[::-1], normals[:1]])
    rows = len(points)
    shading[rows - 1], shading[0] = _unit(edge), _unit(first)
    shading[-1] = shading[0]
    return Mesh(
        vertices.reshape(-1, 3).astype(np.float32),
        shading.reshape(-1, 3).astype(np.float32),
        lattice(len(vertices), points.shape[1], closed=closed),
    )


def _unit(v: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(v / (np.sqrt(np.einsum("...i,...i", v, v))[..., None] + 1e-9))


def sweep(
    path: NDArray[np.floating],
    across: NDArray[np.floating],
    third: NDArray[np.floating],
    radii: NDArray[np.floating],
    *,
    closed: bool = False,
    sides: int = 8,
    square: float = 2.0,
) -> Mesh:
    """A bar along ``path`` (n, 3) with half sizes ``radii`` (n, 2) along ``across``, ``third``.

    ``across`` and ``third`` (n, 3) are unit vectors; ``square`` 2 gives ellipses as sections,
    more gives rounded rectangles.  An open bar is closed by its last ring shrinking to a point.
    """
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False) + np.pi / sides
    c, s = np.cos(angle), np.sin(angle)
    scale = (np.abs(c) ** square + np.abs(s) ** square) ** (-1 / square)
    a, b = (scale * c)[None, :, None], (scale * s)[None, :, None]
    if not closed:
        path = np.concatenate([path[:1], path, path[-1:]])
        across, third = (np.concatenate([v[:1], v, v[-1:]]) for v in (across, third))
        radii = np.concatenate([0 * radii[:1], radii, 0 * radii[-1:]])
    ring = a * radii[:, None, :1] * across[:, None] + b * radii[:, None, 1:] * third[:, None]
    bulge = np.abs(np.concatenate([c[:, None], s[:, None]], 1)) ** (square - 1)
    bulge = bulge * np.sign(np.stack([c, s], 1))
    safe = np.maximum(radii, 1e-3)
    normals = bulge[None, :, :1] / safe[:, None, :1] * across[:, None]
    normals = _unit(normals + bulge[None, :, 1:] / safe[:, None, 1:] * third[:, None])
    points = path[:, None] + ring
    if closed:  # the first ring again, so that one lattice does for both
        points, normals = (np.concatenate([v, v[:1]]) for v in (points, normals))
    return Mesh(
        points.reshape(-1, 3).astype(np.float32),
        normals.reshape(-1, 3).astype(np.float32),
        lattice(len(points), sides, closed=True),
    )


def bar(
    path: NDArray[np.floating],
    radii: NDArray[np.floating],
    *,
    up: Sequence[float] = (0.0, -1.0, 0.0),
    sides: int = 8,
    square: float = 2.0,
) -> Mesh:
    """A bar along an open ``path``; ``radii`` (n, 2) sideways and along ``up``."""
    ahead = _unit(np.gradient(path, axis=0))
    across = _unit(cross(ahead, np.asarray(up)))
    return sweep(path, across, cross(across, ahead), radii, sides=sides, square=square)


@cache
def _ball(rings: int, sectors: int) -> tuple[Numbers, Ints]:
    theta, phi = np.meshgrid(
        np.linspace(0, np.pi, rings),
        np.linspace(0, 2 * np.pi, sectors, endpoint=False),
        indexing="ij",
    )
    unit = np.stack(
        [np.sin(theta) * np.cos(phi), np.cos(theta), np.sin(theta) * np.sin(phi)], -1
    ).reshape(-1, 3)
    return unit, lattice(rings, sectors, closed=True)


def ellipsoid(
    center: NDArray[np.floating],
    axes: NDArray[np.floating],
    *,
    rings: int = 6,
    sectors: int = 8,
) -> Mesh:
    """An ellipsoid; the rows of ``axes`` (3, 3) are its half axes."""
    unit, triangles = _ball(rings, sectors)
    inverse = np.linalg.inv(axes).T
    return Mesh(
        (center + unit @ axes).astype(np.float32),
        _unit(unit @ inverse).astype(np.float32),
        triangles,
    )


# -- colours ------------------------------------------------------------------------------------

CLOTH_SRGB = np.array(
    [
        [20, 20, 22],
        [45, 46, 50],
        [110, 112, 116],
        [190, 190, 190],
        [240, 240, 236],
        [24, 34, 66],
        [40, 70, 130],
        [110, 150, 200],
        [130, 24, 32],
        [190, 50, 50],
        [60, 90, 56],
        [90, 96, 60],
        [196, 176, 140],
        [110, 76, 50],
        [220, 170, 60],
        [230, 170, 180],
        [110, 60, 120],
        [40, 120, 120],
    ],
    np.float32,
)
"""Colours that clothes are sold in (sRGB)."""
_CLOTH_SHARES = np.array([10, 7, 6, 4, 8, 8, 6, 4, 3, 3, 3, 3, 4, 3, 2, 2, 1, 2], float)
_HAT_SHARES = np.array([5, 4, 4, 3, 6, 2, 1, 1, 1, 1, 1, 3, 12, 7, 1, 1, 1, 1], float)


def dye(rng: np.random.Generator, *, hat: bool = False) -> Floats:
    """A cloth's colour (3,), linear; ``hat`` leans to straw and felt.  Always three draws."""
    shares = _HAT_SHARES if hat else _CLOTH_SHARES
    pick, tone = rng.random(), rng.normal(1.0, 0.12)
    shift = rng.normal(0, 9, 3)
    srgb = CLOTH_SRGB[int(np.searchsorted(np.cumsum(shares / shares.sum()), pick))]
    srgb = np.clip(srgb * tone + shift, 6, 245)
    return np.asarray((srgb / 255) ** 2.2, np.float32)


def weave(rng: np.random.Generator, share: float, low: float, high: float) -> float:
    """A cloth's pattern for a ``share`` of things, else 0.  Always two draws."""
    chosen, scale = rng.random(), rng.uniform(low, high)
    return float(scale) if chosen < share else 0.0
