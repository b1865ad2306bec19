"""Faces found on photographs, missed and made up: our detector beside YuNet.

Each detector alone, as the SDK's options set it, and the whole SDK on top of each: there the
landmark network's presence decides too.  The reference boxes of ``photos.json`` are YuNet's own, so
its recall on the pictures as they are says that its settings are alike and no more; shrunk copies
and pictures without a face are fair to both.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from clipgaze_sdk import EstimatorOptions, GazeEstimator
from clipgaze_sdk.faces.detector import FaceDetector
from clipgaze_sdk.models.files import resolve_models

SHRINKS = (1, 2, 4)
SMALLEST_PX = 32.0
"""Faces whose box has a longer side of this or less in a copy are not asked for there."""
SAME_FACE_IOU = 0.3
"""Boxes of one face overlap by this at least: ours have the forehead in them, YuNet's less."""
Image = NDArray[np.uint8]


class Finder(Protocol):
    """Anything that finds faces."""

    def __call__(self, image_bgr: Image) -> NDArray[np.float64]:
        """Boxes (n, 4) x0, y0, x1, y1 in pixels."""


def iou(a: Any, b: Any) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = float(np.prod(np.maximum(np.subtract(high, low), 0)))
    areas = [float((x[2] - x[0]) * (x[3] - x[1])) for x in (a, b)]
    return common / max(sum(areas) - common, 1e-6)


def pairs(found: ArrayLike, wanted: ArrayLike) -> dict[int, int]:
    """Which found box is which wanted one, each at most once, those that overlap most first.

    Args:
        found: (n, 4) boxes.
        wanted: (m, 4) boxes.

    Returns:
        Indices of ``found`` by those of ``wanted``.
    """
    found_boxes = np.asarray(found, np.float64).reshape(-1, 4)
    wanted_boxes = np.asarray(wanted, np.float64).reshape(-1, 4)
    overlaps = sorted(
        (
            (iou(one, other), i, j)
            for i, one in enumerate(found_boxes)
            for j, other in enumerate(wanted_boxes)
        ),
        reverse=True,
    )
    taken: dict[int, int] = {}
    for overlap, i, j in overlaps:
        if overlap >= SAME_FACE_IOU and j not in taken and i not in taken.values():
            taken[j] = i
    return taken


def shrunk(image_bgr: Image, boxes_px: ArrayLike, times: int) -> tuple[Image, NDArray[np.float64]]:
    """The picture with both sides divided by ``times`` (INTER_AREA), and its boxes (n, 4)."""
    boxes = np.asarray(boxes_px, np.float64).reshape(-1, 4)
    if times == 1:
        return image_bgr, boxes
    height, width = image_bgr.shape[:2]
    size = max(round(width / times), 1), max(round(height / times), 1)
    small = np.asarray(cv2.resize(image_bgr, size, interpolation=cv2.INTER_AREA), np.uint8)
    scale = np.array([size[0] / width, size[1] / height] * 2)
    return small, (boxes + 0.5) * scale - 0.5


