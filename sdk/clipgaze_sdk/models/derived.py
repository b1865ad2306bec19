"""Graphs that are not bundled whole: made, byte for byte, from those that are.

``gaze.fp16.onnx`` is the weights of ``gaze.onnx``, rounded; ``gaze.int8.onnx`` is those of
``gaze.int8_cpu.onnx`` in another graph.  In their place lies ``NAME.delta``, compressed by zlib:
one line of text with the names of the source files and the number of pieces; three int64 a piece
(how, begin and length in bytes); and then the bytes that no source has.  How is 0 for these bytes,
``2 k + 1`` for bytes of source ``k``, and ``2 k + 2`` for its float32 as float16.

Written by ``export/deltas.py``; a file takes some 30 ms to make, so that none is kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

from .._errors import ModelError

_LEAST_HALF = 2.0**-24
_MAX_BYTES = 1 << 30


def delta_path(model: Path) -> Path:
    """Return where it lies from what, and how, a model is made."""
    return model.with_suffix(".delta")


def derived_bytes(model: Path, read: Callable[[Path], bytes]) -> bytes:
    """Return the bytes of a model that has a delta.

    Args:
        model: the file that would be there.
        read: gives the checked bytes of a source, a file beside the model.

    Raises:
        ModelError: the delta is damaged; or as ``read`` does.
    """
    import numpy as np

    path = delta_path(model)
    try:
        whole = zlib.decompressobj().decompress(path.read_bytes(), _MAX_BYTES)
        head, _, rest = whole.partition(b"\n")
        *names, count = head.decode("ascii").split()
        pieces = np.frombuffer(rest, "<i8", 3 * int(count)).reshape(-1, 3)
        if pieces[:, 2].sum() > _MAX_BYTES:
            raise ValueError("it makes more than a network")
    except (OSError, OverflowError, ValueError, zlib.error) as error:
        raise _damaged(path, str(error)) from error
    sources = [read(path.with_name(Path(name).name)) for name in names]
    own = rest[pieces.nbytes :]
    made = []
    for how, begin, length in pieces.tolist():
        if not 0 <= how <= 2 * len(sources):
            raise _damaged(path, f"a piece is of kind {how}")
        source = own if how == 0 else sources[(how - 1) // 2]
        piece = source[begin : begin + length]
        made.append(halved(piece) if how and how % 2 == 0 else piece)
    return b"".join(made)


def halved(singles: bytes) -> bytes:
    """Round float32 to float16, to nearest even; what is not zero stays so.

    That is what ONNX Runtime's converter does, whose graphs these are.
    """
    import numpy as np

    wide = np.frombuffer(singles[: len(singles) // 4 * 4], "<f4")
    with np.errstate(over="ignore"):  # of other weights; their SHA-256 tells
        half = wide.astype("<f2")
    lost = (half == 0) & (wide != 0)
    half[lost] = np.copysign(_LEAST_HALF, wide[lost])
    return half.tobytes()


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(
        f"{str(path)!r}, from which {path.stem}.onnx is made, is damaged ({why}). Reinstall "
        "clipgaze-sdk, or copy the file again."
    )
