"""A small layer over moderngl: context, programs, targets of any size, uniforms."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHADERS = Path(__file__).parent / "shaders"
FINER = 2
"""Pixels that are drawn for one of the picture, along a side.  A rasteriser on a CPU takes 1.5
times as long for four samples of a pixel as for four pixels."""
_SIZES = (128, 192, 256, 320, 384, 448, 512, 640, 768, 1024, 1536, 2048)


@dataclass(slots=True)
class Target:
    """A picture drawn :data:`FINER`, and the one that it is resolved into."""

    side: int
    """Of the resolved picture."""
    drawn: Any
    textures: tuple[Any, Any, Any]
    """Of ``drawn``: light (half floats), a number for what each pixel shows (bytes), depth."""
    resolved: Any
    """Light, number and depth (floats) as three colours."""


class Context:
    """One OpenGL context without a window; not shared between processes or threads.

    Raises :class:`RuntimeError` when no EGL context can be made.
    """

    def __init__(self) -> None:
        # The software rasteriser would start a thread per core in every process; none at all is
        # faster still, where every core has a process of its own.
        os.environ.setdefault("LP_NUM_THREADS", "0")
        try:
            import moderngl

            # Its types know no name of a backend.
            make: Any = moderngl.create_context
            self.gl: Any = make(standalone=True, backend="egl")
        except Exception as error:
            raise RuntimeError(
                f"no OpenGL through EGL ({error}); install libegl1 and libgl1-mesa-dri "
                "(Debian, Ubuntu), and moderngl with pip"
            ) from error
        self.moderngl = moderngl
        self.name = str(self.gl.info["GL_RENDERER"])
        self._targets: dict[int, Target] = {}
        one, rest = moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA
        self.gl.blend_func = moderngl.SRC_ALPHA, rest, one, rest
        self.gl.enable(moderngl.DEPTH_TEST)
        self.gl.cull_face = "front"  # pictures are drawn with row 0 first, which turns the winding

    def program(self, vertex: str, fragment: str, *, define: str = "") -> Any:
        """Compile two files of the shaders' folder; ``#include common`` is replaced."""
        common = (SHADERS / "common.glsl").read_text()
        if define:
            common = f"#define {define}\n{common}"
        sources = [
            (SHADERS / name).read_text().replace("#include common", common)
            for name in (vertex, fragment)
        ]
        program = self.gl.program(*sources)
        # Asked for a hundred times a picture: moderngl looks for a name by trying them all.
        program.extra = {name: program[name] for name in program}
        return program

    def target(self, width: int, height: int) -> Target:
        """A target of at least this size (kept for the next picture of its class)."""
        needed = max(width, height)
        side = next((s for s in _SIZES if s >= needed), 0)
        if not side:
            raise ValueError(
                f"a picture of {width}×{height} px cannot be drawn in one piece; expected at most "
                f"{_SIZES[-1]} px: draw fewer pixels per face or a smaller window"
            )
        if side not in self._targets:
            gl = self.gl
            fine = (FINER * side, FINER * side)
            light, classes = gl.texture(fine, 4, dtype="f2"), gl.texture(fine, 1)
            depth = gl.depth_texture(fine)
            depth.compare_func = ""
            kinds = ((4, "f2"), (1, "f1"), (1, "f4"))
            self._targets[side] = Target(
                side,
                drawn=gl.framebuffer([light, classes], depth),
                textures=(light, classes, depth),
                resolved=gl.framebuffer(
                    [gl.renderbuffer((side, side), n, dtype=kind) for n, kind in kinds]
                ),
            )
        return self._targets[side]

    def culling(self, on: bool, *, upright: bool = False) -> None:
        """Leave out triangles that face away, or stop doing so.

        ``upright`` is for what is not drawn with row 0 first.
        """
        (self.gl.enable if on else self.gl.disable)(self.moderngl.CULL_FACE)
        self.gl.cull_face = "back" if upright else "front"

    def blending(self, on: bool) -> None:
        """Blend by alpha without writing depth, or stop doing so."""
        (self.gl.enable if on else self.gl.disable)(self.moderngl.BLEND)
        self.gl.fbo.depth_mask = not on

    def array(self, program: Any, layout: list[Any], index: Any) -> Any:
        """A vertex array of whichever attributes the program kept."""
        used = []
        for buffer, form, *names in layout:
            parts = form.split()
            kept = [
                f if n in program.extra else f"{4 * int(f[0])}x"
                for f, n in zip(parts, names, strict=True)
            ]
            if any(n in program.extra for n in names):
                used.append((buffer, " ".join(kept), *[n for n in names if n in program.extra]))
        return self.gl.vertex_array(program, used, index)

    def texture(self, pixels: NDArray[Any], *, repeat: bool = False, mipmaps: bool = False) -> Any:
        """A texture of (H, W, C) uint8 or float32 pixels, smoothly sampled."""
        kind = "f4" if pixels.dtype == np.float32 else "f1"
        height, width, channels = pixels.shape
        texture = self.gl.texture(
            (width, height),
            channels,
            np.ascontiguousarray(pixels).tobytes(),
            alignment=1,
            dtype=kind,
        )
        texture.repeat_x = texture.repeat_y = repeat
        if mipmaps:
            texture.build_mipmaps()
            # One level of them: between the four pixels that are drawn for one, no seam is seen.
            texture.filter = (self.moderngl.LINEAR_MIPMAP_NEAREST, self.moderngl.LINEAR)
        return texture


