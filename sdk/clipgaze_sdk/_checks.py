"""Numbers and arrays as callers give them, checked in one place."""

from __future__ import annotations

import operator
from numbers import Real
from typing import TYPE_CHECKING, Any

from ._errors import ClipGazeError, ConfigurationError, InputError

if TYPE_CHECKING:  # the command line reads options before it needs numpy
    import numpy as np
    from numpy.typing import NDArray


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


def float_array(
    name: str, value: Any, error: type[ClipGazeError] = InputError
) -> NDArray[np.float64]:
    """Return the caller's numbers as float64, not always a copy, or raise ``error``."""
    import numpy as np

    try:
        array = np.asarray(value)
        if array.dtype.kind == "c":
            raise TypeError("complex numbers")
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as reason:
        raise error(f"{name} is {shown(value)}; expected an array of numbers.") from reason


def shown(value: object) -> str:
    """Return a value as an error message shows it: of one line, and not of any length."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a repr of the caller's own, or more digits than Python writes
        text = f"a {type(value).__name__}"
    return text if len(text) <= 120 else f"{text[:120]}…"
