"""Vertex arrays: the head (static but for its positions), hair, and batches of solid things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.synth.figure.detail import coarse_triangles
from train.synth.figure.facekit import PARTS, FaceKit
from train.synth.figure.hair import Strands
from train.synth.figure.meshes import Mesh
from train.synth.render.gl import Context
from train.synth.worn.skull import Rim

SURFACES = {
    "face": 0.0,
    "head": 1.0,
    "eye_socket_left": 4.0,
    "eye_socket_right": 4.0,
    "mouth_socket": 2.0,
    "gums": 2.0,
    "teeth": 3.0,
}
"""What the skin shader takes each part for."""
INWARDS_MM = 14.0
LEVELS_PX = (90.0, 240.0)
"""Faces up to these sizes (pixels across 140 mm) get coarser triangles."""
FAR_PX = 190.0
"""Faces up to this size are shaded at their vertices."""
REMEMBERED = 341
INSIDE = ("mouth_socket", "gums", "teeth")


class HeadArrays:
    """FaceKit's mesh on the GPU: positions change per picture, the rest never or per person."""

    def __init__(
        self, context: Context, kit: FaceKit, programs: Mapping[str, Any], depth: Any
    ) -> None:
        count = len(kit.neutral)
        gl = context.gl
        self._moving = gl.buffer(reserve=count * 24, dynamic=True)
        # Below the neck the bust is a little slimmer, or it would show through what is worn.
        below_cm = np.clip((kit.neutral[kit.landmarks[8], 1] - 4.0 - kit.neutral[:, 1]) / 4.0, 0, 1)
        self._inwards = (INWARDS_MM * below_cm[:, None] ** 2).astype(np.float32)
        self._openness = gl.buffer(np.ones(count, "f4"))
        self._painted = gl.buffer(np.zeros((count, 2), "f4"))
        static = gl.buffer(np.hstack([kit.uv, _materials(kit)]).astype("f4"))
        layout = [
            (self._moving, "3f 3f", "position", "normal"),
            (static, "2f 2f", "uv", "material"),
            (self._openness, "1f", "openness"),
            (self._painted, "1f 1f", "cover", "gloss"),
        ]

        def array(program: Any, parts: Sequence[str]) -> Any:
            return of(program, kit.triangles[_chosen(count, parts)[kit.triangles].all(1)])

        def of(program: Any, faces: NDArray[np.int32]) -> Any:
            faces = together(faces, kit.neutral)
            return context.array(program, layout, gl.buffer(faces.astype("i4")))

        outside = [part for part in SURFACES if part not in INSIDE]
        levels = [
            coarse_triangles(kit, spacing_cm=0.8, fine_cm=0.25, eyes_cm=0.08),
            coarse_triangles(kit, spacing_cm=0.5, fine_cm=0.18, eyes_cm=0.03),
        ]
        levels.append(kit.triangles[_chosen(count, outside)[kit.triangles].all(1)])
        self._levels = {
            name: [of(programs[name], faces) for faces in levels] for name in ("skin", "skin_far")
        }
        self._mouths = {name: array(programs[name], INSIDE) for name in ("skin", "skin_far")}
        self.wet = array(programs["wet"], ["lacrimal_left", "lacrimal_right"])
        self.shadow = of(depth, levels[0])

    def skin(self, program: str, face_px: float) -> Any:
        """The array to draw where 140 mm of face are ``face_px`` pixels."""
        return self._levels[program][int(np.searchsorted(LEVELS_PX, face_px))]

    def mouth(self, program: str) -> Any:
        """The inside of the mouth."""
        return self._mouths[program]

    def write(self, vertices: NDArray[np.float32], normals: NDArray[np.float32]) -> None:
        """Positions and normals (26719, 3) of the next picture."""
        self._moving.write(np.hstack([vertices - self._inwards * normals, normals]))

    def set_openness(self, openness: NDArray[np.float32]) -> None:
        """(26719,) share of the sky that each vertex sees."""
        self._openness.write(openness.astype("f4"))

    def set_painted(self, cover: NDArray[np.float32], gloss: NDArray[np.float32]) -> None:
        """(26719,) each: how far hair colours the skin, and how glossy (0..1) the skin is."""
        self._painted.write(np.stack([cover, gloss], 1).astype("f4"))


