"""Tiny networks with the signatures of the real ones, for tests without trained weights.

A "face" is a white square on a dark ground, of about 96 px in an image whose longer side is 640 px.

- The detector scores every 32 px cell by its mean brightness and gives boxes of fixed size.
- The landmark network puts the mean face's landmarks around the bright pixels of its crop, as wide
  as their area says; presence falls to 0 where nothing is bright.
- The gaze network gives yaw from the difference of brightness between right and left, and pitch
  from that between top and bottom, so that it obeys the mirror test by construction.  That of
  sheets puts all points of an eye into the middle of what is blue in its patch.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from clipgaze_sdk.geometry import FACE_MODEL_MM

FACE_SIDE_PX = 96
PREPROCESSING: dict[str, dict[str, Any]] = {
    "face_detector": {
        "long_side_px": 640,
        "multiple_px": 32,
        "strides": [8, 16, 32],
    },
    "face_landmarks": {"crop_scale": 1.5},
    "gaze": {"focal_px": 960.0, "distance_mm": 600.0, "center_px": [111.5, 79.5]},
}
SHAPES: dict[str, tuple[list[Any], dict[str, list[Any]]]] = {
    "face_detector": (
        ["batch", 3, "height", "width"],
        {
            "scores": ["batch", "anchors"],
            "boxes": ["batch", "anchors", 4],
            "points": ["batch", "anchors", 10],
        },
    ),
    "face_landmarks": (
        ["batch", 3, 128, 128],
        {"points": ["batch", 70, 2], "openness": ["batch", 2], "presence": ["batch"]},
    ),
    "gaze": (
        ["batch", 3, 96, 224],
        {"pitch_yaw": ["batch", 2], "log_sigma": ["batch"]},
    ),
}

EYE_SHEET: dict[str, Any] = {
    "layout": "eye_sheet",
    "eye_px": [72, 48],
    "face_px": [32, 48],
    "crop_px": [224, 224],
    "face_shrink": 4,
    "face_top_px": 16,
    "focal_px": 960.0,
    "distance_mm": 600.0,
    "center_px": [111.5, 111.5],
}
EYE_SHAPES: tuple[list[Any], dict[str, list[Any]]] = (
    ["batch", 3, 48, 208],
    {
        "pitch_yaw": ["batch", 2],
        "log_sigma": ["batch"],
        "eye_points": ["batch", 2, 15, 2],
        "eye_openness": ["batch", 2],
    },
)
EYE_OPENNESS = (0.25, 0.75)
"""Said by the network of sheets, of everybody."""


def draw_faces(size: tuple[int, int], centers: list[tuple[float, float]]) -> np.ndarray:
    """Return a BGR image (H, W, 3) of dark ground with a white square at each centre (x, y)."""
    width, height = size
    image = np.full((height, width, 3), 20, np.uint8)
    half = FACE_SIDE_PX // 2
    for x, y in centers:
        x0, y0 = round(x) - half, round(y) - half
        image[max(y0, 0) : y0 + FACE_SIDE_PX, max(x0, 0) : x0 + FACE_SIDE_PX] = 255
    return image


def write_networks(
    folder: Path, tasks: tuple[str, ...] = tuple(SHAPES), *, broken: tuple[str, ...] = ()
) -> Path:
    """Write networks and cards; those of ``broken`` answer with NaN (presence stays a number)."""
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        model = _GRAPHS[task](factor=float("nan") if task in broken else 1.0)
        path = folder / f"{task}.onnx"
        onnx.save(model, path)
        write_card(path, task)
    return folder


def write_eye_networks(folder: Path, *, factor: float = 1.0) -> Path:
    """As :func:`write_networks`, with a gaze network that looks at sheets of the eyes.

    Its points of eyes are multiplied by ``factor``.
    """
    write_networks(folder, ("face_detector", "face_landmarks"))
    onnx.save(_eyes(factor=factor), folder / "gaze.onnx")
    write_card(folder / "gaze.onnx", "gaze", shapes=EYE_SHAPES, own=EYE_SHEET)
    return folder


def write_card(
    model_path: Path,
    task: str,
    /,
    shapes: tuple[list[Any], dict[str, list[Any]]] | None = None,
    own: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Write the card of a model file; ``changes`` replace its entries, None removes one."""
    input_shape, outputs = shapes or SHAPES[task]
    card = {
        "format": 1,
        "name": f"fake {task}",
        "task": task,
        "file": model_path.name,
        "sha256": hashlib.sha256(model_path.read_bytes()).hexdigest(),
        "inputs": [{"name": "image", "dtype": "float32", "shape": input_shape}],
        "outputs": [
            {"name": name, "dtype": "float32", "shape": shape} for name, shape in outputs.items()
        ],
        "preprocessing": {
            "color": "RGB",
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
            **(own or PREPROCESSING[task]),
        },
        "licence": "Apache-2.0",
        "version": "0",
        "trained_on": "nothing",
        "face_model": "mean face",
        "command": "",
        "seed": 0,
        "commit": "",
        "figures": {"error_deg": 0.0},
        "intended_use": "tests",
        "limits": "everything",
    }
    card = {key: value for key, value in {**card, **changes}.items() if value is not None}
    path = model_path.with_suffix(".json")
    path.write_text(json.dumps(card, indent=2))
    return path


