"""What processes of tests do in a renderer's place; imported by them, so without pytest."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def tell_and_wait(name: Callable[[str], None], number: int, folder: Path) -> None:
    """Say which one it is, and be there."""
    name(f"painter {number}")
    (folder / f"{number}-{time.monotonic_ns()}").touch()
    time.sleep(600)


def fail(name: Callable[[str], None], number: int, folder: Path) -> None:
    """Leave a file and die."""
    (folder / f"{number}-{time.monotonic_ns()}").touch()
    raise SystemExit(3)
