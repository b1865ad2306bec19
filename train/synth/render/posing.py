"""Poses of a rendered person: blend shapes, eyes that turn, lids that follow, and exact labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from train.synth.figure.facekit import NARROW_FACE_VERTICES, PARTS, FaceKit
from train.synth.figure.people import Person, face_center, to_head
from train.synth.render.lids import LidShapes, brow_weights
from train.synth.render.scene import Scene

ENTRANCE_PUPIL_MM = 10.4
"""From the rotation centre of a life-size eye to its iris, as seen through the cornea."""
RIM_ANGLES_RAD = np.arange(8) * np.pi / 4
"""Where the rim of an iris is labelled: from the head's right-to-left axis towards its chin."""

SHADED_PARTS = (
    "face",
    "head",
    "mouth_socket",
    "eye_socket_left",
    "eye_socket_right",
    "gums",
    "teeth",
    "lacrimal_left",
    "lacrimal_right",
)
"""Parts whose normals are needed: what is drawn with light."""


@dataclass(slots=True)
class Labels:
    """Exact labels of one face; angles in radians, positions in the camera frame (mm)."""

    camera_matrix: NDArray[np.float64]
    """(3, 3) of the frame that pixel positions belong to."""
    camera_from_head: NDArray[np.float64]
    face_center_mm: NDArray[np.float64]
    target_mm: NDArray[np.float64]
    gaze: NDArray[np.float64]
    """(3,) unit, from the face centre to the target."""
    eye_centers_mm: NDArray[np.float64]
    """(2, 3) rotation centres, the person's right first (as all pairs)."""
    eye_axes: NDArray[np.float64]
    """(2, 3) optical axes, unit."""
    kappa_rad: tuple[float, float]
    landmarks_px: NDArray[np.float64]
    irises_px: NDArray[np.float64]
    rims_px: NDArray[np.float64]
    """(2, 8, 2) of each iris's rim as seen through the cornea, at :data:`RIM_ANGLES_RAD`."""
    visible: NDArray[np.bool_]
    """(70,) of the landmarks, then the irises: nothing in front (filled in by the renderer)."""
    openness: NDArray[np.float64]
    bbox_px: NDArray[np.float64]
    face_px: float
    """Pixels across 140 mm at the face centre."""
    factors: dict[str, bool]
    eyes_closed: bool


@dataclass(slots=True)
class Posed:
    """A person with an expression, in the head frame about the calm face's centre."""

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    axes: NDArray[np.float64]
    """(2, 3) optical axes, head frame."""
    openness: NDArray[np.float64]
    mouth_open: bool
    """Whether anything behind the lips can be seen."""


