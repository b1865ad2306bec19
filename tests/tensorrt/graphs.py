"""Small networks of each task with real convolutions, in FP32, FP16 and INT8, with cards."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.fake_networks import SHAPES, write_card

_GAZE_SIZE = (96, 224)


def write_graphs(folder: Path, *, seed: int = 0, precisions: tuple[str, ...] = ()) -> Path:
    """Write ``gaze.onnx`` and the graphs of other precisions beside it; return the FP32 one."""
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / "gaze.onnx"
    onnx.save(gaze_graph("fp32", seed=seed), base)
    write_card(base, "gaze")
    base_sha256 = hashlib.sha256(base.read_bytes()).hexdigest()
    for kind in precisions or ("fp16", "int8", "int8_cpu"):
        precision = kind.removesuffix("_cpu")
        path = folder / f"gaze.{kind}.onnx"
        onnx.save(gaze_graph(precision, seed=seed), path)
        changes: dict[str, Any] = {"precision": precision, "base_sha256": base_sha256}
        changes["runs_on"] = ["onnxruntime" if kind == "int8_cpu" else "tensorrt"]
        if precision == "int8":
            changes |= {"excluded_layers": ["/head/Gemm"], "calibration": {"sha256": "c" * 64}}
        write_card(path, "gaze", **changes)
    return base


def gaze_graph(precision: str, *, seed: int = 0, opset: int = 18) -> onnx.ModelProto:
    """Return a gaze network: two convolutions, a mean, a product; inputs and outputs in FP32."""
    rng = np.random.default_rng(seed)
    kind = np.float32 if precision == "fp32" else np.float16
    weights = {
        "w0": rng.normal(0, 0.2, (4, 3, 8, 8)),
        "w1": rng.normal(0, 0.3, (4, 4, 3, 3)),
        "w2": rng.normal(0, 0.5, (4, 3)),
    }
    nodes, constants = [], []
    x = "image"
    if precision != "fp32":
        nodes.append(helper.make_node("Cast", [x], ["half"], "/cast", to=TensorProto.FLOAT16))
        x = "half"
    for index, stride in enumerate((8, 1)):
        weight = f"w{index}"
        inputs = [x, weight]
        constants.append(numpy_helper.from_array(weights[weight].astype(kind), weight))
        if precision == "int8":
            made, inputs = _quantized(inputs, scale=(0.05, 0.01), kind=kind)
            nodes += made[0]
            constants += made[1]
        nodes.append(
            helper.make_node(
                "Conv", inputs, [f"c{index}"], f"/body/{index}/Conv", strides=[stride, stride]
            )
        )
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"], f"/body/{index}/Relu"))
        x = f"r{index}"
    constants.append(numpy_helper.from_array(weights["w2"].astype(kind), "w2"))
    nodes += [
        helper.make_node("GlobalAveragePool", [x], ["p"], "/pool"),
        helper.make_node("Flatten", ["p"], ["f"], "/flat"),
        helper.make_node("Gemm", ["f", "w2"], ["g"], "/head/Gemm"),
    ]
    last = "g"
    if precision != "fp32":
        nodes.append(helper.make_node("Cast", ["g"], ["g32"], "/cast_1", to=TensorProto.FLOAT))
        last = "g32"
    constants += [
        numpy_helper.from_array(np.array(v, np.int64), n)
        for n, v in (("i0", [0]), ("i2", [2]), ("i3", [3]), ("one", [1]))
    ]
    nodes += [
        helper.make_node("Slice", [last, "i0", "i2", "one"], ["pitch_yaw"], "/angles"),
        helper.make_node("Slice", [last, "i2", "i3", "one"], ["s"], "/sigma"),
        helper.make_node("Squeeze", ["s", "one"], ["log_sigma"], "/squeeze"),
    ]
    return _model(nodes, constants, opset)


def _quantized(
    inputs: list[str], *, scale: tuple[float, float], kind: type
) -> tuple[tuple[list[Any], list[Any]], list[str]]:
    """Put a quantiser and its inverse behind each input."""
    nodes, constants, outputs = [], [], []
    for name, step in zip(inputs, scale, strict=True):
        constants += [
            numpy_helper.from_array(np.array(step, kind), f"{name}_scale"),
            numpy_helper.from_array(np.array(0, np.int8), f"{name}_zero"),
        ]
        q, d = f"{name}_q", f"{name}_d"
        extra = [f"{name}_scale", f"{name}_zero"]
        nodes += [
            helper.make_node("QuantizeLinear", [name, *extra], [q], f"/{name}/Quantize"),
            helper.make_node("DequantizeLinear", [q, *extra], [d], f"/{name}/Dequantize"),
        ]
        outputs.append(d)
    return (nodes, constants), outputs


def _model(nodes: list[Any], constants: list[Any], opset: int) -> onnx.ModelProto:
    shape, outputs = SHAPES["gaze"]
    graph = helper.make_graph(
        nodes,
        "gaze",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", max(opset, 19))])
    model.ir_version = 10
    return model
