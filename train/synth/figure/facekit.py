"""Geometry of rendered people: ICT-FaceKit, read from a checkout and packed once.

ICT-FaceKit (MIT licence, https://github.com/ICT-VGL/ICT-FaceKit) is a 3D morphable face model with
100 identity modes and 53 expression shapes over one mesh of 26,719 vertices.  Its Wavefront
files are slow to parse, so :func:`load_facekit` packs what the renderer needs into one ``.npz``
beside the checkout and reads that from then on.

Everything here stays in the model's own frame: centimetres, x to the person's left, y up, z out of
the face.  :data:`HEAD_FROM_FACEKIT` turns it into the project's head frame (millimetres, y down, z
into the head; the origin is moved to the face centre by the caller).
"""

from __future__ import annotations

import hashlib
import secrets
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.commands import announce
from train.json_files import read_json

PACK_VERSION = 2
"""Raised whenever the packed arrays change, so that an old pack is made anew."""

IDENTITY_MODES = 100
VERTICES = 26719
QUADS = 26384

HEAD_FROM_FACEKIT = np.diag([10.0, -10.0, -10.0])
"""Axes and unit: FaceKit's (left, up, out) in centimetres to the head frame in millimetres."""

PARTS: dict[str, tuple[int, int]] = {
    "face": (0, 9409),
    "head": (9409, 11248),
    "mouth_socket": (11248, 13294),
    "eye_socket_left": (13294, 13678),
    "eye_socket_right": (13678, 14062),
    "gums": (14062, 17039),
    "teeth": (17039, 21451),
    "eyeball_left": (21451, 23021),
    "eyeball_right": (23021, 24591),
    "lacrimal_left": (24591, 24795),
    "lacrimal_right": (24795, 24999),
    "eye_blend_left": (24999, 25023),
    "eye_blend_right": (25023, 25047),
    "eye_occlusion_left": (25047, 25199),
    "eye_occlusion_right": (25199, 25351),
    "lashes_left": (25351, 26035),
    "lashes_right": (26035, 26719),
}
"""Half-open vertex ranges of the mesh's parts (left and right are the person's)."""

SCLERA_VERTICES = 770
"""An eyeball's range starts with its sclera (and cornea bulge); the iris follows."""

NARROW_FACE_VERTICES = 6706
"""The first vertices of the face part: the face proper, without neck and back."""


@dataclass(frozen=True, slots=True)
class FaceKit:
    """The packed face model.  All coordinates in FaceKit's frame, centimetres."""

    neutral: NDArray[np.float32]
    """(26719, 3) mean face."""
    identity: NDArray[np.float32]
    """(100, 26719, 3) offsets, one standard deviation each."""
    expression: NDArray[np.float32]
    """(55, 26719, 3) offsets at full strength; names in ``expression_names``."""
    expression_names: tuple[str, ...]
    triangles: NDArray[np.int32]
    """(F, 3) vertex indices, quads split along their first diagonal."""
    uv: NDArray[np.float32]
    """(26719, 2) texture coordinates (a vertex on a seam keeps its first)."""
    landmarks: NDArray[np.int32]
    """(68,) vertex of each Multi-PIE landmark."""

    def blend(
        self, identity: NDArray[np.float32], expression: dict[str, float]
    ) -> NDArray[np.float32]:
        """Vertices (26719, 3) of a person with an expression.

        ``identity`` is (100,) in standard deviations; ``expression`` maps shape names to weights in
        [0, 1].  Raises :class:`KeyError` for an unknown expression name.
        """
        flat = self.neutral.reshape(-1) + identity @ self.identity.reshape(IDENTITY_MODES, -1)
        for name, weight in expression.items():
            if weight:
                flat = flat + weight * self.expression[self.index(name)].reshape(-1)
        return np.ascontiguousarray(flat.reshape(-1, 3), dtype=np.float32)

    def index(self, name: str) -> int:
        """Row of an expression shape in :attr:`expression`."""
        try:
            return self.expression_names.index(name)
        except ValueError:
            raise KeyError(f"no expression {name!r}; there are {self.expression_names}") from None


def load_facekit(folder: Path) -> FaceKit:
    """Read ICT-FaceKit from its ``FaceXModel`` folder (or the checkout that holds it).

    The first call parses 156 Wavefront files and writes ``facekit-vN.npz`` beside them (or, where
    that folder is read-only, into the user's cache); later calls read that file.  A pack that is
    damaged is made anew.
    Raises :class:`FileNotFoundError` when the folder is not an ICT-FaceKit checkout, and
    :class:`ValueError`, which names the file, when one of its files is damaged.
    """
    folder = folder / "FaceXModel" if (folder / "FaceXModel").is_dir() else folder
    pack = _pack_path(folder)
    if pack.is_file():
        try:
            return _read_pack(pack)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            pass  # cut short or of something else: made anew below
    if not (folder / "generic_neutral_mesh.obj").is_file():
        what = f"{pack} is damaged and " if pack.is_file() else ""
        raise FileNotFoundError(
            f"{what}{folder} holds no generic_neutral_mesh.obj; give the folder FaceXModel of a "
            "checkout of https://github.com/ICT-VGL/ICT-FaceKit"
        )
    _write_pack(folder, pack)
    return _read_pack(pack)


