"""Versions of what is installed, without importing what is heavy."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import __version__

_OPENCV = "opencv-python", "opencv-contrib-python"
OPENCV_PACKAGES = tuple(name for full in _OPENCV for name in (full, f"{full}-headless"))


def installed_version(*distributions: str) -> str | None:
    """Give the version of the first of these distributions that is installed."""
    for name in distributions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None


def numbers_of(version: str) -> tuple[int, ...]:
    """Give the leading whole numbers of a version, to compare by: "4.10.0.84" is (4, 10, 0, 84)."""
    return tuple(int(digits) for digits in re.findall(r"\d+", re.split(r"[^\d.]", version)[0]))


_LIBRARIES = {
    "numpy": ("numpy",),
    "opencv": OPENCV_PACKAGES,
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    "pycuda": ("pycuda",),
}


def describe_setting(threads: int) -> dict[str, Any]:
    """Give what every report of times starts with: machine, threads and versions."""
    found = {k: v for k, names in _LIBRARIES.items() if (v := installed_version(*names))}
    versions = {"clipgaze": __version__, "python": platform.python_version(), **found}
    machine = {"machine": machine_name(), "cpus": cpu_count(), "threads": threads}
    return {**machine, "versions": versions}


def setting_lines(report: Mapping[str, Any]) -> list[str]:
    """Lay :func:`describe_setting` out for a person to read."""
    return [
        ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
        f"machine: {report['machine']}; {report['cpus']} CPUs, {report['threads']} threads",
    ]


def machine_name() -> str:
    """Say the architecture and, where the system tells it, the processor or the board."""
    places = {"/proc/device-tree/model": r"([^\0]+)", "/proc/cpuinfo": r"model name\s*: (.+)"}
    for path, pattern in places.items():
        with contextlib.suppress(OSError):
            if found := re.search(pattern, Path(path).read_text(errors="replace")):
                return f"{platform.machine()}, {found[1].strip()}"
    return platform.machine() or "unknown machine"


def cpu_count() -> int:
    """Count the CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
