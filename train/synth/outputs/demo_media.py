"""The picture and the clip of samples/media: ``python -m train.synth demo-media``.

Rendered people with known gaze, seen by a camera with a horizontal field of view of 60°, which is
what the SDK assumes when it is given no camera.  A side-car ``NAME.json`` holds the truth.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import Camera
from clipgaze_sdk.geometry import angles_from_vector, vector_from_angles
from train.factors import FACTORS
from train.synth.domains import domain
from train.synth.figure.facekit import FaceKit, load_facekit
from train.synth.figure.people import Person
from train.synth.outputs.light import Image, composed
from train.synth.outputs.studio import Studio
from train.synth.places.lighting import Lighting, sample_lighting
from train.synth.render.posing import Labels
from train.synth.render.scene import Scene, place, rotation_from_angles
from train.synth.render.sensor import Sensor, expose
from train.synth.streams import Streams

FOV_DEG = 60.0
CLIP_FRAMES = 90
CLIP_FPS = 30.0
SEED = 7_000_000
"""Of the people; none is in training or evaluation pictures."""
LEFT, RIGHT, CLIP = 3, 8, 5
SENSOR = Sensor(
    exposure=1.25,
    filmic=True,
    shot_noise=1e-4,
    read_noise=0.002,
    grain=0.6,
    chroma_noise=0.2,
    sharpen=0.3,
)


class Stage:
    """A frame of some size, its light and its people, drawn one after the other."""

    def __init__(self, kit: FaceKit, width: int, height: int, light: str, place: str) -> None:
        self.studio = Studio(kit)
        self.size = (width, height)
        self.camera = Camera.from_fov(width, height, FOV_DEG)
        self.streams = Streams(SEED, 9)
        quiet = {f.name: False for f in FACTORS}
        self.lighting: Lighting = sample_lighting(self.streams("light"), light, quiet)
        behind = self.studio.backgrounds.sample(
            self.streams("background"), place, width, height, self.lighting
        )
        self.behind = np.asarray(cv2.GaussianBlur(behind, (0, 0), height / 160), np.float32)

    def person(self, number: int, **factors: bool) -> Person:
        """Somebody of these factors; all others are off."""
        on = {f.name: False for f in FACTORS} | factors
        return self.studio.people.make(Streams(SEED, 1, number), on)

    def scene(
        self,
        person: Person,
        center_mm: tuple[float, float, float],
        head: tuple[float, float],
        gaze: tuple[float, float],
        **factors: bool,
    ) -> Scene:
        """A still face at a place, with head and gaze (pitch, yaw) in radians."""
        center = np.array(center_mm)
        on = {**person.factors, **factors}
        own = Streams(SEED, 2, round(float(np.sum(person.identity)) * 1000) % 9973)
        scene = place(own, domain("mix"), on, center, self.camera.matrix.copy(), self.size)
        smile = {"mouthSmile_L": 0.25, "mouthSmile_R": 0.25}
        return replace(
            scene,
            lighting=self.lighting,
            expression=smile,
            blink=0.0,
            camera_from_head=rotation_from_angles(head[1], head[0], 0.02),
            target_mm=center + 900 * vector_from_angles(gaze),
        )

    def draw(self, light: Image, person: Person, scene: Scene) -> tuple[Image, dict[str, Any]]:
        """A person before ``light`` (H, W, 3), and what is known of the face."""
        drawn = self.studio.renderer.render(person, scene, (0, 0, *self.size))
        return composed(drawn.rgba, light), truth(drawn.labels)


def truth(labels: Labels) -> dict[str, Any]:
    """What is known of a face, in the frame's pixels and the camera's frame."""
    pitch, yaw = angles_from_vector(labels.gaze)
    return {
        "pitch_rad": round(float(pitch), 5),
        "yaw_rad": round(float(yaw), 5),
        "vector": np.round(labels.gaze, 6).tolist(),
        "origin_mm": np.round(labels.face_center_mm, 2).tolist(),
        "bbox_px": np.round(labels.bbox_px, 1).tolist(),
        "landmarks_px": np.round(labels.landmarks_px, 2).tolist(),
        "irises_px": np.round(labels.irises_px, 2).tolist(),
    }


def picture(kit: FaceKit, out: Path) -> None:
    """Two people, one looking left and up, one right and down, in 1280×720."""
    stage = Stage(kit, 1280, 720, "window", "room")
    light, faces = stage.behind, []
    cast: list[tuple[Person, Any, Any, Any, dict[str, bool]]] = [
        (
            stage.person(LEFT, feminine=True, long_hair=True, full_lips=True),
            (-150.0, -10.0, 720.0),
            (0.05, 0.15),
            (0.14, 0.45),
            {},
        ),
        (
            stage.person(RIGHT, dark_skin=True, black_hair=True, stubble=True),
            (160.0, -10.0, 720.0),
            (-0.05, -0.10),
            (-0.22, -0.35),
            {"glasses": True},
        ),
    ]
    for person, center, head, gaze, factors in cast:
        light, face = stage.draw(light, person, stage.scene(person, center, head, gaze, **factors))
        faces.append(face)
    frame = expose(np.random.default_rng(1), light, SENSOR)
    cv2.imwrite(str(out / "portrait.jpg"), frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    write_truth(out / "portrait.json", {"horizontal_fov_deg": FOV_DEG, "faces": faces})


def clip(kit: FaceKit, out: Path) -> None:
    """One person following a moving point with eyes and head for three seconds, in 640×360."""
    stage = Stage(kit, 640, 360, "office", "office")
    person = stage.person(CLIP, stubble=True)
    path = str(out / "clip.mp4")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), CLIP_FPS, (640, 360))
    if not writer.isOpened():
        raise SystemExit(f"could not open {path} for writing")
    frames = []
    for index in range(CLIP_FRAMES):
        t = index / CLIP_FRAMES * 2 * np.pi
        gaze = (0.26 * np.sin(t), 0.45 * np.sin(t + 0.6))
        head = (0.35 * gaze[0], 0.45 * gaze[1])
        center = (25 * np.sin(t), 8 * np.cos(t) - 8, 560 + 30 * np.sin(t))
        scene = stage.scene(person, center, head, gaze)
        scene.camera_from_head = rotation_from_angles(head[1], head[0], 0.05 * np.sin(t))
        scene.blink = float(max(0.0, 1 - abs(index - 62) / 3))  # one blink
        light, face = stage.draw(stage.behind, person, scene)
        frame: NDArray[np.uint8] = expose(np.random.default_rng([2, index]), light, SENSOR)
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
        face["blink"] = scene.blink
        del face["landmarks_px"]
        frames.append(face)
    writer.release()
    write_truth(
        out / "clip.json", {"horizontal_fov_deg": FOV_DEG, "fps": CLIP_FPS, "frames": frames}
    )


def write_truth(path: Path, data: dict[str, Any]) -> None:
    """Write a side-car, compact."""
    path.write_text(json.dumps(data, separators=(",", ":")) + "\n")


def make_media(facekit: Path, out: Path) -> None:
    """Draw the picture and the clip into a folder, each with its truth."""
    try:
        kit = load_facekit(facekit)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(str(error)) from None
    out.mkdir(parents=True, exist_ok=True)
    picture(kit, out)
    clip(kit, out)
    print(f"wrote portrait.jpg and clip.mp4 with their truth into {out}")
