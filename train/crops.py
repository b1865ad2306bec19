"""Training arrays cut from rendered shards, with the SDK's own geometry.

Crops for the gaze network are made as the SDK makes them: landmarks (with the errors that a
landmark network has) → head pose by PnP → normalisation → warp.  So what training sees is what
run time sees.  Results are cached per shard as ``.npz`` files.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import Camera
from clipgaze_sdk.geometry import (
    GazeNormalization,
    angles_from_vector,
    box_from_landmarks,
    face_crop_from_landmarks,
    head_pose_from_landmarks,
)
from train.synth.backgrounds import sample_background
from train.synth.write import Picture, read_shard

GAZE = GazeNormalization(
    focal_px=960.0, distance_mm=600.0, size_px=(224, 96), center_px=(111.5, 79.5)
)
LANDMARK_CROP_SCALE = 1.5
LANDMARK_STORE_PX = 192
LANDMARK_STORE_SCALE = LANDMARK_CROP_SCALE * 1.5
DETECTOR_PX = 320
DETECTOR_MAX_FACES = 8
GAZE_VARIANTS = 2

Arrays = dict[str, NDArray[Any]]


class Backgrounds:
    """A pool of procedural backgrounds, each used many times in different parts and turns."""

    def __init__(self, rng: np.random.Generator, count: int = 60, side: int = 520) -> None:
        self._pool = [sample_background(rng, side, side) for _ in range(count)]

    def sample(self, rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
        """A (side, side, 3) part of one of them."""
        image = self._pool[int(rng.integers(len(self._pool)))]
        room = image.shape[0] - side
        x, y = (int(v) for v in rng.integers(0, max(room, 0) + 1, 2))
        part = image[y : y + side, x : x + side] if room >= 0 else cv2.resize(image, (side, side))
        if rng.random() < 0.5:
            part = part[:, ::-1]
        return part[::-1] if rng.random() < 0.5 else part


def compose(picture: Picture, background: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The person in front of a background, RGB."""
    cover = picture.alpha[..., None].astype(np.float32) / 255
    return np.clip(picture.rgb + background * (1 - cover), 0, 255).astype(np.uint8)


def degrade(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What cameras do: exposure, white balance, blur, noise, JPEG."""
    x = image.astype(np.float32) / 255
    x = x ** float(np.exp(rng.normal(0, 0.22)))
    x *= (rng.uniform(0.7, 1.2) * (1 + rng.normal(0, 0.06, 3))).astype(np.float32)
    if rng.random() < 0.3:
        x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.4, 1.6)))
    if rng.random() < 0.12:
        x = cv2.filter2D(x, -1, _motion_kernel(rng))
    if rng.random() < 0.55:
        noise = rng.normal(0, 1, x.shape if rng.random() < 0.5 else (*x.shape[:2], 1))
        x = x + (noise * rng.uniform(0.004, 0.045)).astype(np.float32)
    if rng.random() < 0.12:
        x = np.repeat(x.mean(-1, keepdims=True), 3, -1)
    out = np.clip(x * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 96))]
        out = np.asarray(cv2.imdecode(cv2.imencode(".jpg", out, quality)[1], 1), np.uint8)
    return out


def _motion_kernel(rng: np.random.Generator) -> NDArray[np.float32]:
    size = int(rng.integers(3, 10))
    kernel = np.zeros((size, size), np.float32)
    angle = rng.uniform(0, np.pi)
    middle = (size - 1) / 2
    dx, dy = middle * np.cos(angle), middle * np.sin(angle)
    ends = [(round(middle + s * dx), round(middle + s * dy)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1)
    return kernel / kernel.sum()


def scaled(
    rng: np.random.Generator, image: NDArray[np.uint8], *, lowest: float = 0.22
) -> tuple[NDArray[np.uint8], float]:
    """The image shrunk as if the person were farther away; returns it and the factor."""
    if rng.random() < 0.55:
        return image, 1.0
    factor = float(np.exp(rng.uniform(np.log(lowest), 0)))
    side = max(48, round(image.shape[0] * factor))
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), side / image.shape[0]


def noisy_landmarks(
    rng: np.random.Generator, landmarks: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Landmarks with errors like a landmark network's: common shift and turn, and each its own."""
    size = float(np.linalg.norm(landmarks[45] - landmarks[36])) + 1.0
    size = max(size, float(np.linalg.norm(landmarks[8] - landmarks[27])) * 0.7)
    amount = float(rng.choice([0.3, 1.0, 2.0], p=[0.3, 0.5, 0.2]))
    angle, scale = rng.normal(0, 0.012) * amount, 1 + rng.normal(0, 0.012) * amount
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = landmarks.mean(0)
    moved = (landmarks - middle) @ turn.T + middle + rng.normal(0, 0.010, 2) * amount * size
    return np.asarray(moved + rng.normal(0, 0.012, landmarks.shape) * amount * size)


def gaze_arrays(
    shard: Path, seed: int, *, variants: int = GAZE_VARIANTS, clean: bool = False
) -> Arrays:
    """Eye bands (N, 96, 224, 3) uint8 RGB and their (pitch, yaw) in the normalised camera.

    ``clean`` leaves out errors of camera and landmarks (for measuring them apart).
    """
    rng = np.random.default_rng([seed, 11, _number(shard)])
    backgrounds = Backgrounds(rng)
    crops, labels, keys, openness, poses = [], [], [], [], []
    for picture in read_shard(shard):
        mark = picture.labels
        for _ in range(variants):
            image = compose(picture, backgrounds.sample(rng, picture.rgb.shape[0]))
            if not clean:
                image, factor = scaled(rng, image)
                image = degrade(rng, image)
            else:
                factor = 1.0
            matrix = np.array(mark["camera_matrix"])
            matrix = (
                np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1]])
                @ matrix
            )
            marks = (np.array(mark["landmarks_px"]) + 0.5) * factor - 0.5
            if not clean:
                marks = noisy_landmarks(rng, marks)
                if rng.random() < 0.5:  # a user's camera is often not calibrated
                    matrix[[0, 1], [0, 1]] *= np.exp(rng.normal(0, 0.2))
            camera = Camera(matrix, size_px=(image.shape[1], image.shape[0]))
            pose = head_pose_from_landmarks(marks, camera)
            turn = GAZE.rotation(pose.translation_mm, pose.camera_from_head)
            warp = GAZE.image_from_crop(camera, pose.translation_mm, turn)
            crops.append(_warp(image, warp, GAZE.size_px))
            labels.append(angles_from_vector(turn @ np.array(mark["gaze"])))
            facing = turn @ np.array(mark["camera_from_head"]) @ np.array([0, 0, -1.0])
            poses.append(angles_from_vector(facing))
            openness.append(mark["openness"])
            keys.append(mark["index"])
    return {
        "crops": np.stack(crops),
        "labels": np.array(labels, np.float32),
        "head": np.array(poses, np.float32),
        "openness": np.array(openness, np.float32),
        "index": np.array(keys, np.int64),
    }


