"""Draws a :class:`~train.synth.render.scene.Scene` with OpenGL (EGL), and labels it exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.synth.figure.facekit import FaceKit
from train.synth.figure.hair import strand_texture
from train.synth.figure.people import Person, face_center, to_head
from train.synth.render.buffers import FAR_PX, Batch, HairArray, HeadArrays
from train.synth.render.eyes import FAR_FACE_PX, Eyes
from train.synth.render.gl import (
    FINER,
    Context,
    Target,
    clip_matrix,
    depth_from_buffer,
    noise_texture,
    set_uniform,
)
from train.synth.render.posing import Labels, Posed, Poser
from train.synth.render.scene import Scene, Window
from train.synth.worn.glasses import glasses
from train.synth.worn.headwear import rim_of
from train.synth.worn.occluders import occluders
from train.synth.worn.skull import Head
from train.synth.worn.wearables import Part, clothes, headwear, mask

SHADOW_PX = 384
SHADOW_HALF_MM = 200.0
WEAK = 0.1
"""Share of the strongest light below which another one's shadows are not seen."""
HIDDEN_MM = 7.0
"""A landmark is hidden when something is this much nearer to the camera than the landmark."""
GLASSES = 5.0
"""Number of the class of glasses; the shaders know the others."""
UNITS = {
    "noise_map": 0,
    "shadow_map_0": 1,
    "shadow_map_1": 2,
    "skin_map": 3,
    "environment_map": 5,
    "strand_map": 6,
}
LIT = ("skin", "solid", "lens", "eye", "wet")


@dataclass(slots=True)
class Drawn:
    """One drawn person."""

    rgba: NDArray[np.float32]
    """(height, width, 4) linear light, premultiplied by the coverage."""
    window: Window
    labels: Labels
    classes: NDArray[np.uint8]
    """(height, width) what each pixel shows: 0 nothing of these, 1 skin of face and lids, 2 the
    white of an eye with its corner, 3 iris, 4 pupil, 5 glasses (a rim, or a lens too dark to see
    through; a clear one counts as what is behind it)."""