def together(faces: NDArray[np.int32], vertices: NDArray[np.float32]) -> NDArray[np.int32]:
    """The triangles (N, 3) in another order: those that lie together follow each other.

    A rasteriser on a CPU remembers the vertices of some 340 triangles at a time; in FaceKit's order
    it computes a third more of them.
    """
    if len(faces) <= REMEMBERED:
        return faces
    middles = vertices[faces].mean(1)
    order = np.argsort(middles[:, np.ptp(middles, axis=0).argmax()], kind="stable")
    half = -(-len(faces) // 2 // REMEMBERED) * REMEMBERED or len(faces) // 2
    low, high = faces[np.sort(order[:half])], faces[np.sort(order[half:])]
    return np.vstack([together(low, vertices), together(high, vertices)])


def _chosen(count: int, parts: Sequence[str]) -> NDArray[np.bool_]:
    chosen = np.zeros(count, bool)
    for part in parts:
        chosen[slice(*PARTS[part])] = True
    return chosen


def _materials(kit: FaceKit) -> NDArray[np.float32]:
    material = np.zeros((len(kit.neutral), 2), np.float32)
    for part, kind in SURFACES.items():
        material[slice(*PARTS[part]), 0] = kind
    return material


class HairArray:
    """One person's hair or beard on the GPU."""

    def __init__(self, context: Context, program: Any, depth: Any, strands: Strands) -> None:
        gl = context.gl
        self.strands = strands
        self.count, self.coarse = 3 * len(strands.triangles), 3 * strands.coarse
        self.moves = bool((strands.anchor >= 0).any())
        self._position = gl.buffer(strands.vertices.astype("f4"), dynamic=self.moves)
        rest = np.hstack([strands.tangents, strands.normals, strands.uv, strands.tint[:, None]])
        self._rest = gl.buffer(rest.astype("f4"))
        self._index = gl.buffer(strands.triangles.astype("i4"), dynamic=True)
        self._hidden = False
        layout = [
            (self._position, "3f", "position"),
            (self._rest, "3f 3f 2f 1f", "tangent", "normal", "uv", "tint"),
        ]
        self.drawn = context.array(program, layout, self._index)
        self.shadow = context.array(depth, layout, self._index)

    def follow(self, moved: NDArray[np.float32]) -> None:
        """Move what is anchored by (26719, 3) offsets of the face's vertices (mm)."""
        anchor = self.strands.anchor
        offset = np.where(anchor[:, None] >= 0, moved[np.maximum(anchor, 0)], np.float32(0))
        self._position.write((self.strands.vertices + offset).astype("f4"))

    def hide_under(self, rim: Rim, center: NDArray[np.floating], *, coarse: bool) -> int:
        """Leave out what a hat covers; returns how many indices remain.

        ``rim`` says how high over the head's ``center`` the hat's lower edge is on each side.
        """
        ray = self.strands.vertices - center
        azimuth = np.arctan2(ray[:, 0], -ray[:, 2])
        elevation = np.arctan2(-ray[:, 1], np.hypot(ray[:, 0], ray[:, 2]))
        covered = elevation > rim.elevation(azimuth) + 0.02
        faces = self.strands.triangles[: self.strands.coarse if coarse else None]
        kept = faces[~covered[faces].any(1)]
        self._index.write(kept.astype("i4").tobytes())
        self._hidden = True
        return 3 * len(kept)

    def show_all(self) -> None:
        """Undo :meth:`hide_under`."""
        if self._hidden:
            self._index.write(self.strands.triangles.astype("i4").tobytes())
            self._hidden = False

    def release(self) -> None:
        """Free the buffers."""
        for thing in (self.drawn, self.shadow, self._position, self._rest, self._index):
            thing.release()


class Batch:
    """Several meshes in one buffer, drawn one by one with programs' own uniforms."""

    def __init__(self, context: Context, programs: Sequence[Any], meshes: Sequence[Mesh]) -> None:
        self._context = context
        self._ranges: list[tuple[int, int]] = []
        self._buffers: list[Any] = []
        self._arrays: dict[Any, Any] = {}
        if not meshes:
            return
        start, first, faces = 0, 0, []
        for mesh in meshes:
            faces.append(mesh.triangles + start)
            self._ranges.append((first, 3 * len(mesh.triangles)))
            start, first = start + len(mesh.vertices), first + 3 * len(mesh.triangles)
        data = np.zeros((start, 13), np.float32)
        data[:, :3] = np.vstack([mesh.vertices for mesh in meshes])
        data[:, 3:6] = np.vstack([mesh.normals for mesh in meshes])
        data[:, 10] = 1.0
        vertices = context.gl.buffer(data)
        index = context.gl.buffer(np.vstack(faces).astype("i4"))
        layout = [
            (
                vertices,
                "3f 3f 2f 2f 1f 1f 1f",
                "position",
                "normal",
                "uv",
                "material",
                "openness",
                "cover",
                "gloss",
            )
        ]
        self._buffers = [vertices, index]
        self._arrays = {p.glo: context.array(p, layout, index) for p in programs}

    def draw(self, program: Any, number: int) -> None:
        """Draw one mesh."""
        first, count = self._ranges[number]
        self._arrays[program.glo].render(vertices=count, first=first)

    def release(self) -> None:
        """Free the buffers."""
        for thing in (*self._arrays.values(), *self._buffers):
            thing.release()
