"""JSON that comes from a disk, read within limits: size, depth, and numbers that can be numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

MOST_BYTES = 64 << 20
_MOST_DIGITS = 18
"""Of a whole number: what fits 64 bits."""


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, is larger than 64 MiB, nests too deeply, or holds a number that
            is not finite or has more than 18 digits; the text says which.
    """
    with path.open("rb") as file:
        return parse_json(file.read(MOST_BYTES + 1))


def parse_json(data: bytes) -> Any:
    """What JSON bytes hold; raises :class:`ValueError` as :func:`read_json` does."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES >> 20} MiB")
    try:
        return json.loads(data, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ValueError("lists within lists, too deep to read") from None


def _whole(text: str) -> int:
    if len(text.lstrip("-")) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:_MOST_DIGITS]}, which is not finite")
    return value
