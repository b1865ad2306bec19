"""Holds this SDK against that of another checkout, in one process: numbers, then speed.

    git worktree add ../old COMMIT
    (cd ../old && python setup.py build_ext --inplace)
    .venv/bin/python scripts/compare.py ../old [PICTURE...]

Both estimate the bundled picture and clip, and the PICTUREs.  Printed are the largest difference of
any number of a face (radians, metres, thousands of pixels), the medians in milliseconds with one
thread, and the ratio new to old over rounds that take turns.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from train.eval.turns import in_turn, ratio_of, read_clip  # noqa: E402

ROUNDS = 14


def own_modules() -> dict[str, Any]:
    return {name: m for name, m in sys.modules.items() if name.partition(".")[0] == "clipgaze_sdk"}


def forget_compiled() -> None:
    """Let a compiled module of a name that was imported before be loaded from another file.

    pybind11 keeps modules by their names alone, for as long as the interpreter lives.
    """
    python = ctypes.pythonapi
    python.PyInterpreterState_Get.restype = ctypes.c_void_p
    python.PyInterpreterState_GetDict.restype = ctypes.py_object
    python.PyInterpreterState_GetDict.argtypes = [ctypes.c_void_p]
    state = python.PyInterpreterState_GetDict(python.PyInterpreterState_Get())
    state.pop("__pybind11_module_cache", None)


class Version:
    """One checkout's SDK; its modules are put in place before it works."""

    def __init__(self, checkout: Path) -> None:
        self.modules: dict[str, Any] = {}
        self.use()
        forget_compiled()
        sys.path.insert(0, str(checkout / "sdk"))
        sdk = importlib.import_module("clipgaze_sdk")
        assert Path(str(sdk.__file__)).is_relative_to(checkout), f"{sdk.__file__} is of elsewhere"
        self.estimator = sdk.GazeEstimator(options=sdk.EstimatorOptions(threads=1))
        self.estimator.estimate(np.zeros((480, 640, 3), np.uint8))  # loads what is loaded late
        sys.path.pop(0)
        self.modules = own_modules()
        for name, module in self.modules.items():
            file = str(module.__file__)
            assert Path(file).is_relative_to(checkout), f"{name} is {file}, of elsewhere"

    def use(self) -> None:
        for name in own_modules():
            del sys.modules[name]
        sys.modules.update(self.modules)

    def still(self, image: Any) -> list[Any]:
        return [self.estimator.estimate(image)]

    def stream(self, images: list[Any]) -> list[Any]:
        self.estimator.reset()
        return [self.estimator.estimate(im, timestamp_s=n / 25) for n, im in enumerate(images)]


def numbers(results: list[Any]) -> list[np.ndarray]:
    """All numbers of each face, in units in which 1e-4 means something for each."""
    faces = [face for result in results for face in result.faces]
    return [
        np.concatenate(
            [
                [face.gaze.pitch_rad, face.gaze.yaw_rad, face.gaze.uncertainty_rad],
                *(face.gaze.vector, face.gaze.origin_mm / 1000, face.eye_openness),
                *(face.head_pose.camera_from_head.ravel(), face.bbox_px / 1000),
                *(face.landmarks_px.ravel() / 1000, face.irises_px.ravel() / 1000),
            ]
        )
        for face in faces
    ]


def timed(version: Version, task: Callable[[Version], object], count: int) -> float:
    """Milliseconds of each of the ``count`` images that a task takes."""
    version.use()
    start = time.perf_counter()
    task(version)
    return 1e3 * (time.perf_counter() - start) / count


def main(old_checkout: str, *pictures: str) -> int:
    old, new = Version(Path(old_checkout).resolve()), Version(ROOT)
    portrait = cv2.imread(str(ROOT / "samples" / "media" / "portrait.jpg"))
    clip = read_clip(ROOT / "samples" / "media" / "clip.mp4")
    stills = [portrait, *(cv2.imread(name) for name in pictures)]

    said = []
    for version in (old, new):
        version.use()
        results = [result for image in stills for result in version.still(image)]
        said.append(numbers(results + version.stream(clip)))
    if len(said[0]) != len(said[1]):
        print(f"faces: {len(said[0])} before, {len(said[1])} now")
        return 1
    worst = max(float(np.abs(a - b).max()) for a, b in zip(*said, strict=True))
    print(f"{len(said[0])} faces; no number differs by more than {worst:.2g}")

    work: dict[str, tuple[int, Callable[[Version], object]]] = {
        "image alone": (3, lambda version: [version.still(portrait) for _ in range(3)]),
        "followed, one face": (60, lambda version: version.stream(clip[:60])),
        "followed, two faces": (25, lambda version: version.stream([portrait] * 25)),
    }
    for name, (count, task) in work.items():
        times = in_turn(*(partial(timed, version, task, count) for version in (old, new)), ROUNDS)
        of = ratio_of(*times)
        print(
            f"{name:20} {of['old']:6.2f} ms before {of['new']:6.2f} now, "
            f"ratio {of['ratio']:.3f} ({of['least']:.2f} to {of['most']:.2f})"
        )
    return 0 if worst <= 1e-4 else 1


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