def _read_pack(pack: Path) -> FaceKit:
    """The packed arrays; raises :class:`ValueError` where they are not those of the model."""
    # Opened here, as numpy leaves a file that it cannot read open.
    with pack.open("rb") as file, np.load(file, allow_pickle=False) as data:
        kit = FaceKit(
            neutral=data["neutral"],
            identity=data["identity"].astype(np.float32),
            expression=data["expression"].astype(np.float32),
            expression_names=tuple(str(name) for name in data["expression_names"]),
            triangles=data["triangles"],
            uv=data["uv"],
            landmarks=data["landmarks"],
        )
    for array, shape in (
        (kit.neutral, (VERTICES, 3)),
        (kit.identity, (IDENTITY_MODES, VERTICES, 3)),
        (kit.expression, (len(kit.expression_names), VERTICES, 3)),
        (kit.uv, (VERTICES, 2)),
        (kit.landmarks, (68,)),
    ):
        if array.shape != shape or not np.isfinite(array).all():
            raise ValueError(f"{pack} holds {array.shape} numbers, expected finite ones {shape}")
    return kit


def _pack_path(folder: Path) -> Path:
    """Where the pack is or will be."""
    name = f"facekit-v{PACK_VERSION}.npz"
    if (folder / name).is_file() or not folder.is_dir() or _writable(folder):
        return folder / name
    key = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    return Path.home() / ".cache" / "clipgaze" / key / name


def _write_pack(folder: Path, pack: Path) -> None:
    announce(f"packing the face model into {pack}, once; this takes a minute")
    neutral, uv, triangles = _read_mesh(folder / "generic_neutral_mesh.obj")
    names, landmarks = _read_indices(folder / "vertex_indices.json")
    expression = np.stack([_read_vertices(folder / f"{n}.obj") - neutral for n in names])
    identity = np.stack(
        [_read_vertices(folder / f"identity{i:03d}.obj") - neutral for i in range(IDENTITY_MODES)]
    )
    pack.parent.mkdir(parents=True, exist_ok=True)
    # Several processes may do this at once; each writes its own file and the last one stays.
    partial = pack.with_name(f"{pack.stem}.{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            np.savez(
                file,
                neutral=neutral,
                identity=identity.astype(np.float16),
                expression=expression.astype(np.float16),
                expression_names=np.array(names),
                triangles=triangles,
                uv=uv,
                landmarks=landmarks,
            )
        partial.replace(pack)
    finally:
        partial.unlink(missing_ok=True)


def _read_indices(path: Path) -> tuple[list[str], NDArray[np.int32]]:
    """Names of the expressions and (68,) vertices of the landmarks."""
    try:
        indices = read_json(path)
        names = sorted(indices["expressions"]) + ["PupilDilate_L", "PupilDilate_R"]
        landmarks = np.array(indices["idx_to_landmark_verts"], dtype=np.int32)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; {_AGAIN}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); {_AGAIN}") from None
    if landmarks.shape != (68,) or landmarks.min() < 0 or landmarks.max() >= VERTICES:
        raise ValueError(f"{path} has no 68 landmarks of this mesh; {_AGAIN}")
    return names, landmarks


def _writable(folder: Path) -> bool:
    probe = folder / ".clipgaze-probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


_AGAIN = "check FaceKit out again"


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; {_AGAIN}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a Wavefront file; {_AGAIN}") from None


def _read_vertices(path: Path) -> NDArray[np.float32]:
    rows = [line[2:].split() for line in _read_lines(path) if line.startswith("v ")]
    if len(rows) != VERTICES or any(len(row) != 3 for row in (rows[0], rows[-1])):
        raise ValueError(
            f"{path} is damaged: it has {len(rows)} vertices, expected {VERTICES} of 3 numbers; "
            f"{_AGAIN}"
        )
    try:
        vertices = np.array(rows, dtype=np.float32)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {_AGAIN}") from None
    if not np.isfinite(vertices).all():
        raise ValueError(f"{path} is damaged: it has vertices that are not finite; {_AGAIN}")
    return vertices


def _read_mesh(
    path: Path,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Vertices, texture coordinates per vertex, and triangles of quads."""
    vertices = _read_vertices(path)
    texture: list[list[float]] = []
    corners: list[list[tuple[int, int]]] = []
    uv = np.full((VERTICES, 2), np.nan, dtype=np.float32)
    triangles = []
    try:
        for line in _read_lines(path):
            if line.startswith("vt "):
                texture.append([float(x) for x in line.split()[1:3]])
            elif line.startswith("f "):
                face = [corner.split("/") for corner in line.split()[1:]]
                corners.append([(int(c[0]) - 1, int(c[1]) - 1) for c in face])
        for face_corners in corners:
            for vertex, coordinate in face_corners:
                if np.isnan(uv[vertex, 0]):
                    uv[vertex] = texture[coordinate]
            for k in range(1, len(face_corners) - 1):
                triangles.append([face_corners[0][0], face_corners[k][0], face_corners[k + 1][0]])
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path} is damaged ({error}); {_AGAIN}") from None
    if len(corners) != QUADS:
        raise ValueError(
            f"{path} is damaged: it has {len(corners)} faces, expected {QUADS}; {_AGAIN}"
        )
    return vertices, np.nan_to_num(uv), np.array(triangles, dtype=np.int32)
