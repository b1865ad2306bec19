"""The bundled picture and clip: ``python -m train.demo_media --facekit DIR --out samples/media``.

Rendered people with known gaze, seen by a camera with a horizontal field of view of 60°, which is
what the SDK assumes when it is given no camera.  A side-car ``NAME.json`` holds the truth.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import Camera
from clipgaze_sdk.geometry import angles_from_vector, vector_from_angles
from train.synth.backgrounds import sample_background
from train.synth.facekit import FaceKit, load_facekit
from train.synth.people import Person, sample_person
from train.synth.posing import Labels
from train.synth.renderer import Renderer
from train.synth.scene import Scene, rotation_from_angles, sample_scene

FOV_DEG = 60.0
CLIP_FRAMES = 90
CLIP_FPS = 30.0
LEFT, RIGHT, CLIP = 113, 120, 119
"""Seeds of the people; none is in the training or held-out pictures."""


class Stage:
    """A frame of some size in which people are drawn one after the other."""

    def __init__(self, kit: FaceKit, width: int, height: int) -> None:
        self.kit = kit
        self.camera = Camera.from_fov(width, height, FOV_DEG)
        self.renderer = Renderer(kit, size_px=height, supersample=2)

    def draw(
        self, frame: NDArray[np.uint8], person: Person, scene: Scene, left: int
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Draw a person into the square part of the frame that starts at column ``left``."""
        side = frame.shape[0]
        matrix = self.camera.matrix.copy()
        matrix[0, 2] -= left
        scene.camera_matrix, scene.size_px = matrix, side
        rgba, labels = self.renderer.render(person, scene)
        cover = rgba[..., 3:].astype(np.float32) / 255
        part = frame[:, left : left + side]
        out = frame.copy()
        out[:, left : left + side] = np.clip(rgba[..., :3] + part * (1 - cover), 0, 255)
        return out, truth(labels, left)


def truth(labels: Labels, left: int) -> dict[str, Any]:
    """What is known of a face, in the frame's pixels and the camera's frame."""
    pitch, yaw = angles_from_vector(labels.gaze)
    return {
        "pitch_rad": round(float(pitch), 5),
        "yaw_rad": round(float(yaw), 5),
        "vector": np.round(labels.gaze, 6).tolist(),
        "origin_mm": np.round(labels.face_center_mm, 2).tolist(),
        "bbox_px": np.round(labels.bbox_px + [left, 0, left, 0], 1).tolist(),
        "landmarks_px": np.round(labels.landmarks_px + [left, 0], 2).tolist(),
        "irises_px": np.round(labels.irises_px + [left, 0], 2).tolist(),
    }


def staged(
    rng: np.random.Generator,
    person: Person,
    *,
    center_mm: tuple[float, float, float],
    head: tuple[float, float],
    gaze: tuple[float, float],
) -> Scene:
    """A well lit scene with a given place, head (pitch, yaw) and gaze (pitch, yaw) in radians."""
    scene = sample_scene(rng, person, size_px=400)
    scene.face_center_mm = np.array(center_mm)
    scene.camera_from_head = rotation_from_angles(head[1], head[0], 0.02)
    scene.target_mm = scene.face_center_mm + 900 * vector_from_angles(gaze)
    scene.expression = {"mouthSmile_L": 0.25, "mouthSmile_R": 0.25}
    scene.blink, scene.near_infrared, scene.exposure = 0.0, 0.0, 1.0
    return scene


def picture(kit: FaceKit, out: Path, seed: int) -> None:
    """Two people, one looking left and up, one right and down, in 1280×720."""
    stage = Stage(kit, 1280, 720)
    rng = np.random.default_rng(seed)
    frame = cv2.GaussianBlur(
        sample_background(np.random.default_rng(seed + 5), 1280, 720), (0, 0), 9
    )
    frame = np.asarray(frame, np.uint8)
    faces = []
    for cast, x, head, gaze, left, glasses in (
        (LEFT, -150.0, (0.05, 0.15), (0.14, 0.45), 60, "none"),
        (RIGHT, 160.0, (-0.05, -0.10), (-0.22, -0.35), 520, "glasses"),
    ):
        person = sample_person(np.random.default_rng(cast), kit)
        scene = staged(rng, person, center_mm=(x, -10.0, 720.0), head=head, gaze=gaze)
        scene.glasses = glasses
        frame, face = stage.draw(frame, person, scene, left)
        faces.append(face)
    cv2.imwrite(str(out / "portrait.jpg"), frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    write_truth(out / "portrait.json", {"horizontal_fov_deg": FOV_DEG, "faces": faces})


def clip(kit: FaceKit, out: Path, seed: int) -> None:
    """One person following a moving point with eyes and head for three seconds, in 640×360."""
    stage = Stage(kit, 640, 360)
    rng = np.random.default_rng(seed)
    person = sample_person(np.random.default_rng(CLIP), kit)
    base = cv2.GaussianBlur(sample_background(np.random.default_rng(seed + 9), 640, 360), (0, 0), 5)
    first = staged(rng, person, center_mm=(0, 0, 560), head=(0, 0), gaze=(0, 0))
    path = str(out / "clip.mp4")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), CLIP_FPS, (640, 360))
    if not writer.isOpened():
        raise SystemExit(f"could not open {path} for writing")
    frames = []
    for index in range(CLIP_FRAMES):
        t = index / CLIP_FRAMES * 2 * np.pi
        gaze = (0.26 * np.sin(t), 0.45 * np.sin(t + 0.6))
        head = (0.35 * gaze[0], 0.45 * gaze[1])
        first.face_center_mm = np.array([25 * np.sin(t), 8 * np.cos(t) - 8, 560 + 30 * np.sin(t)])
        first.camera_from_head = rotation_from_angles(head[1], head[0], 0.05 * np.sin(t))
        first.target_mm = first.face_center_mm + 900 * vector_from_angles(gaze)
        first.blink = float(max(0.0, 1 - abs(index - 62) / 3))  # one blink
        frame, face = stage.draw(np.asarray(base, np.uint8), person, first, 140)
        frame = np.clip(frame + rng.normal(0, 2.0, frame.shape), 0, 255).astype(np.uint8)
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
        face["blink"] = first.blink
        del face["landmarks_px"]
        frames.append(face)
    writer.release()
    write_truth(
        out / "clip.json", {"horizontal_fov_deg": FOV_DEG, "fps": CLIP_FPS, "frames": frames}
    )


def write_truth(path: Path, data: dict[str, Any]) -> None:
    """Write a side-car, compact."""
    path.write_text(json.dumps(data, separators=(",", ":")) + "\n")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m train.demo_media", description=__doc__)
    parser.add_argument("--facekit", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("samples/media"))
    parser.add_argument("--seed", type=int, default=12)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    kit = load_facekit(args.facekit)
    picture(kit, args.out, args.seed)
    clip(kit, args.out, args.seed + 100)
    print(f"wrote portrait.jpg and clip.mp4 with their truth into {args.out}")


if __name__ == "__main__":
    main()
