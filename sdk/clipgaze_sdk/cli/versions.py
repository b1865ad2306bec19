"""Versions of what is installed, without importing what is heavy."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path


def installed_version(*distributions: str) -> str | None:
    """Give the version of the first of these distributions that is installed."""
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def numbers_of(version: str) -> tuple[int, ...]:
    """Give the leading whole numbers of a version, to compare by: "4.10.0.84" is (4, 10, 0, 84)."""
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def machine_name() -> str:
    """Say the architecture and, where the system tells it, the processor or the board."""
    for path, key in (("/proc/device-tree/model", ""), ("/proc/cpuinfo", "model name")):
        try:
            text = Path(path).read_text(errors="replace")
        except OSError:
            continue
        if not key:
            return f"{platform.machine()}, {text.strip(chr(0)).strip()}"
        for line in text.splitlines():
            if line.startswith(key):
                return f"{platform.machine()}, {line.partition(':')[2].strip()}"
    return platform.machine() or "unknown machine"


def cpu_count() -> int:
    """Count the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
