"""Poses of a rendered person: blend shapes, eyes that turn, lids that follow, and exact labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from train.synth.facekit import HEAD_FROM_FACEKIT, NARROW_FACE_VERTICES, PARTS, FaceKit
from train.synth.people import Person
from train.synth.scene import Scene

MESH_EYE_CENTER_CM = np.array([3.1078, 3.6044, 7.8958])
"""Centre of the left eyeball's mesh; its radius is 1.54 cm (a fit to the sclera)."""
ROTATION_CENTER_CM = np.array([3.1078, 3.6044, 8.30])
"""Where a life-size left eye turns: 13.5 mm behind the corneal apex."""
ENTRANCE_PUPIL_MM = 10.4
"""From the rotation centre of a life-size eye to its iris, as seen through the cornea."""


@dataclass(slots=True)
class Labels:
    """Exact labels of one picture; angles in radians, positions in the camera frame (mm)."""

    camera_matrix: NDArray[np.float64]
    camera_from_head: NDArray[np.float64]
    face_center_mm: NDArray[np.float64]
    gaze: NDArray[np.float64]
    """(3,) unit, from the face centre to the target."""
    landmarks_px: NDArray[np.float64]
    irises_px: NDArray[np.float64]
    openness: NDArray[np.float64]
    bbox_px: NDArray[np.float64]
    attributes: dict[str, Any]


@dataclass(slots=True)
class Posed:
    """A person with an expression, in the head frame about the face centre."""

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    eye_centers: NDArray[np.float32]
    """(2, 3) rotation centres, the person's right first."""
    eye_meshes: NDArray[np.float32]
    openness: NDArray[np.float64]


class Poser:
    """Turns a person and a scene into vertices and labels; pure numpy, no OpenGL."""

    def __init__(self, kit: FaceKit) -> None:
        self.kit = kit
        # Normals as a sparse product: each vertex sums the normals of its triangles.
        count = len(kit.neutral)
        faces = kit.triangles
        rows = faces.reshape(-1)
        columns = np.repeat(np.arange(len(faces)), 3)
        self._normal_sum = scipy.sparse.csr_matrix(
            (np.ones(len(rows), np.float32), (rows, columns)), shape=(count, len(faces))
        )

    def pose(self, person: Person, scene: Scene, axes_head: NDArray[np.float64]) -> Posed:
        """Blend shapes, with lids that follow the eyes."""
        kit = self.kit
        expression = dict(scene.expression)
        for eye, side in enumerate("RL"):
            a = axes_head[eye]
            up = float(np.degrees(np.arcsin(np.clip(-a[1], -1, 1))))
            left = float(np.degrees(np.arctan2(a[0], -a[2])))  # towards the person's left
            outwards = left if side == "L" else -left
            expression[f"eyeLookUp_{side}"] = float(np.clip(up / 32, 0, 1))
            expression[f"eyeLookDown_{side}"] = float(np.clip(-up / 32, 0, 1.1))
            expression[f"eyeLookOut_{side}"] = float(np.clip(outwards / 38, 0, 1))
            expression[f"eyeLookIn_{side}"] = float(np.clip(-outwards / 38, 0, 1))
            open_left = 1 - 0.55 * float(np.clip(-up / 32, 0, 1))  # a lowered lid has less to go
            expression[f"eyeBlink_{side}"] = scene.blink * open_left
        raw = kit.blend(person.identity, expression)
        calm = kit.blend(person.identity, {})
        landmarks = calm[kit.landmarks]
        origin = (landmarks[[36, 39, 42, 45]].mean(0) + landmarks[[31, 35]].mean(0)) / 2
        to_head = HEAD_FROM_FACEKIT.astype(np.float32)
        vertices = ((raw - origin) @ to_head).astype(np.float32)
        eyes, balls = [], []
        for side, sign in (("right", -1.0), ("left", 1.0)):
            start = PARTS[f"eyeball_{side}"][0]
            shift = calm[start : start + 770].mean(0) - kit.neutral[start : start + 770].mean(0)
            flip = np.array([sign, 1, 1])
            eyes.append((ROTATION_CENTER_CM * flip + shift - origin) @ to_head)
            balls.append((MESH_EYE_CENTER_CM * flip + shift - origin) @ to_head)
        ratio = _aperture(raw[kit.landmarks]) / np.maximum(_aperture(landmarks), 0.3)
        return Posed(
            vertices,
            self._normals(vertices),
            np.array(eyes, np.float32),
            np.array(balls, np.float32),
            np.clip((ratio - 0.12) / 0.88, 0, 1),
        )

    def eye_axes(self, person: Person, scene: Scene) -> NDArray[np.float64]:
        """(2, 3) optical axes in the head frame: each eye aims at the target, offset by kappa."""
        target = scene.camera_from_head.T @ (scene.target_mm - scene.face_center_mm)
        axes = []
        for sign in (-1.0, 1.0):
            center = np.array([sign * 31.0, -25.0, 15.0])  # nominal; the target is far away
            aim = target - center
            aim /= np.linalg.norm(aim)
            yaw, pitch = np.arctan2(aim[0], -aim[2]), np.arcsin(-aim[1])
            yaw += sign * person.kappa_rad[0]  # the optical axis is temporal of the visual one
            pitch -= person.kappa_rad[1]
            axes.append([np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)])
        return np.array(axes)

    def label(
        self, person: Person, scene: Scene, posed: Posed, axes: NDArray[np.float64]
    ) -> Labels:
        def project(points: NDArray[Any]) -> NDArray[np.float64]:
            p = points @ scene.camera_from_head.T + scene.face_center_mm
            p = p @ scene.camera_matrix.T
            return np.asarray(p[:, :2] / p[:, 2:])

        marks = posed.vertices[self.kit.landmarks]
        center = (marks[[36, 39, 42, 45]].mean(0) + marks[[31, 35]].mean(0)) / 2
        center_camera = scene.camera_from_head @ center + scene.face_center_mm
        gaze = scene.target_mm - center_camera
        face = project(posed.vertices[:NARROW_FACE_VERTICES])
        return Labels(
            camera_matrix=scene.camera_matrix,
            camera_from_head=scene.camera_from_head,
            face_center_mm=center_camera,
            gaze=gaze / np.linalg.norm(gaze),
            landmarks_px=project(marks),
            irises_px=project(posed.eye_centers + ENTRANCE_PUPIL_MM * axes),
            openness=posed.openness,
            bbox_px=np.concatenate([face.min(0), face.max(0)]),
            attributes={
                **person.attributes,
                "glasses": scene.glasses,
                "near_infrared": bool(scene.near_infrared),
                "smile": scene.expression.get("mouthSmile_L", 0.0) > 0.3,
                "mouth_open": scene.expression.get("jawOpen", 0.0) > 0.25,
                "eyes_closed": bool(posed.openness.mean() < 0.15),
            },
        )

    def _normals(self, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        a, b, c = (vertices[self.kit.triangles[:, k]] for k in range(3))
        face = np.cross(b - a, c - a)
        normals = self._normal_sum @ face
        # Outwards: the head frame turns FaceKit's y and z, a rotation, so the winding stays.
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
        return np.asarray(normals, dtype=np.float32)


def _aperture(marks: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2,) distance between the lids, the person's right eye first."""
    pairs = (((37, 41), (38, 40)), ((43, 47), (44, 46)))
    return np.array([np.mean([np.linalg.norm(marks[a] - marks[b]) for a, b in p]) for p in pairs])
