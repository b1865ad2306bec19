"""Draws eyeballs, tear film and lashes with OpenGL; the lids are part of the skin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.synth.figure import meshes
from train.synth.figure.facekit import FaceKit
from train.synth.figure.people import Person
from train.synth.render.buffers import Batch, HeadArrays
from train.synth.render.gl import Context, set_uniform
from train.synth.render.posing import Posed
from train.synth.render.scene import Scene

MESH_EYE_RADIUS_MM = 15.3
FAR_FACE_PX = 110.0
"""Faces smaller than this get coarse hair and no tear film."""


class Eyes:
    """The eyes of whoever is on the head's arrays; light and camera are set by the renderer."""

    def __init__(
        self, context: Context, kit: FaceKit, programs: Mapping[str, Any], head: HeadArrays
    ) -> None:
        self._context, self._kit, self._head = context, kit, head
        self._eye, self._wet, self._lash = (programs[name] for name in ("eye", "wet", "lash"))

    def draw(self, person: Person, scene: Scene, posed: Posed) -> None:
        """Both eyeballs, and the film of tears along the lids."""
        program = self._eye
        rng = scene.streams("eye shading")
        rotate, move = scene.camera_from_head, scene.face_center_mm
        iris: NDArray[np.floating[Any]] = person.iris_colors
        if scene.lighting.near_infrared:  # melanin hardly absorbs there: all irises are mid-grey
            iris = 0.35 * iris + 0.65 * np.array([0.16, 0.16, 0.16])
        uniforms = {
            "wrap": np.array([0.25, 0.18, 0.15]),
            "head_up": rotate @ np.array([0.0, -1.0, 0.0]),
            "iris_color": iris[0],
            "iris_color_2": iris[1],
            "sclera_color": person.sclera_color,
            "iris_radius": person.iris_radius_mm,
            "pupil_radius": scene.pupil_radius_mm,
            "limbus_width": float(rng.uniform(0.4, 1.1)),
            "vessels": float(rng.uniform(0, 0.7)),
            "wetness": float(rng.uniform(0.5, 1.3)),
            "lid_shadow": float(rng.uniform(0.55, 1.0)),
        }
        for name, value in uniforms.items():
            set_uniform(program, name, value)
        marks = posed.vertices[self._kit.landmarks]
        for eye, upper, lower, corners in (
            (0, (37, 38), (40, 41), (36, 39)),
            (1, (43, 44), (46, 47), (42, 45)),
        ):
            center = person.eye_centers[eye]
            top = float(center[1] - marks[list(upper), 1].mean())
            bottom = float(center[1] - marks[list(lower), 1].mean())
            half = float(np.abs(marks[list(corners), 0] - center[0]).mean())
            set_uniform(program, "lid_line", np.array([top, bottom, half, 0.0]))
            set_uniform(program, "eye_center", rotate @ center + move)
            set_uniform(program, "eye_axis", rotate @ posed.axes[eye])
            set_uniform(program, "nose_side", rotate[:, 0] * (1.0 if eye == 0 else -1.0))
            self._draw_mesh(program, meshes.sphere_cap(person.eye_meshes[eye], MESH_EYE_RADIUS_MM))
        if scene.face_px > FAR_FACE_PX:
            wet = self._wet
            set_uniform(wet, "skin_color", person.skin.base_color)
            self._context.blending(True)
            self._head.wet.render()
            self._context.blending(False)

    def draw_lashes(self, person: Person, scene: Scene) -> None:
        """Blended over whatever is drawn behind them."""
        lash = self._lash
        rng = scene.streams("lashes")
        heavy = 1.0 if person.factors["eye_shadow"] or person.factors["feminine"] else 0.7
        cover = heavy * rng.uniform(0.9, 1.5)
        set_uniform(lash, "base_color", np.minimum(person.hair_color * 0.25, 0.02))
        set_uniform(lash, "lash_cover", np.array([cover, cover * rng.uniform(0.2, 0.6)]))
        set_uniform(lash, "lash_length", heavy * float(rng.uniform(0.5, 1.1)))
        self._context.blending(True)
        self._head.lashes.render()
        self._context.blending(False)

    def _draw_mesh(self, program: Any, mesh: meshes.Mesh) -> None:
        batch = Batch(self._context, [program], [mesh])
        batch.draw(program, 0)
        batch.release()
