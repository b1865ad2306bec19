"""Small changes and questions that every precision needs of an ONNX graph."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from onnx import GraphProto, ModelProto, NodeProto

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""What has a precision of its own: convolutions and matrix products."""


def folded(model: ModelProto) -> ModelProto:
    """A copy in which every constant is an initialiser, and taken directly.

    PyTorch's exporter passes shared weights through an Identity, and a quantiser would take them
    for activations; other constants it makes nodes, which a converter to FP16 would cast.
    """
    model = copy.deepcopy(model)
    graph = model.graph
    names = {tensor.name for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    same: dict[str, str] = {}
    kept = []
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            names.add(tensor.name)
            continue
        source = same.get(node.input[0], node.input[0]) if node.input else ""
        if node.op_type == "Identity" and source in names and node.output[0] not in outputs:
            same[node.output[0]] = source
            continue
        for i, name in enumerate(node.input):
            node.input[i] = same.get(name, name)
        kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    return model


def heads(graph: GraphProto) -> list[str]:
    """Names of the convolutions and matrix products after which no other, or a softmax, comes.

    They compute the answers, or the heat of which a place is the mean: they are small, and an error
    in them is not averaged by anything.
    """
    behind: set[str] = set()
    """Tensors that some convolution or matrix product depends on."""
    heat: set[str] = set()
    """Tensors that a softmax depends on, with no convolution or matrix product between."""
    found = []
    for node in reversed(graph.node):
        needed = any(name in behind for name in node.output)
        heats = node.op_type == "Softmax" or any(name in heat for name in node.output)
        if node.op_type in WEIGHTED and (heats or not needed):
            found.append(node.name)
        elif heats:
            heat.update(node.input)
        if needed or node.op_type in WEIGHTED:
            behind.update(node.input)
    return found[::-1]


def beginning(graph: GraphProto) -> tuple[list[str], list[str]]:
    """Names of the nodes that cut or average the input, and of the weighted ones that read that."""
    read = {value.name for value in graph.input}
    before: list[str] = []
    first: list[str] = []
    for node in graph.node:
        if any(name in read for name in node.input):
            if node.op_type in WEIGHTED:
                first.append(node.name)
            else:
                before.append(node.name)
                read.update(node.output)
    return before, first


def _is_pointwise(node: NodeProto) -> bool:
    kernel = [a.ints for a in node.attribute if a.name == "kernel_shape"]
    return bool(kernel) and all(side == 1 for side in kernel[0])


def tail(graph: GraphProto) -> list[str]:
    """Names of :func:`heads`, and of products and 1×1 convolutions that no convolution follows.

    These layers see a few hundred numbers, of which each counts, and cost next to nothing.
    """
    before: set[str] = set()
    """Tensors that some convolution depends on."""
    found = set(heads(graph))
    for node in reversed(graph.node):
        needed = any(name in before for name in node.output)
        is_convolution = node.op_type in WEIGHTED[:2]
        small = node.op_type in WEIGHTED[2:] or (is_convolution and _is_pointwise(node))
        if small and not needed:
            found.add(node.name)
        if needed or is_convolution:
            before.update(node.input)
    return [node.name for node in graph.node if node.name in found]


def downstream(graph: GraphProto, names: Iterable[str]) -> list[str]:
    """Names of the nodes given and of all that use what they compute, in order."""
    wanted, reached, found = set(names), set[str](), []
    for node in graph.node:
        if node.name in wanted or any(name in reached for name in node.input):
            reached.update(node.output)
            found.append(node.name)
    return found


def topologically_sorted(graph: GraphProto) -> None:
    """Put the nodes, in place, into an order in which each comes after what it uses."""
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    waiting = list(graph.node)
    done: list[NodeProto] = []
    while waiting:
        ready = [n for n in waiting if all(not name or name in known for name in n.input)]
        if not ready:
            raise ValueError(f"the graph {graph.name!r} has a cycle or lacks a tensor")
        known.update(name for node in ready for name in node.output)
        taken = {id(node) for node in ready}
        done += ready
        waiting = [node for node in waiting if id(node) not in taken]
    del graph.node[:]
    graph.node.extend(done)


def named(model: ModelProto) -> ModelProto:
    """A copy in which every node has a name of its own."""
    model = copy.deepcopy(model)
    seen: set[str] = set()
    for i, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{i}"
        seen.add(node.name)
    return model


def drop_unused(graph: GraphProto) -> None:
    """Remove, in place, nodes and weights that nothing uses."""
    wanted = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if any(name in wanted for name in node.output):
            wanted.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept[::-1])
    weights = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(weights)
