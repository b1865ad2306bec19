"""Stopping in order: a run that is told to end saves its state first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_asked = threading.Event()


@contextlib.contextmanager
def on_sigterm() -> Iterator[None]:
    """Inside, SIGTERM asks running loops to save and stop, as ``--max-minutes`` does.

    For commands; in a thread other than the process's main one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked.clear()
    before = signal.signal(signal.SIGTERM, _ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _asked.clear()


def asked() -> bool:
    """Whether a stop was asked for."""
    return _asked.is_set()


def _ask(number: int, frame: FrameType | None) -> None:
    _asked.set()
