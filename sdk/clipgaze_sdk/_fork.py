"""Networks in a forked process: their threads stay behind, so they can be neither run nor freed."""

from __future__ import annotations

import ctypes
import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """What has to know that it lives in a forked child now, where no other thread runs."""

    def _after_fork(self) -> None: ...


OWNERS: WeakSet[Forked] = WeakSet()
"""Whom to call in every child, as long as they live."""


def never_free(value: object) -> None:
    """Keep an object until the process ends, and through the end of the interpreter.

    The destructor of a runtime waits for threads that are not there, or crashes.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


def _after_fork() -> None:
    for owner in list(OWNERS):
        owner._after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)
