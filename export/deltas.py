"""How a graph is made from others of the same weights: the ``.delta`` files beside the cards.

What they hold, and how they are read, is in :mod:`clipgaze_sdk.models.derived`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto

from clipgaze_sdk.models.derived import halved

LEAST_BYTES = 64
"""What is shorter is cheaper to store than to point at."""


def delta(target: bytes, sources: Mapping[str, bytes]) -> bytes:
    """The ``.delta`` of an ONNX file, given the files, by name, that its weights are taken from."""
    halves = [_halves(data) for data in sources.values()]
    pieces: list[tuple[int, int, int]] = []
    own = bytearray()

    def add_own(data: bytes) -> None:
        pieces.append((0, len(own), len(data)))
        own.extend(data)

    done = 0
    for tensor in onnx.load_model_from_string(target).graph.initializer:
        raw = tensor.raw_data
        if len(raw) < LEAST_BYTES or (found := _found(raw, sources, halves)) is None:
            continue
        begin = target.index(raw, done)
        if begin > done:
            add_own(target[done:begin])
        pieces.append(found)
        done = begin + len(raw)
    add_own(target[done:])
    head = " ".join([*sources, str(len(pieces))]).encode("ascii") + b"\n"
    return zlib.compress(head + np.array(pieces, "<i8").tobytes() + bytes(own), 9)


def _found(
    raw: bytes, sources: Mapping[str, bytes], halves: list[dict[bytes, tuple[int, int]]]
) -> tuple[int, int, int] | None:
    for k, data in enumerate(sources.values()):
        if (begin := data.find(raw)) >= 0:
            return 2 * k + 1, begin, len(raw)
        if place := halves[k].get(raw):
            return 2 * k + 2, *place
    return None


def _halves(source: bytes) -> dict[bytes, tuple[int, int]]:
    """Begin and length of each FP32 tensor of a file, by what it is in half precision."""
    tensors = (
        tensor.raw_data
        for tensor in onnx.load_model_from_string(source).graph.initializer
        if tensor.data_type == TensorProto.FLOAT and len(tensor.raw_data) >= 2 * LEAST_BYTES
    )
    return {halved(raw): (source.index(raw), len(raw)) for raw in tensors}