def long_sides_px(boxes_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """The longer side (n,) of each box (n, 4)."""
    return np.maximum(boxes_px[:, 2] - boxes_px[:, 0], boxes_px[:, 3] - boxes_px[:, 1])


def recall(
    find: Finder, images: Mapping[str, Image], entries: Mapping[str, Any], times: int
) -> dict[str, Any]:
    """Reference faces found in copies shrunk ``times``, the others by name, and unknown boxes."""
    asked = found_count = 0
    missed: list[dict[str, Any]] = []
    unknown: list[dict[str, Any]] = []
    for name, image in images.items():
        reference = [face["bbox_xyxy_px"] for face in entries[name]["faces"]]
        copy, boxes = shrunk(image, reference, times)
        found = find(copy)
        same = pairs(found, boxes)
        for index, side in enumerate(long_sides_px(boxes)):
            if side > SMALLEST_PX:
                asked += 1
                found_count += index in same
                if index not in same:
                    missed.append({"photo": name, "face": index, "long_side_px": round(side)})
        unknown += [
            {"photo": name, "box_px": np.round(box, 1).tolist()}
            for index, box in enumerate(found)
            if index not in same.values()
        ]
    return {"found": found_count, "of": asked, "missed": missed, "unknown": unknown}


def false_faces(find: Finder, images: Mapping[str, Image]) -> dict[str, Any]:
    """Boxes in pictures without a face: how many, in how many pictures, where."""
    boxes = {name: np.round(find(image), 1).tolist() for name, image in images.items()}
    found = {name: these for name, these in boxes.items() if these}
    return {
        "faces": sum(map(len, found.values())),
        "pictures": len(found),
        "of_pictures": len(images),
        "boxes_px": found,
    }


def time_ratio(
    ours: Finder, theirs: Finder, images: Sequence[Image], *, rounds: int = 3
) -> dict[str, float]:
    """How many times as long ours takes; median over pictures of the best of some rounds.

    Both take turns in one process, so that whatever else the machine does slows both.
    """
    best = np.full((len(images), 2), np.inf)
    for _ in range(rounds):
        for index, image in enumerate(images):
            for column, find in enumerate((ours, theirs)):
                start_s = time.perf_counter()
                find(image)
                best[index, column] = min(best[index, column], time.perf_counter() - start_s)
    return {
        "times_as_long": float(np.median(best[:, 0] / best[:, 1])),
        "ours_median_ms": float(1e3 * np.median(best[:, 0])),
        "yunet_median_ms": float(1e3 * np.median(best[:, 1])),
    }


def compare_detectors(
    assets: Path,
    models: Path | None,
    *,
    images: Mapping[str, Image],
    empty: Mapping[str, Image],
    entries: Mapping[str, Any],
    options: EstimatorOptions,
    rounds: int = 3,
) -> dict[str, Any]:
    """Figures of each finder; YuNet's are left out, with the reason, where its file is not.

    Args:
        assets: folder with ``peers/yunet.onnx``.
        models: folder of ours; None for the bundled ones.
        images: photographs with people, BGR, by name.
        empty: pictures without a face.
        entries: of ``photos.json``.
        options: of the SDK, for all alike but the detector.
        rounds: of taking times.
    """
    yunet = assets / "peers" / "yunet.onnx"
    report: dict[str, Any] = {}
    with ExitStack() as stack:
        finders = _finders(stack, models, options, yunet if yunet.is_file() else None)
        for name, find in finders.items():
            copies = {f"1/{times}": recall(find, images, entries, times) for times in SHRINKS}
            report[name] = {"recall": copies, "false": false_faces(find, empty)}
        if "yunet" in finders:
            cv2.setNumThreads(options.threads)  # YuNet runs on OpenCV's own
            pictures = list(images.values())
            ratio = time_ratio(finders["ours"], finders["yunet"], pictures, rounds=rounds)
            report["time"] = ratio | {"threads": options.threads}
        else:
            report["skipped"] = f"{yunet.name} is not among the assets"
    return report


def _finders(
    stack: ExitStack, models: Path | None, options: EstimatorOptions, yunet: Path | None
) -> dict[str, Finder]:
    """Detectors alone and within the whole SDK, by name; closed with the stack."""
    choices = {"ours": options}
    if yunet is not None:
        choices["yunet"] = replace(options, detector="yunet", detector_path=yunet)
    finders: dict[str, Finder] = {}
    for name, choice in choices.items():
        model = None
        if choice.detector == "bundled":
            model = resolve_models(models, tasks=("face_detector",))["face_detector"]
        alone = FaceDetector(model, choice)
        stack.callback(alone.close)
        finders[name] = _alone(alone)
    for name, choice in choices.items():
        sdk = stack.enter_context(GazeEstimator(models, options=choice))
        finders[f"sdk_with_{name}"] = _within(sdk)
    return finders


def _alone(finder: FaceDetector) -> Finder:
    def find(image_bgr: Image) -> NDArray[np.float64]:
        return finder.find(image_bgr).boxes_px

    return find


def _within(estimator: GazeEstimator) -> Finder:
    def find(image_bgr: Image) -> NDArray[np.float64]:
        faces = estimator.estimate(image_bgr).faces
        return np.array([face.bbox_px for face in faces], np.float64).reshape(-1, 4)

    return find


def read_pictures(paths: Iterator[Path] | Sequence[Path]) -> dict[str, Image]:
    """Pictures by name, BGR.

    Raises:
        SystemExit: one cannot be read.
    """
    pictures = {}
    for path in paths:
        image = cv2.imread(str(path))
        if image is None:
            raise SystemExit(f"{path} cannot be read")
        pictures[path.name] = np.asarray(image, np.uint8)
    return pictures
