"""Networks in a forked process: their threads stay behind, so they can be neither run nor freed."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from weakref import WeakMethod

_CALLS: set[WeakMethod[Callable[[], None]]] = set()


def in_forked_children(method: Callable[[], None]) -> None:
    """Call a method in every child that is forked while its object lives; no other thread runs."""
    _CALLS.add(WeakMethod(method, _CALLS.discard))


def never_free(value: object) -> None:
    """Keep an object until the process ends, and through the end of the interpreter.

    The destructor of a runtime waits for threads that are not there, or crashes.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


def _after_fork() -> None:
    for call in list(_CALLS):
        method = call()
        if method is not None:
            method()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)