class _Graph:
    """Nodes and constants under construction."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, op: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        name = name or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def model(
        self, task: str, shapes: tuple[list[Any], dict[str, list[Any]]] | None = None
    ) -> onnx.ModelProto:
        input_shape, outputs = shapes or SHAPES[task]
        graph = helper.make_graph(
            self.nodes,
            task,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, input_shape)],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in outputs.items()
            ],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        onnx.checker.check_model(model)
        return model


def _detector(*, factor: float) -> onnx.ModelProto:
    g = _Graph()
    grey = g.add("ReduceMean", "image", axes=[1], keepdims=1)
    flat = []
    for stride, weight in ((8, 0.0), (16, 0.0), (32, 1.0)):
        pooled = g.add("AveragePool", grey, kernel_shape=[stride] * 2, strides=[stride] * 2)
        scaled = g.add("Mul", pooled, g.constant(weight * factor))
        flat.append(g.add("Flatten", scaled, axis=1))
    scores = g.add("Concat", *flat, axis=1, name="scores")
    ones = g.add(
        "Unsqueeze",
        g.add("Add", g.add("Mul", scores, g.constant(0.0)), g.constant(1.0)),
        g.constant([2], np.int64),
    )
    # A face of 96 px has its forehead in the box: about 96 x 120 px, or 3 x 3.75 cells of 32 px.
    g.add("Mul", ones, g.constant([[[1.5, 2.2, 1.5, 1.5]]]), name="boxes")
    points = [-0.6, -0.5, 0.6, -0.5, 0.0, 0.0, -0.5, 0.7, 0.5, 0.7]
    g.add("Mul", ones, g.constant([[points]]), name="points")
    return g.model("face_detector")


def _landmarks(*, factor: float) -> onnx.ModelProto:
    g = _Graph()
    grey = g.add("ReduceMean", "image", axes=[1], keepdims=1)
    bright = g.add("Clip", g.add("Sub", grey, g.constant(0.5)), g.constant(0.0), g.constant(0.5))
    weight = g.add("Mul", bright, g.constant(2.0))
    share = g.add("ReduceMean", weight, axes=[1, 2, 3], keepdims=0)
    u = (np.arange(128) + 0.5) / 64.0 - 1.0
    grid = np.stack(np.meshgrid(u, u), axis=0)[None]
    summed = g.add("ReduceMean", g.add("Mul", weight, g.constant(grid)), axes=[2, 3], keepdims=0)
    safe = g.add("Unsqueeze", g.add("Max", share, g.constant(1e-6)), g.constant([1], np.int64))
    center = g.add("Unsqueeze", g.add("Div", summed, safe), g.constant([1], np.int64))
    side = g.add("Unsqueeze", g.add("Sqrt", safe), g.constant([2], np.int64))
    offsets = g.add("Mul", side, g.constant(_template()[None]))
    placed = g.add("Add", center, offsets)
    g.add("Mul", placed, g.constant(factor), name="points")
    openness = g.add("Mul", g.add("Squeeze", center, g.constant([1], np.int64)), g.constant(0.0))
    g.add("Add", openness, g.constant([0.8, 0.6]), name="openness")
    g.add(
        "Clip",
        g.add("Mul", share, g.constant(20.0)),
        g.constant(0.0),
        g.constant(1.0),
        name="presence",
    )
    return g.model("face_landmarks")


def _gaze(*, factor: float) -> onnx.ModelProto:
    g = _Graph()
    right = np.where(np.arange(224) < 112, -1.0, 1.0)[None, None, None, :]
    down = np.where(np.arange(96) < 48, -1.0, 1.0)[None, None, :, None]
    sums = [
        g.add("ReduceMean", g.add("Mul", "image", g.constant(sign)), axes=[1, 2, 3], keepdims=0)
        for sign in (down, right)
    ]
    stacked = [g.add("Unsqueeze", s, g.constant([1], np.int64)) for s in sums]
    angles = g.add("Concat", *stacked, axis=1)
    g.add("Mul", angles, g.constant(-factor), name="pitch_yaw")
    zero = g.add("Mul", sums[0], g.constant(0.0))
    g.add("Add", zero, g.constant(np.log(0.1)), name="log_sigma")
    return g.model("gaze")


def _eyes(*, factor: float) -> onnx.ModelProto:
    g = _Graph()
    columns = np.arange(208)
    right = np.where(columns < 104, 1.0, -1.0)[None, None, None, :]
    down = np.where(np.arange(48) < 24, -1.0, 1.0)[None, None, :, None]
    sums = [
        g.add("ReduceMean", g.add("Mul", "image", g.constant(sign)), axes=[1, 2, 3], keepdims=0)
        for sign in (down, right)
    ]
    axis = g.constant([1], np.int64)
    angles = g.add("Concat", *[g.add("Unsqueeze", s, axis) for s in sums], axis=1)
    g.add("Mul", angles, g.constant(-1.0), name="pitch_yaw")
    zero = g.add("Mul", sums[0], g.constant(0.0))
    g.add("Add", zero, g.constant(np.log(0.1)), name="log_sigma")
    red_to_blue = g.constant(np.reshape([-1.0, 0.0, 1.0], (1, 3, 1, 1)))
    blue = g.add("ReduceSum", g.add("Mul", "image", red_to_blue), axis, keepdims=1)
    grid = np.stack(np.meshgrid(columns % 104, np.arange(48)))[None]
    sides = []
    for first in (0, 104):
        patch = ((columns >= first) & (columns < first + 72)).astype(float)
        weight = g.add("Mul", g.add("Relu", blue), g.constant(patch[None, None, None]))
        total = g.add("ReduceMean", weight, axes=[2, 3], keepdims=0)
        placed = g.add("Mul", weight, g.constant(grid))
        summed = g.add("ReduceMean", placed, axes=[2, 3], keepdims=0)
        point = g.add("Div", summed, g.add("Max", total, g.constant(1e-9)))
        sides.append(g.add("Unsqueeze", point, g.constant([1, 2], np.int64)))
    points = g.add("Concat", *sides, axis=1)
    g.add("Mul", points, g.constant(np.full((1, 1, 15, 1), factor)), name="eye_points")
    zeros = g.add("Mul", angles, g.constant(0.0))
    g.add("Add", zeros, g.constant(EYE_OPENNESS), name="eye_openness")
    return g.model("gaze", EYE_SHAPES)


def _template() -> np.ndarray:
    """Return the mean face's points (70, 2), 2 units high and centred, irises included."""
    flat = FACE_MODEL_MM[:, :2]
    irises = np.stack([flat[36:42].mean(axis=0), flat[42:48].mean(axis=0)])
    low, high = flat.min(axis=0), flat.max(axis=0)
    return (np.vstack([flat, irises]) - (low + high) / 2.0) / (high - low).max() * 2.0


_GRAPHS = {"face_detector": _detector, "face_landmarks": _landmarks, "gaze": _gaze}
