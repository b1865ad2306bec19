"""Numbers as callers give them, checked in one place."""

from __future__ import annotations

import operator
from numbers import Real
from typing import Any

from ._errors import ConfigurationError


def real_number(value: object) -> float:
    """Return a number as a float; NaN for what is none (text, truth values) or has no float."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return float("nan")
    try:
        return float(value)
    except OverflowError:
        return float("nan")


def checked_number(name: str, value: object, *, low: float, high: float) -> float:
    """Return a number in [low, high], or raise :class:`ConfigurationError`."""
    number = real_number(value)
    if not low <= number <= high:  # false for NaN
        raise ConfigurationError(
            f"{name} is {shown(value)}; expected a number between {low:g} and {high:g}."
        )
    return number


def checked_count(name: str, value: Any, *, high: int) -> int:
    """Return a whole number in [1, high], or raise :class:`ConfigurationError`."""
    try:
        count = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = 0
    if not 1 <= count <= high:
        raise ConfigurationError(
            f"{name} is {shown(value)}; expected a whole number between 1 and {high}."
        )
    return count


def shown(value: object) -> str:
    """Return a value as an error message shows it: of one line, and not of any length."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a repr of the caller's own, or more digits than Python writes
        text = f"a {type(value).__name__}"
    return text if len(text) <= 120 else f"{text[:120]}…"