def set_uniform(program: Any, name: str, value: Any) -> None:
    """Set a uniform if the program kept it (compilers drop unused ones).

    Matrices (…, 4, 4) are given in the usual order, rows first.
    """
    member = program.extra.get(name)
    if member is None:
        return
    if isinstance(value, np.ndarray):
        if value.shape[-2:] == (4, 4):
            value = np.swapaxes(value, -1, -2)
        kept = member.array_length * member.dimension  # unused array ends are dropped
        member.write(np.ascontiguousarray(value, dtype="f4").reshape(-1)[:kept].tobytes())
    else:
        member.value = value


def noise_texture(side: int = 256) -> NDArray[np.uint8]:
    """(side, side, 4) tileable noise, from coarse to fine, each channel spread over [0, 255]."""
    rng = np.random.default_rng(20260101)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side))) * side
    channels = []
    for low, high in ((2, 8), (6, 24), (16, 70), (50, 120)):
        spectrum = np.fft.fft2(rng.normal(size=(side, side)))
        band = np.exp(-((frequency / high) ** 2)) - np.exp(-((frequency / low) ** 2))
        noise = np.fft.ifft2(spectrum * band).real
        channels.append((np.clip(0.5 + noise / (noise.std() * 4), 0, 1) * 255).astype(np.uint8))
    return np.stack(channels, -1)


def clip_matrix(
    camera: NDArray[np.float64], window: tuple[int, int, int, int]
) -> NDArray[np.float64]:
    """Clip coordinates of a window (left, top, width, height) of a frame seen by a camera.

    Row 0 of the picture is row 0 of the buffer, so nothing needs flipping afterwards.
    """
    left, top, width, height = window
    near, far = 60.0, 8000.0
    return np.array(
        [
            [2 * camera[0, 0] / width, 0, (2 * (camera[0, 2] - left) + 1) / width - 1, 0],
            [0, 2 * camera[1, 1] / height, (2 * (camera[1, 2] - top) + 1) / height - 1, 0],
            [0, 0, (far + near) / (far - near), -2 * far * near / (far - near)],
            [0, 0, 1, 0],
        ]
    )


def depth_from_buffer(value: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance along the camera's axis (mm) from the depth buffer's value in [0, 1]."""
    near, far = 60.0, 8000.0
    ndc = value * 2 - 1
    return np.asarray(2 * far * near / (far + near - ndc * (far - near)), np.float32)
