"""JSON of files that nobody has to trust: cards, side-cars, and whatever else lies on a disk."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from .._errors import ModelError

_MAX_BYTES = 4 << 20
_MAX_DIGITS = 30


def read_json(path: Path, *, what: str) -> dict[str, Any]:
    """Return the object of a file, of finite numbers alone.

    Args:
        path: of the file, of at most 4 MiB.
        what: what it is, for messages.

    Raises:
        ModelError: it cannot be read, or is no such JSON.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{what} {str(path)!r} cannot be read ({error}); expected a JSON file beside the "
            "model, with the same name. Copy it there."
        ) from error
    try:
        if len(text) > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES >> 20} MiB")
        data = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{what} {str(path)!r} is no JSON of use ({error}). Copy it again from where the model "
            "is from."
        ) from error
    if not isinstance(data, dict):
        kind = type(data).__name__
        raise ModelError(f"{what} {str(path)!r} is a JSON {kind}; expected an object.")
    return data


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:_MAX_DIGITS]} is not finite")
    return value