def landmark_arrays(shard: Path, seed: int) -> Arrays:
    """Wide face crops (N, 192, 192, 3) and points (N, 70, 2) in units of the crop."""
    rng = np.random.default_rng([seed, 12, _number(shard)])
    backgrounds = Backgrounds(rng)
    crops, points, openness, empty = [], [], [], []
    side = LANDMARK_STORE_PX
    for picture in read_shard(shard):
        image = compose(picture, backgrounds.sample(rng, picture.rgb.shape[0]))
        image, factor = scaled(rng, image, lowest=0.15)
        image = degrade(rng, image)
        marks = (np.array(picture.labels["landmarks_px"]) + 0.5) * factor - 0.5
        irises = (np.array(picture.labels["irises_px"]) + 0.5) * factor - 0.5
        warp = face_crop_from_landmarks(marks, size_px=side, scale=LANDMARK_STORE_SCALE)
        crops.append(_warp(image, warp, (side, side)))
        everything = np.column_stack([np.vstack([marks, irises]), np.ones(70)])
        pixels = everything @ np.linalg.inv(warp).T
        points.append((pixels[:, :2] / pixels[:, 2:] + 0.5) / side * 2 - 1)
        openness.append(picture.labels["openness"])
        if rng.random() < 0.15:
            empty.append(degrade(rng, np.ascontiguousarray(backgrounds.sample(rng, side))))
    return {
        "crops": np.stack(crops),
        "points": np.array(points, np.float32),
        "openness": np.array(openness, np.float32),
        "empty": np.stack(empty),
    }


def detector_arrays(shard: Path, seed: int, *, count: int = 400) -> Arrays:
    """Composed frames (count, 320, 320, 3), boxes (count, 8, 4) and points (count, 8, 5, 2).

    Unused rows hold NaN.
    """
    rng = np.random.default_rng([seed, 13, _number(shard)])
    backgrounds = Backgrounds(rng, 150)
    pictures = list(read_shard(shard))
    frames, boxes, points = [], [], []
    for _ in range(count):
        frame = np.ascontiguousarray(backgrounds.sample(rng, DETECTOR_PX)).astype(np.float32)
        frame_boxes = np.full((DETECTOR_MAX_FACES, 4), np.nan, np.float32)
        frame_points = np.full((DETECTOR_MAX_FACES, 5, 2), np.nan, np.float32)
        wanted = int(rng.choice([0, 1, 1, 2, 3, 4, 6, 8]))
        heights = np.sort(np.exp(rng.uniform(np.log(13), np.log(290), wanted)))
        placed = 0
        for height in heights:
            picture = pictures[int(rng.integers(len(pictures)))]
            result = _paste(rng, frame, picture, float(height), frame_boxes[:placed])
            if result is not None:
                frame_boxes[placed], frame_points[placed] = result
                placed += 1
        frames.append(degrade(rng, np.clip(frame, 0, 255).astype(np.uint8)))
        boxes.append(frame_boxes)
        points.append(frame_points)
    return {"frames": np.stack(frames), "boxes": np.stack(boxes), "points": np.stack(points)}


