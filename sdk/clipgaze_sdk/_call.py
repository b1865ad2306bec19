"""What one call of the estimator keeps beside its results."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = ("detect", "landmarks", "pose", "normalize", "gaze")


class Call:
    """The wall-clock time of each stage since it was made, and what happened in them."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._seconds = dict.fromkeys(STAGES, 0.0)
        self.detector_ran = False
        self.saw_invalid_numbers = False
        """A network gave numbers that are not finite, or far beyond what they can mean."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what runs inside towards a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - start

    def timings_ms(self, *, images: int) -> dict[str, float]:
        """Return milliseconds per stage and in total, shared out evenly over ``images``."""
        seconds = {**self._seconds, "total": time.perf_counter() - self._start}
        return {name: 1e3 * value / images for name, value in seconds.items()}
