"""What is said on stderr: lines, and on a terminal a bar of progress."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from typing import TextIO


def say(text: str) -> None:
    """Print one line on stderr; where nobody can read it any more, nothing."""
    with contextlib.suppress(OSError):
        print(" ".join(text.split()), file=sys.stderr, flush=True)


class ProgressLine:
    """One line that is drawn again and again on a terminal; nothing elsewhere."""

    def __init__(self, stream: TextIO, *, total: int | None = None) -> None:
        self._stream = stream
        self._total = total
        self._drawn = False
        self._start_s = self._next_s = time.monotonic()

    def draw(self, text: str) -> None:
        """Put a text in the line's place, cut or filled to the terminal's width."""
        if self._stream.isatty():
            width = max(20, shutil.get_terminal_size().columns - 1)
            self._stream.write("\r" + text[:width].ljust(width))
            self._stream.flush()
            self._drawn = True

    def clear(self) -> None:
        """Wipe the line, so that other text can be printed."""
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def update(self, done: int) -> None:
        """Draw that ``done`` of ``total`` frames are, at most ten times a second."""
        now_s = time.monotonic()
        if now_s >= self._next_s or done == self._total:
            self._next_s = now_s + 0.1
            self.draw(progress_line(done, self._total, elapsed_s=now_s - self._start_s))


def progress_line(done: int, total: int | None, *, elapsed_s: float) -> str:
    """Say how far it is, ``done`` of ``total`` frames, and how long it will take."""
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    if total is None:
        return f"{done} frames, {rate:.1f}/s"
    filled = min(20, 20 * done // max(1, total))
    left_s = max(0.0, (total - done) / rate) if rate > 0 else 0.0
    return f"[{'#' * filled:-<20}] {done}/{total}, {rate:.1f}/s, {left_s:.0f} s left"