class Renderer:
    """Draws people on one OpenGL context; not shared between processes or threads.

    Raises :class:`RuntimeError` when no EGL context can be made.
    """

    def __init__(self, kit: FaceKit) -> None:
        self.context = Context()
        self.kit = kit
        self.poser = Poser(kit)
        gl = self.context.gl
        self._programs = {name: self.context.program("lit.vert", f"{name}.frag") for name in LIT}
        self._programs["skin_far"] = self.context.program("lit.vert", "skin.frag", define="FAR")
        self._programs["lash"] = self.context.program("lash.vert", "lash.frag")
        self._programs["hair"] = self.context.program("hair.vert", "hair.frag")
        self._depth = self.context.program("depth.vert", "depth.frag")
        resolve = self.context.program("whole.vert", "resolve.frag")
        for unit, name in enumerate(("light_map", "class_map", "depth_map")):
            set_uniform(resolve, name, unit)
        self._resolve = gl.vertex_array(resolve, [])
        for program in self._programs.values():
            for name, unit in UNITS.items():
                set_uniform(program, name, unit)
        self._noise = self.context.texture(noise_texture(), repeat=True, mipmaps=True)
        self._strands = self.context.texture(strand_texture(), repeat=True, mipmaps=True)
        self._shadows = [gl.depth_texture((SHADOW_PX, SHADOW_PX)) for _ in range(2)]
        self._shadow_frames = []
        for texture in self._shadows:
            texture.compare_func = ""
            texture.filter = (gl.NEAREST, gl.NEAREST)  # depths have no mean; the shader takes many
            texture.repeat_x = texture.repeat_y = False
            self._shadow_frames.append(gl.framebuffer(depth_attachment=texture))
        self._head = HeadArrays(self.context, kit, self._programs, self._depth)
        self._head.set_openness(self._bake_openness())
        self.eyes = Eyes(self.context, kit, self._programs, self._head)
        self._person: Person | None = None
        self._skin_map: Any = None
        self._hair_arrays: list[HairArray] = []
        self._environment: Any = None

    # -- one picture ------------------------------------------------------------------------

    def pose(self, person: Person, scene: Scene) -> tuple[Posed, Labels]:
        """The person as the scene has it, and its labels in the frame's pixels; draws nothing."""
        posed = self.poser.pose(person, scene)
        return posed, self.poser.label(person, scene, posed)

    def render(
        self,
        person: Person,
        scene: Scene,
        window: Window,
        pose: tuple[Posed, Labels] | None = None,
    ) -> Drawn:
        """Draw the part ``window`` of the scene's frame and label it.

        ``pose`` is what :meth:`pose` gives, where it is known already; its labels become those of
        the result.  Pixel positions in the labels are those of the frame.  Raises
        :class:`ValueError` for a window too large for one piece.
        """
        self._load_person(person)
        posed, labels = pose or self.pose(person, scene)
        self._head.write(posed.vertices, posed.normals)
        parts = self._worn(person, scene, posed)
        view = np.eye(4)
        view[:3, :3], view[:3, 3] = scene.camera_from_head, scene.face_center_mm
        programs = [self._programs["solid"], self._programs["lens"], self._depth]
        solids = Batch(self.context, programs, [part.mesh for part in parts])
        hair = self._visible_hair(person, scene, posed)
        shadows = self._draw_shadows(scene, view, solids, parts, hair)
        target = self.context.target(window[2], window[3])
        target.drawn.use()
        self.context.gl.viewport = (0, 0, FINER * window[2], FINER * window[3])
        target.drawn.clear(0.0, 0.0, 0.0, 0.0)
        clip = clip_matrix(scene.camera_matrix, window)
        self._set_common(scene, view, clip, shadows)
        self._draw_skin(person, scene, posed)
        self.eyes.draw(person, scene, posed)
        inside = [_reaches(part, clip @ view) for part in parts]
        self._draw_solids(solids, parts, inside)
        self.eyes.draw_lashes(person, scene, posed)
        self._draw_hair(person, hair)
        self._draw_lenses(solids, parts)
        solids.release()
        rgba, classes, depth = self._read(target, window)
        self._mark_hidden(labels, posed, scene, window, depth, parts)
        return Drawn(rgba, window, labels, classes)

    def _read(
        self, target: Target, window: Window
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
        """Resolve what was drawn: light (H, W, 4), classes (H, W) and the depth buffer (H, W)."""
        for unit, texture in enumerate(target.textures):
            texture.use(unit)
        target.resolved.use()
        self.context.gl.viewport = (0, 0, window[2], window[3])
        self.context.gl.disable(self.context.moderngl.DEPTH_TEST)
        self._resolve.render(vertices=3)
        self.context.gl.enable(self.context.moderngl.DEPTH_TEST)

        def read(number: int, channels: int, kind: str, dtype: type) -> NDArray[Any]:
            raw = target.resolved.read(
                viewport=(0, 0, window[2], window[3]),
                components=channels,
                attachment=number,
                alignment=1,
                dtype=kind,
            )
            return np.frombuffer(raw, dtype).reshape(window[3], window[2], -1)

        rgba = read(0, 4, "f2", np.float16).astype(np.float32)
        return rgba, read(1, 1, "f1", np.uint8)[..., 0], read(2, 1, "f4", np.float32)[..., 0]

    def _mark_hidden(
        self,
        labels: Labels,
        posed: Posed,
        scene: Scene,
        window: Window,
        depth: NDArray[np.float32],
        parts: list[Part],
    ) -> None:
        """Landmarks behind something, and irises behind lids or dark lenses, are not visible."""
        points = posed.vertices[self.kit.landmarks] @ scene.camera_from_head.T
        z = np.concatenate(
            [points[:, 2] + scene.face_center_mm[2], labels.eye_centers_mm[:, 2] - 8.0]
        )
        pixels = np.vstack([labels.landmarks_px, labels.irises_px]) - window[:2]
        x, y = pixels.round().astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < window[2]) & (y < window[3])
        x, y = np.clip(x, 0, window[2] - 1), np.clip(y, 0, window[3] - 1)
        seen = depth_from_buffer(depth[y, x])
        labels.visible = inside & (z - seen < HIDDEN_MM)
        dark = any(p.alpha < 1 and p.hides for p in parts)
        labels.visible[68:] &= (labels.openness > 0.12) & (not dark)

    # -- drawing ----------------------------------------------------------------------------

    def _set_common(self, scene: Scene, view: Any, clip: Any, shadows: Any) -> None:
        lighting = scene.lighting
        environment = self.context.texture(lighting.environment.astype(np.float32))
        environment.repeat_x = True
        if self._environment is not None:
            self._environment.release()
        self._environment = environment
        for name, texture in (
            ("noise_map", self._noise),
            ("shadow_map_0", self._shadows[0]),
            ("shadow_map_1", self._shadows[1]),
            ("skin_map", self._skin_map),
            ("environment_map", environment),
            ("strand_map", self._strands),
        ):
            texture.use(UNITS[name])
        size = np.array([light.size_rad for light in lighting.lights])
        per_mm = np.tan(np.clip(size[:2], 0.01, 0.9)) * 2.0  # depth and map share one scale
        uniforms = {
            "irradiance_sh": lighting.irradiance,
            "light_direction": np.array([light.direction for light in lighting.lights]),
            "light_color": np.array([light.color for light in lighting.lights]),
            "light_size": size,
            "near_infrared": 1.0 if lighting.near_infrared else 0.0,
            "camera_from_model": view,
            "clip_from_camera": clip,
            "shadow_from_camera": shadows,
            "shadow_radius": per_mm,
            "wrap": np.zeros(3),
        }
        for program in self._programs.values():
            for name, value in uniforms.items():
                set_uniform(program, name, value)

    def _draw_skin(self, person: Person, scene: Scene, posed: Posed) -> None:
        name = "skin_far" if scene.face_px <= FAR_PX else "skin"
        program = self._programs[name]
        rng = scene.streams("skin shading")
        shiny = person.factors["shiny_skin"]
        set_uniform(program, "wrap", np.array([0.30, 0.14, 0.08]))
        set_uniform(program, "skin_color", person.skin.base_color)
        set_uniform(program, "hair_color", person.hair_color)
        set_uniform(program, "teeth_color", np.array([0.72, 0.66, 0.55]) * rng.uniform(0.7, 1.1))
        matt, oily = rng.uniform(0.25, 0.7), rng.uniform(1.3, 2.2)
        set_uniform(program, "skin_gloss", float(oily if shiny else matt))
        set_uniform(program, "relief", float(rng.uniform(0.35, 0.7)))
        self.context.culling(True)
        self._head.skin(name, scene.face_px).render()
        self.context.culling(False)
        if posed.mouth_open:
            self._head.mouth(name).render()

    def _draw_solids(self, batch: Batch, parts: list[Part], inside: list[bool]) -> None:
        program = self._programs["solid"]
        for index, part in enumerate(parts):
            if part.alpha < 1 or not inside[index]:
                continue
            set_uniform(program, "base_color", part.color)
            set_uniform(program, "solid_gloss", part.gloss)
            set_uniform(program, "solid_specular", part.specular)
            set_uniform(program, "pattern", part.pattern)
            set_uniform(program, "part_class", GLASSES if part.eyewear else 0.0)
            batch.draw(program, index)

    def _draw_lenses(self, batch: Batch, parts: list[Part]) -> None:
        program = self._programs["lens"]
        self.context.blending(True)
        for index, part in enumerate(parts):
            if part.alpha < 1:
                set_uniform(program, "base_color", part.color)
                set_uniform(program, "alpha", part.alpha)
                set_uniform(program, "reflection", part.reflection)
                set_uniform(program, "hides", float(part.hides))
                batch.draw(program, index)
        self.context.blending(False)

    def _draw_hair(self, person: Person, hair: list[tuple[HairArray, int]]) -> None:
        program = self._programs["hair"]
        set_uniform(program, "hair_color", person.hair_color)
        set_uniform(program, "hair_gloss", person.hair_gloss)
        set_uniform(program, "curly", 1.0 if person.factors["curly_hair"] else 0.0)
        for array, count in hair:
            array.drawn.render(vertices=count)

    def _visible_hair(
        self, person: Person, scene: Scene, posed: Posed
    ) -> list[tuple[HairArray, int]]:
        """Hair arrays with their index counts: less of it far away, none under hats."""
        out = []
        coarse = scene.face_px < FAR_FACE_PX
        rim = rim_of(scene.streams, scene.factors)
        for array in self._hair_arrays:
            if array.moves and scene.factors["face_mask"]:
                continue  # a beard is pressed flat under it
            if array.moves:
                array.follow(posed.vertices - person.calm)
            count = array.coarse if coarse else array.count
            if rim is not None and not array.moves:
                center = Head(self.kit, person.calm).center
                count = array.hide_under(rim, center, coarse=coarse)
            elif not array.moves:
                array.show_all()
            if count:
                out.append((array, count))
        return out

    def _draw_shadows(
        self,
        scene: Scene,
        view: Any,
        batch: Batch,
        parts: list[Part],
        hair: list[tuple[HairArray, int]],
    ) -> NDArray[np.float64]:
        """Depth of what the two strongest lights see; returns (2, 4, 4) map_from_camera."""
        out = []
        set_uniform(self._depth, "camera_from_model", view)
        strongest = max(float(np.max(light.color)) for light in scene.lighting.lights)
        for light, frame in zip(scene.lighting.lights[:2], self._shadow_frames, strict=True):
            matrix = light_matrix(light.direction, scene.face_center_mm)
            out.append(matrix)
            frame.clear(depth=1.0)
            if float(np.max(light.color)) < max(0.02, WEAK * strongest):
                continue
            frame.use()
            set_uniform(self._depth, "clip_from_camera", matrix)
            self.context.culling(True, upright=True)
            self._head.shadow.render()
            self.context.culling(False)
            for index, part in enumerate(parts):
                if part.shadow and part.alpha == 1:
                    batch.draw(self._depth, index)
            for array, _ in hair:
                array.shadow.render(vertices=array.coarse)
        return np.array(out)

    def _bake_openness(self, count: int = 40) -> NDArray[np.float32]:
        """(26719,) share of the sky that each vertex of the mean face sees (cosine-weighted)."""
        kit = self.kit
        calm = to_head(face_center(kit.neutral[kit.landmarks]).astype(np.float32), kit.neutral)
        normals = self.poser.normals(calm)
        self._head.write(calm, normals)
        frame, texture = self._shadow_frames[0], self._shadows[0]
        golden = np.pi * (3 - np.sqrt(5))
        height = 1 - (np.arange(count) + 0.5) / count * 2
        ring = np.sqrt(1 - height**2)
        turn = golden * np.arange(count)
        directions = np.stack([ring * np.cos(turn), height, ring * np.sin(turn)], 1)
        center = np.array([0.0, 0.0, 60.0])
        seen = np.zeros(len(calm))
        total = np.zeros(len(calm))
        set_uniform(self._depth, "camera_from_model", np.eye(4))
        for d in directions:
            matrix = light_matrix(d, center)
            frame.clear(depth=1.0)
            frame.use()
            set_uniform(self._depth, "clip_from_camera", matrix)
            self._head.shadow.render()
            depth = np.frombuffer(texture.read(), np.float32).reshape(SHADOW_PX, SHADOW_PX)
            moved = (calm + 2.0 * normals) @ matrix[:3, :3].T + matrix[:3, 3]
            x, y = np.clip((moved[:, :2] * 0.5 + 0.5) * SHADOW_PX, 0, SHADOW_PX - 1).astype(int).T
            weight = np.maximum(normals @ d, 0)
            seen += weight * (moved[:, 2] * 0.5 + 0.5 <= depth[y, x] + 0.004)
            total += weight
        return np.clip(seen / np.maximum(total, 1e-6), 0.05, 1.0).astype(np.float32)

    def _worn(self, person: Person, scene: Scene, posed: Posed) -> list[Part]:
        """All that is on the head, worn, or held before the face."""
        on, streams, kit = scene.factors, scene.streams, self.kit
        parts = headwear(streams, kit, person.calm, on)
        parts += clothes(streams, kit, person.calm, on)
        parts += mask(streams, kit, posed.vertices, on)
        parts += glasses(streams, kit, person.calm, on)
        marks = posed.vertices[kit.landmarks]
        sight = -scene.face_center_mm / np.linalg.norm(scene.face_center_mm)
        camera = scene.camera_from_head.T @ sight
        skin = person.skin.base_color
        return parts + occluders(streams, marks, on, skin, toward_camera=camera)

    def _load_person(self, person: Person) -> None:
        """Upload what belongs to the person, unless it is the one of the last picture."""
        if self._person is person:
            return
        for old in (self._skin_map, *self._hair_arrays):
            if old is not None:
                old.release()
        skin = person.skin
        painted = np.dstack([skin.albedo, skin.relief[..., 0]])
        self._skin_map = self.context.texture(painted, mipmaps=True)
        place = (self.kit.uv % 1.0000001 * (len(painted) - 1)).astype(int)
        gloss = skin.relief[place[:, 1], place[:, 0], 1] / np.float32(255)
        self._head.set_painted(person.scalp, gloss)
        self._hair_arrays = [
            HairArray(self.context, self._programs["hair"], self._depth, strands)
            for strands in (person.hair, person.beard)
            if strands is not None
        ]
        self._person = person


def _reaches(part: Part, clip_from_model: NDArray[np.float64]) -> bool:
    """Whether a part may be seen: false if all of it is beyond one edge of the window."""
    matrix = clip_from_model.astype(np.float32)
    x, y, _, w = matrix[:, :3] @ part.mesh.vertices.T + matrix[:, 3:]
    return not ((x > w).all() or (x < -w).all() or (y > w).all() or (y < -w).all())


def light_matrix(toward: NDArray[np.float64], center: NDArray[np.float64]) -> NDArray[np.float64]:
    """Clip coordinates of an orthographic view from a light, over a cube about ``center``."""
    up = np.array([0.0, 1.0, 0.0]) if abs(toward[1]) < 0.95 else np.array([1.0, 0.0, 0.0])
    x = np.cross(up, toward)
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(toward, x), -toward])
    matrix = np.eye(4)
    matrix[:3, :3] = rotation / SHADOW_HALF_MM
    matrix[:3, 3] = -rotation @ center / SHADOW_HALF_MM
    return matrix
