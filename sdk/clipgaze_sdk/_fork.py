"""Networks in a forked process: their threads stay behind, so they can be neither run nor freed."""

from __future__ import annotations

import ctypes
import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """What wants to know that it lives in a forked child now."""

    def after_fork(self) -> None:
        """Called in the child, where no other thread runs."""


_WATCHED: WeakSet[Forked] = WeakSet()


def watch_forks(owner: Forked) -> None:
    """Call ``owner.after_fork()`` in every child that is forked while the owner lives."""
    _WATCHED.add(owner)


def never_free(value: object) -> None:
    """Keep an object until the process ends, and through the end of the interpreter.

    The destructor of a runtime waits for threads that are not there, or crashes.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


def _after_fork() -> None:
    for owner in list(_WATCHED):
        owner.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)
