"""``clipgaze doctor``: what is installed, what works, and what to do about the rest."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from .. import __version__
from .._errors import ClipGazeError
from ..backends import cuda
from ..models.files import TASKS, resolve_models
from .versions import OPENCV_PACKAGES, cpu_count, installed_version, machine_name, numbers_of

Status = Literal["ok", "warn", "fail"]
_OLDEST = {"numpy": "1.26", "cv2": "4.8.1", "onnxruntime": "1.18"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Status
    found: str
    advice: str = ""
    """What to do; empty when nothing is to be done."""


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``doctor`` and its arguments."""
    parser = commands.add_parser(
        "doctor",
        help="say what is installed, what works and what to do",
        description="Check Python, libraries, models, OpenCV's abilities and cameras. "
        "The exit code is 0 if gaze can be estimated here, otherwise 1.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=doctor)


def doctor(args: argparse.Namespace) -> int:
    """Carry out ``clipgaze doctor``."""
    checks = list(all_checks())
    counts = Counter(check.status for check in checks)
    failed, warned = counts["fail"], counts["warn"]
    if args.json:
        print(json.dumps({"ok": not failed, "checks": [asdict(check) for check in checks]}))
        return 1 if failed else 0
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{check.status:<4}  {check.name:<{width}}  {check.found}")
        if check.advice:
            print(f"{'':<{6 + width}}  -> {check.advice}")
    trouble = f"cannot be estimated here: {failed} checks failed"
    verdict = trouble if failed else "can be estimated here"
    print(f"\ngaze {verdict}; {warned} warning{'' if warned == 1 else 's'}")
    return 1 if failed else 0


def all_checks() -> Iterable[Check]:
    """Look at everything, one thing after another; a check that fails ends none of the others."""
    looks = check_system, check_libraries, check_opencv, check_tensorrt, check_models, check_cameras
    for look in looks:
        yield from look()


def check_system() -> Iterable[Check]:
    """Python, machine, this package and its compiled module."""
    yield Check("python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield Check("machine", "ok", f"{platform.platform()}; {machine_name()}; {cpu_count()} CPUs")
    yield Check("clipgaze", "ok", f"{__version__} ({Path(__file__).parents[1]})")
    try:
        importlib.import_module("clipgaze_sdk._core")
    except ImportError as error:
        advice = "build it from the root of the repository: python -m pip install -e ."
        yield Check("compiled module", "fail", _one_line(error), advice)
    else:
        yield Check("compiled module", "ok", "clipgaze_sdk._core loads")


def check_libraries() -> Iterable[Check]:
    """The three libraries that every estimate needs."""
    opencvs = [name for name in OPENCV_PACKAGES if installed_version(name)]
    yield check_library("numpy", "numpy")
    yield check_library("cv2", opencvs[0] if opencvs else "opencv-python")
    yield check_library("onnxruntime", "onnxruntime")
    if len(opencvs) > 1:
        advice = "they overwrite each other's files: uninstall all, then install one"
        yield Check("OpenCV packages", "warn", ", ".join(opencvs), advice)


def check_library(module: str, distribution: str) -> Check:
    """Import one library and compare its version with the oldest that is tested."""
    oldest = _OLDEST[module]
    install = f"python -m pip install '{distribution}>={oldest}'"
    if module == "cv2":
        install = f"on a Jetson use JetPack's OpenCV; elsewhere: {install}"
    try:
        version = str(importlib.import_module(module).__version__)
    except ImportError as error:
        if module == "cv2":
            install += " (opencv-python-headless where there is no desktop: servers, containers)"
        return Check(module, "fail", f"cannot be imported: {_one_line(error)}", install)
    if numbers_of(version) < numbers_of(oldest):
        return Check(module, "warn", f"{version}, older than {oldest}, the oldest tested", install)
    if module == "onnxruntime":
        providers = importlib.import_module(module).get_available_providers()
        return Check(module, "ok", f"{version}; providers {', '.join(providers)}")
    return Check(module, "ok", version)


def check_opencv() -> Iterable[Check]:
    """What OpenCV can read and show."""
    try:
        from ..media.opencv_build import display_is_available, read_opencv_build
    except ImportError:
        return
    build = read_opencv_build()
    if build.ffmpeg:
        yield Check("video files", "ok", "OpenCV has FFMPEG")
    else:
        advice = "install an OpenCV from PyPI, or convert videos to Motion-JPEG .avi"
        yield Check("video files", "warn", "OpenCV is built without FFMPEG", advice)
    if build.gstreamer:
        yield Check("GStreamer", "ok", "OpenCV has it")
    elif cuda.is_jetson():
        advice = "for CSI cameras use JetPack's OpenCV: pip uninstall opencv-python"
        yield Check("GStreamer", "warn", "OpenCV is built without GStreamer", advice)
    else:
        yield Check("GStreamer", "ok", "not in this OpenCV; only CSI cameras need it")
    shown = "and a display is there" if display_is_available() else "but no display: headless"
    none = "none in this OpenCV: results are printed and written"
    yield Check("windows", "ok", none if build.gui == "NONE" else f"{build.gui}, {shown}")


def check_tensorrt() -> Iterable[Check]:
    """TensorRT and pycuda, which only engines need."""
    missing = {"tensorrt": cuda.tensorrt_advice(), "pycuda": cuda.PYCUDA_ADVICE}
    missing = {k: text for k, text in missing.items() if importlib.util.find_spec(k) is None}
    for name, advice in missing.items():
        found = "not installed; engines need it, ONNX models do not"
        yield Check(name, "warn", found, advice) if cuda.is_jetson() else Check(name, "ok", found)
    if missing:
        return
    try:
        machine = cuda.this_machine(cuda.import_tensorrt(), cuda.import_cuda())
    except cuda.MissingRuntimeError as error:
        yield Check("backend tensorrt", "warn", _one_line(error), "or use the .onnx models")
        return
    found = (
        f"{machine.tensorrt_version}; {machine.gpu_name}, compute capability "
        f"{machine.compute_capability}; build engines: clipgaze build-engine --fp16 --all"
    )
    yield Check("backend tensorrt", "ok", found)


def check_models() -> Iterable[Check]:
    """The bundled models, and one estimate from beginning to end."""
    if any(check.status == "fail" for check in check_libraries()):
        yield Check("estimator", "fail", "not tried", "install what is missing above first")
        return
    reinstall = "install clipgaze-sdk again; its files are incomplete or damaged"
    for task in TASKS:
        try:
            card = resolve_models(None, tasks=(task,))[task].card
        except ClipGazeError as error:
            yield Check(f"model {task}", "fail", _one_line(error), reinstall)
        else:
            yield Check(f"model {task}", "ok", f"{card.name} {card.version}, SHA-256 matches")
    start_s = time.perf_counter()
    try:
        import numpy as np

        from .._estimator import GazeEstimator

        with GazeEstimator() as estimator:
            estimator.estimate(np.full((360, 640, 3), 96, np.uint8))
    except (ClipGazeError, ImportError) as error:
        yield Check("backend onnxruntime", "fail", _one_line(error), reinstall)
    else:
        found = f"loads the models and runs ({time.perf_counter() - start_s:.1f} s)"
        yield Check("backend onnxruntime", "ok", found)


def check_cameras() -> Iterable[Check]:
    """Video devices, and whether this user may read them."""
    devices = sorted(Path("/dev").glob("video*"))
    if not devices:
        yield Check("cameras", "ok", "no /dev/video*; images and videos work without")
    for device in devices:
        if os.access(device, os.R_OK | os.W_OK):
            yield Check(str(device), "ok", "may be opened")
        else:
            advice = "add yourself to its group: sudo usermod -aG video $USER, then log in again"
            yield Check(str(device), "warn", "no permission to open it", advice)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
