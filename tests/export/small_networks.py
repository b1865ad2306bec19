"""A small gaze network with everything that precisions must cope with, and crops to feed it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.fake_networks import write_card

CHANNELS = 8
SIZE = (96, 224)


def gaze_model(*, gain: float = 1.0, opset: int = 18) -> ModelProto:
    """Stem, residual block, flattened map, two linear heads; ``gain`` multiplies the stem.

    As PyTorch writes them: a shared weight through an Identity, a constant as a node.
    """
    rng = np.random.default_rng(3)
    weights: list[TensorProto] = []
    nodes: list[NodeProto] = []

    def weight(name: str, *shape: int, scale: float | None = None) -> str:
        fan_in = int(np.prod(shape[1:])) or 1
        values = rng.normal(0, scale or np.sqrt(1.0 / fan_in), shape).astype(np.float32)
        weights.append(numpy_helper.from_array(values, name))
        return name

    def add(op: str, inputs: list[str], output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(op, inputs, [output], name=f"/{output}", **attributes))
        return output

    def conv(x: str, name: str, channels: int, *, kernel: int, stride: int, w: str = "") -> str:
        w = w or weight(f"{name}.w", CHANNELS, channels, kernel, kernel)
        bias = weight(f"{name}.b", CHANNELS, scale=0.1)
        pad = [kernel // 2] * 4
        return add("Conv", [x, w, bias], name, strides=[stride] * 2, pads=pad)

    stem = add("Relu", [conv("image", "stem", 3, kernel=3, stride=8)], "stem_relu")
    gained = weight("inner.w", CHANNELS, CHANNELS, 3, 3)
    same = add("Identity", [gained], "inner.same")
    inner = add("Relu", [conv(stem, "inner", CHANNELS, kernel=3, stride=1, w=same)], "inner_relu")
    sum_ = add("Add", [stem, conv(inner, "outer", CHANNELS, kernel=3, stride=1)], "sum")
    flat = add("Flatten", [add("Relu", [sum_], "sum_relu")], "flat", axis=1)
    features = CHANNELS * (SIZE[0] // 8) * (SIZE[1] // 8)
    hidden = add(
        "Gemm", [flat, weight("hidden.w", 16, features), weight("hidden.b", 16)], "hidden", transB=1
    )
    hidden = add("Relu", [hidden], "hidden_relu")
    add("Gemm", [hidden, weight("gaze.w", 2, 16), weight("gaze.b", 2)], "pitch_yaw", transB=1)
    sigma = add("Gemm", [hidden, weight("sigma.w", 1, 16), weight("sigma.b", 1)], "sigma", transB=1)
    shift = numpy_helper.from_array(np.array(-2.5, np.float32))
    nodes.append(helper.make_node("Constant", [], ["shift"], name="/shift", value=shift))
    axis = numpy_helper.from_array(np.array([1], np.int64))
    nodes.append(helper.make_node("Constant", [], ["axis"], name="/axis", value=axis))
    add("Add", [add("Squeeze", [sigma, "axis"], "squeezed"), "shift"], "log_sigma")
    for tensor in weights:
        if tensor.name.startswith("stem"):
            tensor.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor) * gain, tensor.name)
            )
    return _model(nodes, weights, opset)


def _model(nodes: list[NodeProto], weights: list[TensorProto], opset: int) -> ModelProto:
    def value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "small",
        [value("image", "batch", 3, *SIZE)],
        [value("pitch_yaw", "batch", 2), value("log_sigma", "batch")],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return model


def write_gaze_network(path: Path, *, gain: float = 1.0, opset: int = 18) -> Path:
    """Write the network and its card."""
    onnx.save(gaze_model(gain=gain, opset=opset), path)
    write_card(path, "gaze", name="gaze")
    return path


def write_shard(folder: Path) -> Path:
    """A shard of 24 normalised crops."""
    from train.ablation.dots import write_dots

    return write_dots(folder, people=6, pictures=4, seed=5)


def random_images(count: int, *, seed: int = 0) -> list[np.ndarray]:
    """Inputs (1, 3, 96, 224)."""
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 1, (1, 3, *SIZE)).astype(np.float32) for _ in range(count)]
