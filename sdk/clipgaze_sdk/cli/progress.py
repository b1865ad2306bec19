"""What is said on stderr: lines, and on a terminal a bar of progress."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from typing import TextIO

_INTERVAL_S = 0.1


def say(text: str) -> None:
    """Print one line on stderr; where nobody can read it any more, nothing."""
    with contextlib.suppress(OSError):
        print(" ".join(text.split()), file=sys.stderr, flush=True)


class ProgressLine:
    """One line that is drawn again and again.

    Args:
        stream: where to draw, usually stderr. Nothing is drawn unless it is a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn = False
        self.is_shown = stream.isatty()

    def draw(self, text: str) -> None:
        """Put a text in the line's place, cut or filled to the terminal's width."""
        if self.is_shown:
            width = terminal_width()
            self._stream.write("\r" + text[:width].ljust(width))
            self._stream.flush()
            self._drawn = True

    def clear(self) -> None:
        """Wipe the line, so that other text can be printed."""
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


class ProgressBar:
    """Counts frames on a :class:`ProgressLine`.

    Args:
        total: frames to expect, or None.
        stream: where to draw.
    """

    def __init__(self, total: int | None, *, stream: TextIO) -> None:
        self._total = total
        self._line = ProgressLine(stream)
        self._start_s = time.monotonic()
        self._drawn_s = float("-inf")

    def update(self, done: int) -> None:
        """Draw ``done`` frames, at most ten times a second."""
        now_s = time.monotonic()
        if not self._line.is_shown or (now_s - self._drawn_s < _INTERVAL_S and done != self._total):
            return
        self._drawn_s = now_s
        elapsed_s = now_s - self._start_s
        self._line.draw(
            progress_line(done, self._total, elapsed_s=elapsed_s, width=terminal_width())
        )

    def clear(self) -> None:
        """Wipe the bar, so that other text can be printed."""
        self._line.clear()


def terminal_width() -> int:
    """Count the characters that a line can have without a break."""
    return max(20, shutil.get_terminal_size().columns - 1)


def progress_line(done: int, total: int | None, *, elapsed_s: float, width: int) -> str:
    """Say ``done`` of ``total`` frames in exactly ``width`` characters."""
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    if total is None:
        return f"{done} frames, {rate:.1f}/s".ljust(width)[:width]
    left_s = (total - done) / rate if rate > 0 else 0.0
    text = f" {done}/{total}, {rate:.1f}/s, {max(0.0, left_s):.0f} s left"
    room = width - len(text) - 2
    if room < 5:
        return text.strip().ljust(width)[:width]
    filled = min(room, room * done // max(1, total))
    return f"[{'#' * filled}{'-' * (room - filled)}]{text}"
