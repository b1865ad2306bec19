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
from train.synth.render.gl import FINER, Context, set_uniform
from train.synth.render.lashes import LashShapes
from train.synth.render.posing import Posed
from train.synth.render.scene import Scene

MESH_EYE_RADIUS_MM = 15.3
SHUT_MM = 0.6
"""Lids whose landmarks are nearer to each other than this touch."""
FAR_FACE_PX = 110.0
"""Faces smaller than this get coarse hair and no tear film."""


class Eyes:
    """The eyes of whoever is on the head's arrays; light and camera are set by the renderer."""

    def __init__(
        self, context: Context, kit: FaceKit, programs: Mapping[str, Any], head: HeadArrays
    ) -> None:
        self._context, self._kit, self._head = context, kit, head
        self._eye, self._wet, self._lash = (programs[name] for name in ("eye", "wet", "lash"))
        self._balls: Batch | None = None
        self._person: Person | None = None
        self._shapes = LashShapes(kit)
        self._strands = context.gl.buffer(reserve=self._shapes.count * 16, dynamic=True)
        index = context.gl.buffer(self._shapes.triangles)
        self._lashes = context.array(self._lash, [(self._strands, "4f", "strand")], index)

    def draw(self, person: Person, scene: Scene, posed: Posed) -> None:
        """Both eyeballs, and the film of tears along the lids."""
        program = self._eye
        rng = scene.streams("eye shading")
        rotate, move = scene.camera_from_head, scene.face_center_mm
        iris: NDArray[np.floating[Any]] = person.iris_colors
        if scene.lighting.near_infrared:  # melanin hardly absorbs there: all irises are mid-grey
            iris = 0.35 * iris + 0.65 * np.array([0.16, 0.16, 0.16])
        look = person.eyes
        uniforms = {
            "wrap": np.array([0.25, 0.18, 0.15]),
            "head_up": rotate @ np.array([0.0, -1.0, 0.0]),
            "iris_color": iris[0],
            "iris_color_2": iris[1],
            "sclera_color": person.sclera_color,
            "skin_color": person.skin.base_color,
            "iris_radius": person.iris_radius_mm,
            "pupil_radius": pupil_radius(person, scene),
            "limbus": look.limbus_mm,
            "iris_look": np.array([look.ring, look.ring_mm, look.collarette, look.fibres]),
            "pattern": np.array(look.pattern),
            "redness": float(np.clip(look.redness + rng.normal(0, 0.12), 0, 1)),
            "caruncle": look.caruncle,
            "wetness": look.wetness * float(rng.uniform(0.8, 1.25)),
            "lid_shadow": float(rng.uniform(0.5, 1.0)),
            "pixel_mm": pixel_mm(scene),
            "light_shape": light_shapes(scene),
        }
        for name, value in uniforms.items():
            set_uniform(program, name, value)
        balls = self._balls_of(person)
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
            set_uniform(program, "shut", float(top - bottom < SHUT_MM))
            set_uniform(program, "eye_center", rotate @ center + move)
            set_uniform(program, "eye_axis", rotate @ posed.axes[eye])
            set_uniform(program, "nose_side", rotate[:, 0] * (1.0 if eye == 0 else -1.0))
            balls.draw(program, eye)
        if scene.face_px > FAR_FACE_PX:
            wet = self._wet
            set_uniform(wet, "skin_color", person.skin.base_color)
            self._context.blending(True)
            self._head.wet.render()
            self._context.blending(False)

    def draw_lashes(self, person: Person, scene: Scene, posed: Posed) -> None:
        """Blended over whatever is drawn behind them."""
        toward = scene.camera_from_head.T @ -scene.face_center_mm
        toward /= np.linalg.norm(toward)
        self._strands.write(self._shapes.vertices(person, posed.vertices, toward, pixel_mm(scene)))
        set_uniform(self._lash, "base_color", person.eyes.lash_color)
        set_uniform(self._lash, "face_ahead", -scene.camera_from_head[:, 2])
        self._context.blending(True)
        self._lashes.render()
        self._context.blending(False)

    def _balls_of(self, person: Person) -> Batch:
        """Both eyeballs as meshes, kept while the same person is drawn."""
        if self._person is not person or self._balls is None:
            if self._balls is not None:
                self._balls.release()
            caps = [
                meshes.sphere_cap(center, MESH_EYE_RADIUS_MM, reach=1.3, rings=11, sectors=20)
                for center in person.eye_meshes
            ]
            self._balls = Batch(self._context, [self._eye], caps)
            self._person = person
        return self._balls


def pixel_mm(scene: Scene) -> float:
    """Millimetres of the face that a drawn pixel shows."""
    return float(scene.face_center_mm[2] / scene.camera_matrix[0, 0] / FINER)


def pupil_radius(person: Person, scene: Scene) -> float:
    """As seen through the cornea, mm; some irises leave it less room."""
    return min(scene.pupil_radius_mm * person.eyes.pupil_scale, 0.68 * person.iris_radius_mm)


def light_shapes(scene: Scene) -> NDArray[np.float64]:
    """(3, 3) how each light looks in a mirror: height over width, bars, 0 round to 1 square."""
    rng = scene.streams("catch lights")
    tall = np.exp(rng.uniform(-0.4, 0.5, 3))
    square, barred = rng.random(3), rng.random(3)
    small = np.array([light.size_rad < 0.06 for light in scene.lighting.lights])
    flat = (square < 0.65) & ~small
    bars = 0.8 * (flat & (barred < 0.4) & (scene.lighting.kind == "window"))
    return np.stack([np.where(flat, tall, 1.0), bars, flat.astype(float)], 1)
