"""How much gaze trembles while nobody moves.

Frames go through ``estimate(frame, timestamp_s=...)``, as an app's would.  Two kinds: photographs
repeated with fresh noise and shifts of less than a pixel, in which nothing else changes; and the
stillest second of a clip, in which the person does move a little, so that its figure is too high.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import EstimatorOptions, GazeEstimator

FRAMES = 60
NOISE_GREY_LEVELS = 2.0
"""Standard deviation of the sensor's noise, of 255."""
SHIFT_PX = 0.5
"""Frames are shifted by up to this, each way."""
STILL_S = 1.0
"""Length of the stretch of a clip that is looked for."""
Image = NDArray[np.uint8]


def stream_options(threads: int) -> EstimatorOptions:
    """One face, nothing smoothed: should the SDK learn to smooth, it is to be switched off here."""
    return EstimatorOptions(threads=threads, max_faces=1)


def still_frames(
    image_bgr: Image, *, frames: int = FRAMES, seed: int = 0, shift_px: float = SHIFT_PX
) -> Iterator[Image]:
    """The picture over and over, each time with its own noise and shift of up to ``shift_px``."""
    random = np.random.default_rng(seed)
    height, width = image_bgr.shape[:2]
    for _ in range(frames):
        dx, dy = random.uniform(-shift_px, shift_px, 2)
        moved = cv2.warpAffine(
            image_bgr,
            np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]]),
            (width, height),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        noise = random.standard_normal(image_bgr.shape, np.float32) * NOISE_GREY_LEVELS
        yield np.clip(np.rint(moved + noise), 0, 255).astype(np.uint8)


def spread_deg(pitch_yaw_rad: NDArray[np.float64]) -> dict[str, float]:
    """Standard deviations of pitch and yaw (n, 2), and what is left of them beside a steady drift.

    Returns:
        Degrees: ``pitch_deg``, ``yaw_deg``, and the same names with ``_without_drift``, from which
        a straight line over time has been taken off.
    """
    angles = np.degrees(np.unwrap(np.asarray(pitch_yaw_rad, np.float64), axis=0))
    time = np.linspace(-1.0, 1.0, len(angles))
    drift = np.stack([np.polyval(np.polyfit(time, column, 1), time) for column in angles.T], 1)
    whole, rest = angles.std(axis=0), (angles - drift).std(axis=0)
    return {
        "pitch_deg": float(whole[0]),
        "yaw_deg": float(whole[1]),
        "pitch_without_drift_deg": float(rest[0]),
        "yaw_without_drift_deg": float(rest[1]),
    }


def stillest(landmarks_px: NDArray[np.float64], length: int) -> tuple[int, float] | None:
    """Where a clip's face moves least.

    Args:
        landmarks_px: (n, 68, 2) of each frame; NaN where there is no face.
        length: of the stretch, frames.

    Returns:
        The first frame, and how far the landmarks' mean strays from its middle there, in units of
        the distance between the outer eye corners; None where no face stays for so long.
    """
    best: tuple[int, float] | None = None
    for start in range(len(landmarks_px) - length + 1):
        part = landmarks_px[start : start + length]
        if not np.all(np.isfinite(part)):
            continue
        places = part.mean(axis=1)
        size = float(np.linalg.norm(part[:, 45] - part[:, 36], axis=1).mean())
        strayed = float(np.linalg.norm(places - places.mean(axis=0), axis=1).max()) / max(size, 1.0)
        if best is None or strayed < best[1]:
            best = start, strayed
    return best


def followed(
    estimator: GazeEstimator, frames: Iterator[Image], fps: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, 2) pitch and yaw in radians and (n, 68, 2) landmarks of a stream; NaN without a face."""
    gaze, landmarks = [], []
    identity = None
    estimator.reset()
    for index, frame in enumerate(frames):
        faces = estimator.estimate(frame, timestamp_s=index / fps).faces
        # A face that was lost and found again is another stretch: a gap of one frame parts them.
        same = bool(faces) and identity in (None, faces[0].track_id)
        identity = faces[0].track_id if faces else None
        gaze.append([faces[0].gaze.pitch_rad, faces[0].gaze.yaw_rad] if same else [np.nan] * 2)
        landmarks.append(faces[0].landmarks_px if same else np.full((68, 2), np.nan))
    return np.array(gaze, np.float64).reshape(-1, 2), np.array(landmarks).reshape(-1, 68, 2)


def photograph_stability(
    estimator: GazeEstimator,
    images: Mapping[str, Image],
    *,
    frames: int = FRAMES,
    shift_px: float = SHIFT_PX,
) -> dict[str, Any]:
    """Spreads of repeated photographs with one face each, and their median and worst."""
    photos: dict[str, Any] = {}
    for name, image in images.items():
        gaze, _ = followed(
            estimator, still_frames(image, frames=frames, shift_px=shift_px), fps=30.0
        )
        kept = gaze[np.isfinite(gaze).all(axis=1)]
        if len(kept) > 2:
            photos[name] = {"frames": len(kept), **spread_deg(kept)}
    report: dict[str, Any] = {"frames": frames, "photos": photos}
    for axis in ("pitch_deg", "yaw_deg"):
        values = [figures[axis] for figures in photos.values()]
        if values:
            report[axis] = {"median": float(np.median(values)), "worst": float(np.max(values))}
    return report


def clip_stability(estimator: GazeEstimator, path: Path) -> dict[str, Any]:
    """Spreads in the stillest second of a clip, and how far the face strays in it."""
    if not path.is_file():
        return {"skipped": f"{path.name} is not among the assets"}
    clip = cv2.VideoCapture(str(path))
    fps = clip.get(cv2.CAP_PROP_FPS) or 25.0
    gaze, landmarks = followed(estimator, _frames(clip), fps)
    clip.release()
    length = round(STILL_S * fps)
    found = stillest(landmarks, length)
    if found is None:
        return {"skipped": f"no face stays for {STILL_S:g} s in {path.name}"}
    start, strayed = found
    return {
        "clip": path.name,
        "start_s": start / fps,
        "frames": length,
        "strays_by": strayed,
        **spread_deg(gaze[start : start + length]),
    }


def one_face_photos(entries: Mapping[str, Any]) -> Sequence[str]:
    """Names of the photographs with one annotated face and no other."""
    return [
        name
        for name, entry in entries.items()
        if len(entry["faces"]) == 1 and "points_px" in entry["faces"][0]
    ]


def _frames(clip: Any) -> Iterator[Image]:
    while True:
        good, frame = clip.read()
        if not good:
            return
        yield np.asarray(frame, np.uint8)
