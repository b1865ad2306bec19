"""Draws a :class:`~train.synth.scene.Scene` with OpenGL (EGL, no window) and labels it exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.spatial
from numpy.typing import NDArray

from train.synth import meshes
from train.synth.facekit import NARROW_FACE_VERTICES, PARTS, FaceKit
from train.synth.people import Person
from train.synth.posing import Labels, Posed, Poser
from train.synth.scene import Scene

SHADERS = Path(__file__).parent / "shaders"
SHADOW_PX = 512
HAIR_SHELLS = 7
LASH_LENGTH_CM = 0.95
SKIN_PARTS = {
    "face": 0.0,
    "head": 1.0,
    "mouth_socket": 2.0,
    "gums": 2.0,
    "teeth": 3.0,
    "eye_socket_left": 4.0,
    "eye_socket_right": 4.0,
}
MESH_EYE_RADIUS_MM = 15.3


class Renderer:
    """Draws people on one OpenGL context; not shared between processes.

    Raises :class:`RuntimeError` when no EGL context can be made.
    """

    def __init__(self, kit: FaceKit, *, size_px: int = 400, supersample: float = 1.5) -> None:
        try:
            import moderngl

            self._gl: Any = moderngl.create_context(standalone=True, backend="egl")
        except Exception as error:
            raise RuntimeError(
                f"no OpenGL through EGL ({error}); install libegl1 and libgl1-mesa-dri "
                "(Debian, Ubuntu), and moderngl with pip"
            ) from error
        self._moderngl = moderngl
        self.kit = kit
        self._poser = Poser(kit)
        self.size_px = size_px
        self._scale = supersample
        self._programs = {
            name: self._program("hair.vert" if name == "hair" else "mesh.vert", f"{name}.frag")
            for name in ("skin", "solid", "eye", "hair", "lash")
        }
        self._depth = {
            "mesh": self._program("mesh.vert", "depth.frag"),
        }
        side = round(size_px * supersample)
        color = self._gl.texture((side, side), 4)
        self._frame = self._gl.framebuffer([color], self._gl.depth_renderbuffer((side, side)))
        self._shadow = self._gl.depth_texture((SHADOW_PX, SHADOW_PX))
        self._shadow.compare_func = ""
        self._shadow.repeat_x = self._shadow.repeat_y = False
        self._shadow_frame = self._gl.framebuffer(depth_attachment=self._shadow)
        self._noise = self._noise_texture()
        self._skin_map = self._gl.texture((768, 768), 3, alignment=1)
        self._static_geometry()
        self._painted: int | None = None
        one, rest = moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA
        self._gl.blend_func = moderngl.SRC_ALPHA, rest, one, rest

    # -- one picture ------------------------------------------------------------------------

    def render(self, person: Person, scene: Scene) -> tuple[NDArray[np.uint8], Labels]:
        """Draw one picture.

        Returns an RGBA image (size, size, 4) uint8 (alpha 0 is background) and its labels.
        """
        rng = np.random.default_rng(scene.seed)
        if self._painted != id(person):
            self._skin_map.write(np.ascontiguousarray(person.texture))
            self._painted = id(person)
        axes_head = self._poser.eye_axes(person, scene)
        posed = self._poser.pose(person, scene, axes_head)
        view = np.eye(4)
        view[:3, :3], view[:3, 3] = scene.camera_from_head, scene.face_center_mm
        clip = self._clip_matrix(scene.camera_matrix)
        self._upload(person, posed, rng)
        extras = self._wear(rng, person, scene, posed)
        shadow = self._draw_shadow(scene, view, extras)
        self._frame.use()
        self._frame.clear(0.0, 0.0, 0.0, 0.0)
        self._gl.enable(self._moderngl.DEPTH_TEST)
        self._noise.use(0)
        self._shadow.use(1)
        self._skin_map.use(2)
        for program in self._programs.values():
            self._set_light(program, scene, shadow, rng_softness=0.002 + 0.006 * rng.random())
            _set(program, "camera_from_model", view)
            _set(program, "clip_from_camera", clip)
        self._draw_skin(rng, person)
        self._draw_eyes(rng, person, scene, posed, axes_head)
        self._draw_rest(rng, person, extras)
        raw = np.frombuffer(self._frame.read(components=4, alignment=1), np.uint8)
        side = round(self.size_px * self._scale)
        image = raw.reshape(side, side, 4)
        if self._scale > 1:
            image = cv2.resize(image, (self.size_px, self.size_px), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(image), self._poser.label(person, scene, posed, axes_head)

    # -- drawing ----------------------------------------------------------------------------

    def _draw_skin(self, rng: np.random.Generator, person: Person) -> None:
        program = self._programs["skin"]
        _set(program, "skin_map", 2)
        _set(program, "skin_color", person.skin_color)
        _set(program, "cloth_color", rng.uniform(0.01, 0.7, 3) ** 1.5)
        _set(program, "cloth_color_2", rng.uniform(0.01, 0.7, 3) ** 1.5)
        _set(program, "cloth_pattern", float(rng.choice([0.0, 1.0, 4.0])))
        _set(program, "teeth_color", np.array([0.72, 0.66, 0.55]) * rng.uniform(0.7, 1.1))
        _set(program, "skin_gloss", float(rng.uniform(10, 34)))
        _set(program, "skin_specular", float(rng.uniform(0.1, 0.9)))
        _set(program, "bump", float(rng.uniform(0.0, 0.25)))
        self._skin_array.render()

    def _draw_eyes(
        self,
        rng: np.random.Generator,
        person: Person,
        scene: Scene,
        posed: Posed,
        axes: NDArray[np.float64],
    ) -> None:
        program = self._programs["eye"]
        rotate, move = scene.camera_from_head, scene.face_center_mm
        _set(program, "head_up", rotate @ np.array([0.0, -1.0, 0.0]))
        _set(program, "iris_color", person.iris_colors[0])
        _set(program, "iris_color_2", person.iris_colors[1])
        _set(program, "sclera_color", np.array([0.62, 0.56, 0.53]) * rng.uniform(0.7, 1.1))
        _set(program, "iris_radius", person.iris_radius_mm)
        _set(program, "pupil_radius", scene.pupil_radius_mm)
        _set(program, "limbus_width", float(rng.uniform(0.4, 1.1)))
        _set(program, "vessels", float(rng.uniform(0, 0.7)))
        _set(program, "catchlight", float(rng.uniform(0, 3.0)))
        _set(program, "lid_shadow", float(rng.uniform(0.5, 1.0)))
        marks = posed.vertices[self.kit.landmarks]
        for eye, upper, lower in ((0, (37, 38), (40, 41)), (1, (43, 44), (46, 47))):
            center = posed.eye_centers[eye]
            top = float(center[1] - marks[list(upper), 1].mean())
            bottom = float(center[1] - marks[list(lower), 1].mean())
            _set(program, "lid_line", np.array([top, bottom, 15.0, 0.0]))
            _set(program, "eye_center", rotate @ center + move)
            _set(program, "eye_axis", rotate @ axes[eye])
            ball = meshes.sphere_cap(posed.eye_meshes[eye], MESH_EYE_RADIUS_MM)
            self._draw_mesh("eye", ball)

    def _draw_rest(self, rng: np.random.Generator, person: Person, extras: dict[str, Any]) -> None:
        lash = self._programs["lash"]
        _set(lash, "base_color", np.minimum(person.hair_color * 0.25, 0.02))
        heavy = 1.0 if person.attributes["make_up"] else 0.65
        cover = heavy * rng.uniform(0.35, 1.0)
        _set(lash, "lash_cover", np.array([cover, cover * rng.uniform(0.1, 0.5)]))
        _set(lash, "lash_length", heavy * float(rng.uniform(0.4, 1.0)))
        self._gl.enable(self._moderngl.BLEND)
        self._lash_array.render()
        self._gl.disable(self._moderngl.BLEND)
        hair = self._programs["hair"]
        for name, value in (
            ("hair_color", person.hair_color),
            ("shells", float(HAIR_SHELLS)),
            ("hair_lift", float(rng.uniform(-0.5, 0.5))),
            ("hair_clump", float(rng.uniform(0, 1))),
            ("strand_scale", float(rng.uniform(3, 9))),
            ("strand_turn", float(rng.uniform(-1.2, 1.2))),
            ("hair_gloss", float(rng.uniform(8, 40))),
        ):
            _set(hair, name, value)
        if person.hair["length_mm"] > 0:
            self._hair_array.render(instances=HAIR_SHELLS)
        if extras["curtain"] is not None:
            self._draw_hair_curtain(extras["curtain"])
        solid = self._programs["solid"]
        _set(solid, "alpha", 1.0)
        _set(solid, "reflection", 0.0)
        _set(solid, "base_color", extras["cloth"])
        _set(solid, "solid_gloss", 8.0)
        _set(solid, "solid_specular", 0.05)
        self._draw_mesh("solid", extras["torso"])
        if extras["frame"] is not None:
            _set(solid, "base_color", extras["frame_color"])
            _set(solid, "solid_gloss", float(rng.uniform(20, 90)))
            _set(solid, "solid_specular", float(rng.uniform(0.3, 2)))
            if not extras["rimless"]:
                self._draw_mesh("solid", extras["frame"])
            self._gl.enable(self._moderngl.BLEND)
            _set(solid, "alpha", extras["tint"])
            _set(solid, "base_color", extras["lens_color"])
            _set(solid, "reflection", extras["reflection"])
            self._draw_mesh("solid", extras["lenses"])
            self._gl.disable(self._moderngl.BLEND)

    def _wear(
        self, rng: np.random.Generator, person: Person, scene: Scene, posed: Posed
    ) -> dict[str, Any]:
        v = posed.vertices
        marks = v[self.kit.landmarks]
        ears = np.stack([v[: PARTS["face"][1]][_ear(v, sign)] for sign in (-1, 1)])
        extras: dict[str, Any] = {"frame": None, "curtain": None}
        extras["torso"] = meshes.torso(
            rng, float(v[: PARTS["head"][1], 1].max()) - 45, np.array([0, 0, 85.0])
        )
        extras["cloth"] = rng.uniform(0.01, 0.7, 3) ** 1.5
        if person.hair["curtain"]:
            shape = np.random.default_rng(int(person.hair["curtain"] * 1e6))
            top = float(v[: PARTS["head"][1], 1].min())
            extras["curtain"] = meshes.hair_curtain(
                shape, np.array([0, top + 95, 85.0]), 98.0, person.hair["curtain"]
            )
        if scene.glasses != "none":
            frame, lenses = meshes.glasses(rng, posed.eye_centers, marks[27], ears)
            dark = scene.glasses == "sunglasses"
            extras |= {
                "frame": frame,
                "lenses": lenses,
                "rimless": rng.random() < 0.08,
                "frame_color": rng.uniform(0.0, 0.5, 3) ** 2
                if rng.random() < 0.5
                else np.full(3, 0.01),
                "lens_color": rng.uniform(0, 0.03, 3) if dark else rng.uniform(0.0, 0.4, 3),
                "tint": float(rng.uniform(0.8, 0.98) if dark else rng.uniform(0.0, 0.12)),
                "reflection": float(rng.uniform(0.1, 0.8) if dark else rng.beta(1, 3)),
            }
        return extras

    def _draw_shadow(self, scene: Scene, view: Any, extras: dict[str, Any]) -> NDArray[np.float64]:
        toward = scene.lights[0][0]
        up = np.array([0.0, 1.0, 0.0]) if abs(toward[1]) < 0.95 else np.array([1.0, 0.0, 0.0])
        x = np.cross(up, toward)
        x /= np.linalg.norm(x)
        rotation = np.stack([x, np.cross(toward, x), -toward])
        light = np.eye(4)
        light[:3, :3] = rotation / 190.0
        light[:3, 3] = -rotation @ scene.face_center_mm / 190.0
        self._shadow_frame.use()
        self._shadow_frame.clear(depth=1.0)
        self._gl.enable(self._moderngl.DEPTH_TEST)
        program = self._depth["mesh"]
        _set(program, "camera_from_model", view)
        _set(program, "clip_from_camera", light)
        self._shadow_array.render()
        if extras["frame"] is not None:
            self._draw_mesh("depth", extras["frame"])
        return light

    # -- buffers ----------------------------------------------------------------------------

    def _static_geometry(self) -> None:
        kit, gl = self.kit, self._gl
        count = len(kit.neutral)
        material = np.zeros((count, 2), np.float32)
        drawn = np.zeros(count, bool)
        for part, kind in SKIN_PARTS.items():
            a, b = PARTS[part]
            material[a:b, 0] = kind
            drawn[a:b] = True
        material[:, 1] = (kit.neutral[:, 1] < -15.2 + 0.02 * kit.neutral[:, 0] ** 2) & (
            material[:, 0] < 1.5
        )
        triangles = kit.triangles[drawn[kit.triangles].all(1)]
        lashes = np.zeros(count, bool)
        for side in ("left", "right"):
            lashes[slice(*PARTS[f"lashes_{side}"])] = True
        skin = scipy.spatial.cKDTree(kit.neutral[:NARROW_FACE_VERTICES])
        material[lashes, 0] = skin.query(kit.neutral[lashes])[0] / LASH_LENGTH_CM
        material[lashes, 1] = kit.uv[lashes, 1] > 0.5
        self._vertex_buffer = gl.buffer(reserve=count * 24, dynamic=True)
        static = gl.buffer(np.hstack([np.nan_to_num(kit.uv % 1.0000001), material]).astype("f4"))
        index = gl.buffer(triangles.astype("i4"))
        layout = [
            (self._vertex_buffer, "3f 3f", "position", "normal"),
            (static, "2f 2f", "uv", "material"),
        ]
        self._skin_array = self._array("skin", layout, index)
        self._shadow_array = self._array("depth", layout, index)
        self._lash_array = self._array(
            "lash", layout, gl.buffer(kit.triangles[lashes[kit.triangles].all(1)].astype("i4"))
        )
        # Hair grows on what is not the narrow face, and on its upper rim (the forehead's top).
        scalp = np.zeros(count, bool)
        scalp[: PARTS["head"][1]] = True
        p = kit.neutral - np.array([0.0, 4.0, 1.5], np.float32)
        radius = np.linalg.norm(p, axis=1)
        self._azimuth = np.arctan2(p[:, 0], p[:, 2])
        self._elevation = np.arcsin(np.clip(p[:, 1] / np.maximum(radius, 1e-3), -1, 1))
        ear = (np.abs(kit.neutral[:, 0]) > 7.75) & (np.abs(kit.neutral[:, 1] - 2.5) < 4.2)
        scalp &= ~ear & (kit.neutral[:, 1] > -6)
        self._scalp = scalp
        hair_static = gl.buffer(np.stack([self._azimuth, self._elevation], 1).astype("f4"))
        self._hair_buffer = gl.buffer(reserve=count * 12, dynamic=True)
        hair_index = gl.buffer(kit.triangles[scalp[kit.triangles].all(1)].astype("i4"))
        self._hair_array = gl.vertex_array(
            self._programs["hair"],
            [
                (self._vertex_buffer, "3f 3f", "position", "normal"),
                (self._hair_buffer, "3f", "hair"),
                (hair_static, "2f", "hair_uv"),
            ],
            hair_index,
        )

    def _array(self, program: str, layout: list[Any], index: Any) -> Any:
        """A vertex array of whichever attributes the program kept."""
        target = self._depth["mesh"] if program == "depth" else self._programs[program]
        used = []
        for buffer, form, *names in layout:
            parts = form.split()
            kept = [
                f if n in target else f"{4 * int(f[0])}x" for f, n in zip(parts, names, strict=True)
            ]
            if any(n in target for n in names):
                used.append((buffer, " ".join(kept), *[n for n in names if n in target]))
        return self._gl.vertex_array(target, used, index)

    def _upload(self, person: Person, posed: Posed, rng: np.random.Generator) -> None:
        self._vertex_buffer.write(np.hstack([posed.vertices, posed.normals]).astype("f4"))
        style = person.hair
        azimuth, elevation = np.degrees(self._azimuth), np.degrees(self._elevation)
        line = np.interp(
            np.abs(azimuth),
            [0, 35, 52, 78, 105, 180],
            [
                style["front_deg"] - style["fringe"],
                style["front_deg"] - style["fringe"] + style["recede"],
                style["front_deg"] - 6 + 0.5 * style["recede"],
                style["temple_deg"],
                -22,
                -40,
            ],
        )
        line = line + 2.0 * style["side"] * np.sin(self._azimuth)
        density = np.clip((elevation - line) / 7.0, 0, 1) * self._scalp
        length = style["length_mm"] * np.clip((elevation - line) / 22 + 0.15, 0, 1)
        length *= np.interp(np.abs(azimuth), [0, 60, 100], [1, 1, 0.8])
        hair = np.stack([density, length, np.zeros_like(length)], 1).astype("f4")
        self._hair_buffer.write(hair)

    def _draw_mesh(self, program: str, mesh: meshes.Mesh) -> None:
        count = len(mesh.vertices)
        data = self._gl.buffer(
            np.hstack([mesh.vertices, mesh.normals, np.zeros((count, 4))]).astype("f4")
        )
        index = self._gl.buffer(mesh.triangles.astype("i4"))
        layout = [(data, "3f 3f 2f 2f", "position", "normal", "uv", "material")]
        array = self._array(program, layout, index)
        array.render()
        for thing in (array, data, index):
            thing.release()

    def _draw_hair_curtain(self, mesh: meshes.Mesh) -> None:
        program = self._programs["hair"]
        count = len(mesh.vertices)
        azimuth = np.arctan2(mesh.vertices[:, 0], -mesh.vertices[:, 2] + 85.0)
        hair = np.stack([np.ones(count), np.full(count, 6.0), np.zeros(count)], 1)
        uv = np.stack([azimuth * 1.5, mesh.vertices[:, 1] * 0.008], 1)
        data = self._gl.buffer(np.hstack([mesh.vertices, mesh.normals, hair, uv]).astype("f4"))
        index = self._gl.buffer(mesh.triangles.astype("i4"))
        array = self._gl.vertex_array(
            program, [(data, "3f 3f 3f 2f", "position", "normal", "hair", "hair_uv")], index
        )
        _set(program, "strand_turn", 0.0)
        array.render(instances=5)
        for thing in (array, data, index):
            thing.release()

    # -- programs, textures, uniforms ---------------------------------------------------------

    def _program(self, vertex: str, fragment: str) -> Any:
        common = (SHADERS / "common.glsl").read_text()
        source = (SHADERS / fragment).read_text().replace("#include common", common)
        return self._gl.program((SHADERS / vertex).read_text(), source)

    def _noise_texture(self, side: int = 512) -> Any:
        """Four channels of tileable noise, from coarse to fine, each spread over [0, 1]."""
        rng = np.random.default_rng(20260101)
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side))) * side
        channels = []
        for low, high in ((2, 8), (6, 24), (16, 70), (50, 180)):
            spectrum = np.fft.fft2(rng.normal(size=(side, side)))
            band = np.exp(-((frequency / high) ** 2)) - np.exp(-((frequency / low) ** 2))
            noise = np.fft.ifft2(spectrum * band).real
            ranks = np.clip(0.5 + noise / (noise.std() * 4), 0, 1)
            channels.append((ranks * 255).astype(np.uint8))
        texture = self._gl.texture((side, side), 4, np.stack(channels, -1).tobytes())
        texture.repeat_x = texture.repeat_y = True
        return texture

    def _set_light(self, program: Any, scene: Scene, shadow: Any, rng_softness: float) -> None:
        _set(program, "light_direction", np.array([d for d, _ in scene.lights]))
        _set(program, "light_color", np.array([c for _, c in scene.lights]))
        for k, name in enumerate(("sky", "ground", "left", "right")):
            _set(program, f"ambient_{name}", scene.ambient[k])
        _set(program, "exposure", scene.exposure)
        _set(program, "near_infrared", scene.near_infrared)
        _set(program, "shadow_from_camera", shadow)
        _set(program, "shadow_softness", rng_softness)
        _set(program, "noise_map", 0)
        _set(program, "shadow_map", 1)

    def _clip_matrix(self, k: NDArray[np.float64]) -> NDArray[np.float64]:
        size, near, far = self.size_px, 60.0, 6000.0
        # Row 0 of the picture is row 0 of the buffer, so nothing needs flipping afterwards.
        return np.array(
            [
                [2 * k[0, 0] / size, 0, (2 * k[0, 2] + 1) / size - 1, 0],
                [0, 2 * k[1, 1] / size, (2 * k[1, 2] + 1) / size - 1, 0],
                [0, 0, (far + near) / (far - near), -2 * far * near / (far - near)],
                [0, 0, 1, 0],
            ]
        )


def _set(program: Any, name: str, value: Any) -> None:
    """Set a uniform if the program kept it (compilers drop unused ones)."""
    if name not in program:
        return
    if isinstance(value, np.ndarray):
        if value.shape == (4, 4):
            value = value.T
        kept = program[name].array_length * program[name].dimension  # unused array ends are dropped
        program[name].write(np.ascontiguousarray(value, dtype="f4").reshape(-1)[:kept].tobytes())
    else:
        program[name].value = value


def _ear(v: NDArray[np.float32], sign: int) -> int:
    """Vertex at the top of an ear: far out and level with the eyes."""
    face = v[: PARTS["face"][1]]
    score = sign * face[:, 0] - 0.8 * np.abs(face[:, 1] + 28)
    return int(np.argmax(score))
