"""Ranges of activations for INT8: the largest values seen, or those that lose least information.

ONNX Runtime's own entropy calibrator counts the zeros behind a ReLU as any other value, finds that
they are nearly everything, and cuts the rest: gaze then changes by 17° on average.  This one leaves
the zero bin out, as TensorRT's does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import TensorsData

BINS = 2048
LEVELS = 128
"""Of the absolute value in int8."""
STRIDE = 8
"""Bins between two thresholds that are tried."""
AT_ONCE = 8
"""Inputs whose activations are held in memory together."""

Images = Sequence[NDArray[np.float32]]


@dataclass(slots=True)
class _Seen:
    """What was seen of one tensor."""

    low: float = np.inf
    high: float = -np.inf
    counts: NDArray[np.int64] | None = None
    """Of absolute values, in equal bins up to the largest."""

    @property
    def most(self) -> float:
        return max(abs(self.low), abs(self.high))


def activation_ranges(model: ModelProto, images: Images, method: str) -> TensorsData:
    """The range of every float tensor that the graph computes over the images.

    ``minmax`` takes the least and the greatest value; ``entropy`` cuts them at the threshold whose
    quantised distribution diverges least from the one seen (Migacz, 8-bit inference with TensorRT,
    2017).
    """
    seen: dict[str, _Seen] = {}
    for name, values in _activations(model, images):
        tensor = seen.setdefault(name, _Seen())
        tensor.low = min(tensor.low, float(values.min()))
        tensor.high = max(tensor.high, float(values.max()))
    if method == "entropy":
        for name, values in _activations(model, images):
            _count(seen[name], values)
    return TensorsData(
        CalibrationMethod.MinMax, {name: _range(tensor, method) for name, tensor in seen.items()}
    )


def _activations(model: ModelProto, images: Images) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every float tensor, by name, for a few images at a time."""
    model = copy.deepcopy(model)
    inferred = onnx.shape_inference.infer_shapes(model)
    known = {value.name for value in model.graph.output}
    names = [
        value.name
        for value in inferred.graph.value_info
        if value.type.tensor_type.elem_type == TensorProto.FLOAT and value.name not in known
    ]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    every = [output.name for output in session.get_outputs()]
    for part in _parts(images):
        yield "image", part
        yield from zip(every, session.run(every, {"image": part}), strict=True)


def _parts(images: Images) -> Iterator[NDArray[np.float32]]:
    """The images as batches of one shape each, small enough for memory."""
    by_shape: dict[tuple[int, ...], list[NDArray[np.float32]]] = {}
    for image in images:
        by_shape.setdefault(image.shape, []).append(image)
    for same in by_shape.values():
        for start in range(0, len(same), AT_ONCE):
            yield np.concatenate(same[start : start + AT_ONCE])


def _count(tensor: _Seen, values: NDArray[np.float32]) -> None:
    if tensor.most == 0:
        return
    bins = np.minimum(np.abs(values.ravel()) * (BINS / tensor.most), BINS - 1).astype(np.int64)
    counts = np.bincount(bins, minlength=BINS)
    tensor.counts = counts if tensor.counts is None else tensor.counts + counts


def _range(tensor: _Seen, method: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    low, high = tensor.low, tensor.high
    if method == "entropy" and tensor.counts is not None:
        most = tensor.most * entropy_bins(tensor.counts) / len(tensor.counts)
        low, high = max(low, -most), min(high, most)
    return np.float32(low), np.float32(high)  # type: ignore[return-value]


def entropy_bins(counts: NDArray[np.int64]) -> int:
    """How many of the bins to keep, so that least information is lost in 128 levels."""
    bins = counts.astype(np.float64)
    bins[0] = bins[1]  # zeros are exact in any scale
    best, kept = np.inf, len(bins)
    for size in range(LEVELS, len(bins) + 1, STRIDE):
        divergence = _divergence(bins, size)
        if divergence <= best:
            best, kept = divergence, size
    return kept


def _divergence(bins: NDArray[np.float64], size: int) -> float:
    """Kullback-Leibler divergence of the first ``size`` bins in 128 levels from all bins."""
    wanted = bins[:size].copy()
    wanted[-1] += bins[size:].sum()
    level = np.arange(size) * LEVELS // size
    filled = bins[:size] > 0
    mass = np.bincount(level, bins[:size], LEVELS)
    places = np.bincount(level, filled, LEVELS)
    given = np.where(filled, (mass / np.maximum(places, 1))[level], 0.0)
    wanted, given = wanted / max(wanted.sum(), 1e-30), given / max(given.sum(), 1e-30)
    if wanted[-1] > 0 and given[-1] == 0:  # an empty bin cannot stand for all that is cut
        return float("inf")
    used = (wanted > 0) & (given > 0)
    return float((wanted[used] * np.log(wanted[used] / given[used])).sum())
