"""Named random generators: a draw for one thing never shifts the draws for another."""

from __future__ import annotations

import zlib

import numpy as np


class Streams:
    """Independent generators of one person or picture, by name.

    ``Streams(seed, index)("hair")`` is the same generator whenever it is asked for, whatever was
    drawn for anything else.  So switching one factor on or off changes that thing alone, and a
    picture depends on its seed and index only, not on the worker that draws it.
    """

    def __init__(self, *key: int) -> None:
        self._key = key

    def __call__(self, name: str) -> np.random.Generator:
        """A fresh generator for ``name``, at its beginning."""
        key = [*self._key, zlib.crc32(name.encode())]
        # The same seeds, taken in a third less time: a picture asks for fifty.
        return np.random.default_rng(np.array(key, np.uint32) if max(key) < 1 << 32 else key)