class Poser:
    """Turns a person and a scene into vertices and labels; pure numpy, no OpenGL."""

    def __init__(self, kit: FaceKit) -> None:
        self.kit = kit
        self._lids = LidShapes(kit)
        # Normals as a sparse product: each vertex sums the normals of its triangles.
        shaded = np.zeros(len(kit.neutral), bool)
        for part in SHADED_PARTS:
            shaded[slice(*PARTS[part])] = True
        self._faces = kit.triangles[shaded[kit.triangles].all(1)]
        rows = self._faces.reshape(-1)
        columns = np.repeat(np.arange(len(self._faces)), 3)
        self._normal_sum = scipy.sparse.csr_matrix(
            (np.ones(len(rows), np.float32), (rows, columns)),
            shape=(len(kit.neutral), len(self._faces)),
        )

    def pose(self, person: Person, scene: Scene) -> Posed:
        """Blend shapes, with lids that follow the eyes as this person's do."""
        kit = self.kit
        axes = self.eye_axes(person, scene)
        expression = dict(scene.expression)
        for eye, side in enumerate("RL"):
            a = axes[eye]
            left = float(np.degrees(np.arctan2(a[0], -a[2])))  # towards the person's left
            outwards = left if side == "L" else -left
            expression[f"eyeLookOut_{side}"] = float(np.clip(outwards / 38, 0, 1))
            expression[f"eyeLookIn_{side}"] = float(np.clip(-outwards / 38, 0, 1))
        for name, weight in brow_weights(person, scene.brow_shift).items():
            expression[name] = max(weight, expression.get(name, 0.0))
        irises = -ENTRANCE_PUPIL_MM * axes[:, 1]
        lids = self._lids.weights(person, expression, irises, scene.lid_shift_mm, scene.blink)
        for name, weight in lids.items():
            expression[name] = expression.get(name, 0.0) + weight
        raw = person.raw.copy()
        for name, weight in expression.items():
            if weight:
                raw += np.float32(weight) * kit.expression[kit.index(name)]
        vertices = to_head(person.origin_cm, raw)
        before = _aperture(person.raw[kit.landmarks])
        ratio = _aperture(raw[kit.landmarks]) / np.maximum(before, 0.3)
        lips = raw[kit.landmarks[[61, 62, 63]]] - raw[kit.landmarks[[67, 66, 65]]]
        return Posed(
            vertices,
            self.normals(vertices),
            axes,
            np.clip((ratio - 0.12) / 0.88, 0, 1),
            bool(np.linalg.norm(lips, axis=1).max() > 0.12),
        )

    def eye_axes(self, person: Person, scene: Scene) -> NDArray[np.float64]:
        """(2, 3) optical axes in the head frame.

        Each eye turns rigidly about its own centre until its visual axis, which is the optical
        axis turned by the person's kappa, meets the target; so the eyes converge.
        """
        target = scene.camera_from_head.T @ (scene.target_mm - scene.face_center_mm)
        axes = []
        for sign, center in zip((-1.0, 1.0), person.eye_centers, strict=True):
            aim = target - center
            aim /= np.linalg.norm(aim)
            yaw, pitch = np.arctan2(aim[0], -aim[2]), np.arcsin(-aim[1])
            yaw += sign * person.kappa_rad[0]  # the optical axis is temporal of the visual one
            pitch -= person.kappa_rad[1]
            axes.append([np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)])
        return np.array(axes)

    def label(self, person: Person, scene: Scene, posed: Posed) -> Labels:
        """Labels in the frame of the scene's camera; all points counted as visible."""

        def to_camera(points: NDArray[Any]) -> NDArray[np.float64]:
            return np.asarray(points @ scene.camera_from_head.T + scene.face_center_mm)

        def project(points: NDArray[Any]) -> NDArray[np.float64]:
            p = to_camera(points) @ scene.camera_matrix.T
            return np.asarray(p[:, :2] / p[:, 2:])

        marks = posed.vertices[self.kit.landmarks].astype(np.float64)
        center = to_camera(face_center(marks)[None])[0]
        gaze = scene.target_mm - center
        face = project(posed.vertices[:NARROW_FACE_VERTICES])
        return Labels(
            camera_matrix=scene.camera_matrix,
            camera_from_head=scene.camera_from_head,
            face_center_mm=center,
            target_mm=scene.target_mm,
            gaze=gaze / np.linalg.norm(gaze),
            eye_centers_mm=to_camera(person.eye_centers.astype(np.float64)),
            eye_axes=posed.axes @ scene.camera_from_head.T,
            kappa_rad=person.kappa_rad,
            landmarks_px=project(marks),
            irises_px=project(person.eye_centers + ENTRANCE_PUPIL_MM * posed.axes),
            rims_px=project(iris_rims(person, posed.axes).reshape(-1, 3)).reshape(2, -1, 2),
            visible=np.ones(70, bool),
            openness=posed.openness,
            bbox_px=np.concatenate([face.min(0), face.max(0)]),
            face_px=scene.face_px,
            factors=dict(scene.factors),
            eyes_closed=bool(posed.openness.mean() < 0.15),
        )

    def normals(self, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        """(26719, 3) unit outward normals of the shaded parts (others are zero)."""
        a, b, c = (vertices[self._faces[:, k]] for k in range(3))
        u, v = b - a, c - a
        face = np.empty_like(u)
        for k in range(3):  # numpy's cross is several times slower
            i, j = (k + 1) % 3, (k + 2) % 3
            face[:, k] = u[:, i] * v[:, j] - u[:, j] * v[:, i]
        normals = np.asarray(self._normal_sum @ face)
        # Outwards: the head frame turns FaceKit's y and z, a rotation, so the winding stays.
        normals /= np.sqrt(np.einsum("ij,ij->i", normals, normals))[:, None] + 1e-9
        return np.asarray(normals, dtype=np.float32)


def iris_rims(person: Person, axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 8, 3) points of both irises' rims in the head frame (mm), as seen through the cornea."""
    sideways = np.array([1.0, 0.0, 0.0]) - axes[:, :1] * axes
    sideways /= np.linalg.norm(sideways, axis=1, keepdims=True)
    down = np.cross(sideways, axes)
    turn = np.cos(RIM_ANGLES_RAD)[:, None], np.sin(RIM_ANGLES_RAD)[:, None]
    around = turn[0] * sideways[:, None] + turn[1] * down[:, None]
    middles = person.eye_centers + ENTRANCE_PUPIL_MM * axes
    return np.asarray(middles[:, None] + person.iris_radius_mm * around)


def _aperture(marks: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2,) distance between the lids, the person's right eye first."""
    pairs = (((37, 41), (38, 40)), ((43, 47), (44, 46)))
    return np.array([np.mean([np.linalg.norm(marks[a] - marks[b]) for a, b in p]) for p in pairs])
