"""FP16 as a graph: weights and activations in half precision, the answers' last layer in FP32."""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.graphs import (
    WEIGHTED,
    beginning,
    downstream,
    drop_unused,
    folded,
    heads,
    named,
    topologically_sorted,
)

LARGEST = 65504.0
"""The largest finite number of half precision."""


class HalfRangeError(ValueError):
    """Weights that half precision cannot hold."""


def half_precision(model: ModelProto) -> tuple[ModelProto, list[str]]:
    """A graph in FP16 between FP32 inputs and outputs; and which weighted nodes are not.

    The heads, and all that comes after them, stay in FP32: a rounded answer is an error that
    nothing averages out, and they are a thousandth of the work.  So does what is done to the
    picture before the first convolution where it takes means, since squares of thousands of pixels
    leave the range of half precision.

    Raises :class:`HalfRangeError` for weights beyond the range, which the converter would cut.
    """
    model = named(folded(model))
    apart = downstream(model.graph, heads(model.graph))
    kept = [n.name for n in model.graph.node if n.name in apart and n.op_type in WEIGHTED]
    before, _ = beginning(model.graph)
    kinds = {node.op_type for node in model.graph.node if node.name in before}
    apart += before if "ReduceMean" in kinds else []
    _check_weights(model)
    half = convert_float_to_float16(model, keep_io_types=True, node_block_list=apart)
    topologically_sorted(half.graph)  # the converter puts its casts at the end
    _join_casts(half.graph)
    del half.graph.value_info[:]
    return half, kept


def _join_casts(graph: GraphProto) -> None:
    """Remove casts to half and back, which round; let one cast serve all that want the same.

    The converter casts around every node that stays in FP32, between two of them and before the
    outputs as well.
    """
    outputs = {value.name for value in graph.output}
    casts: dict[tuple[str, int], str] = {}
    """What a tensor is called once it has been cast to a type."""
    source: dict[str, tuple[str, int]] = {}
    """The tensor from which a cast made another, and the type of what it made."""
    instead: dict[str, str] = {}
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = instead.get(name, name)
        if node.op_type != "Cast":
            continue
        (given,), (made,), to = node.input, node.output, node.attribute[0].i
        before, through = source.get(given, ("", 0))
        if to == TensorProto.FLOAT and through == TensorProto.FLOAT16:
            # Only FP32 is ever cast to half, so that this is the tensor as it was.
            instead[before if made in outputs else made] = made if made in outputs else before
            node.input[0] = before
            continue
        if (given, to) in casts and made not in outputs:
            instead[made] = casts[given, to]
            continue
        casts[given, to] = made
        source[made] = given, to
    _rename_outputs(graph, {old: new for old, new in instead.items() if new in outputs})
    drop_unused(graph)


def _rename_outputs(graph: GraphProto, new_names: dict[str, str]) -> None:
    """Give tensors the names of the outputs that only a cast to their own type makes of them."""
    kept = [n for n in graph.node if n.op_type != "Cast" or n.output[0] not in new_names.values()]
    for node in kept:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = new_names.get(name, name)
    del graph.node[:]
    graph.node.extend(kept)


def _check_weights(model: ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            most = float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))
            if not most <= LARGEST:
                raise HalfRangeError(
                    f"weight {tensor.name} reaches {most:g}, beyond {LARGEST:g}, the largest FP16 "
                    "number; this network cannot be in FP16. Train it with weight decay"
                )
