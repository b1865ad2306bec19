"""Networks in a forked process: their threads stay behind, so they can be neither run nor freed."""

from __future__ import annotations

import ctypes
import os
from typing import Any
from weakref import WeakSet

OWNERS: WeakSet[Any] = WeakSet()
"""Whose ``_after_fork()`` is called in every child, where no other thread runs, while they live."""


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