def _paste(
    rng: np.random.Generator,
    frame: NDArray[np.float32],
    picture: Picture,
    height: float,
    others: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Draw one person into a frame; the box and five points, or None where there is no room."""
    side = frame.shape[0]
    mark = picture.labels
    box = np.array(mark["bbox_px"])
    rgb, alpha = picture.rgb, picture.alpha
    factor = height / (box[3] - box[1])
    before = 1.0
    if factor < 0.6:  # average before the warp, so that small faces do not alias
        before = max(round(rgb.shape[0] * factor), 16) / rgb.shape[0]
        to = (round(rgb.shape[0] * before),) * 2
        rgb = cv2.resize(rgb, to, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(alpha, to, interpolation=cv2.INTER_AREA)
    angle = (
        float(np.clip(rng.normal(0, 0.2), -0.8, 0.8))
        if rng.random() < 0.7
        else rng.uniform(-0.8, 0.8)
    )
    zoom = factor / before
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.array([box[0] + box[2], box[1] + box[3]]) / 2 + 0.5) * before - 0.5
    target = rng.uniform(-0.02, 1.02, 2) * side
    affine = np.column_stack([turn, target - turn @ middle])

    def to_frame(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(((p + 0.5) * before - 0.5) @ affine[:, :2].T + affine[:, 2])

    marks = to_frame(np.array(mark["landmarks_px"]))
    new = box_from_landmarks(marks)  # the box that the SDK gives a followed face
    shown = np.concatenate([np.maximum(new[:2], 0), np.minimum(new[2:], side - 1)])
    area = float(np.prod(np.maximum(new[2:] - new[:2], 1)))
    if float(np.prod(np.maximum(shown[2:] - shown[:2], 0))) < 0.6 * area:
        return None
    for other in others:
        common = np.minimum(new[2:], other[2:]) - np.maximum(new[:2], other[:2])
        smaller = min(area, float(np.prod(other[2:] - other[:2])))
        if (common > 0).all() and float(np.prod(common)) > 0.15 * smaller:
            return None
    size = (side, side)
    color = cv2.warpAffine(rgb, affine, size, flags=cv2.INTER_LINEAR).astype(np.float32)
    cover = cv2.warpAffine(alpha, affine, size, flags=cv2.INTER_LINEAR)[..., None] / np.float32(255)
    for x0, y0, x1, y1 in np.clip(others, 0, side - 1).astype(int):
        if cover[y0 : y1 + 1, x0 : x1 + 1].mean() > 0.2:  # a body in front of another's face
            return None
    frame *= 1 - cover
    frame += color
    five = np.stack([marks[36:42].mean(0), marks[42:48].mean(0), marks[30], marks[48], marks[54]])
    return new, five.astype(np.float32)


def _warp(
    image: NDArray[np.uint8], image_from_crop: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The SDK's sampling, kept as bytes."""
    from clipgaze_sdk._crops import sample_crops

    crop = sample_crops(
        np.ascontiguousarray(image),
        image_from_crop[None],
        width=size[0],
        height=size[1],
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        color="rgb",
    )[0]
    return np.ascontiguousarray(np.round(crop.transpose(1, 2, 0) * 255).astype(np.uint8))


def _number(shard: Path) -> int:
    return int(shard.stem.rsplit("-", 1)[1])


KINDS: dict[str, Callable[[Path, int], Arrays]] = {
    "gaze": gaze_arrays,
    "landmarks": landmark_arrays,
    "detector": detector_arrays,
}


def prepared(kind: str, data: Path, cache: Path, *, seed: int = 0, workers: int = 2) -> Arrays:
    """All shards' arrays of one kind, made (in parallel) where the cache has them not.

    Raises :class:`FileNotFoundError` when ``data`` holds no shards.
    """
    shards = sorted(data.glob("shard-*.tar"))
    if not shards:
        raise FileNotFoundError(
            f"{data} holds no shard-*.tar; write some with `python -m train.synth write`"
        )
    folder = cache / kind
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(kind, s, folder / f"{s.stem}.npz", seed) for s in shards]
    todo = [job for job in jobs if not job[2].is_file()]
    if todo:
        print(f"preparing {len(todo)} shards of {kind} crops", flush=True)
        if workers > 1:
            with multiprocessing.get_context("spawn").Pool(workers) as pool:
                for _ in pool.imap_unordered(_prepare, todo):
                    pass
        else:
            for job in todo:
                _prepare(job)
    parts = [np.load(job[2], allow_pickle=False) for job in jobs]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0].files}


def _prepare(job: tuple[str, Path, Path, int]) -> None:
    kind, shard, path, seed = job
    cv2.setNumThreads(1)
    arrays = KINDS[kind](shard, seed)
    partial = path.with_name(path.stem + ".partial.npz")
    np.savez(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(path)
