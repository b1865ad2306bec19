"""What precision an engine's layers really have, by TensorRT's engine inspector.

A build that was asked for FP16 and wrote FP32 has been seen to report success.  So every
convolution and matrix product is looked up.  TensorRT 10 and 11 describe layers in different
words, and a fused layer has many names: what follows reads all forms that are known, and what
cannot be read counts as wrong.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .._errors import BackendError
from .network import onnx_names

_BESIDES = ("Constant", "Reformat", "Shuffle", "NoOp", "Slice", "Identity", "Cast")
"""Layer types that only surround a product, under the same ONNX name."""
_COMPUTE = re.compile(r"conv|gemm|matmul|matrixmul|fprop|_fc|dla", re.IGNORECASE)
_TACTIC = re.compile(r"_(i8|f16|bf16|f32|tf32|e4m3)(?:i8|f16|bf16|f32|tf32|e4m3)_")
_TYPES = {
    "int8": re.compile(r"\bint8\b|\bi8\b", re.IGNORECASE),
    "fp16": re.compile(r"\bhalf\b|\bfp16\b|\bfloat16\b|\bf16\b", re.IGNORECASE),
    "bf16": re.compile(r"\bbf16\b|\bbfloat16\b", re.IGNORECASE),
    "tf32": re.compile(r"\btf32\b", re.IGNORECASE),
    "fp32": re.compile(r"\bfloat\b|\bfp32\b|\bfloat32\b|\bf32\b", re.IGNORECASE),
}
_Layer = Mapping[str, Any]


def read_layers(description: str) -> list[_Layer]:
    """Return the layers of an inspector's JSON.

    Raises:
        BackendError: it is no JSON, or has no details.
    """
    try:
        # Node names are parted by control characters, which strict JSON forbids.
        layers = json.loads(description, strict=False)["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise BackendError(
            f"the engine inspector's answer cannot be read ({error}): {description[:200]!r}."
        ) from error
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise BackendError(
            "the engine inspector tells names alone; expected layers with types. The engine was "
            "built without detailed profiling verbosity: build it again."
        )
    return layers


def check_compute_layers(
    layers: Sequence[_Layer], names: Sequence[str], *, precision: str, excluded: Collection[str]
) -> dict[str, int]:
    """Check each convolution and matrix product, and count them by precision.

    Args:
        layers: of the inspector.
        names: ONNX names of those that the graph has.
        precision: "fp32", "fp16" or "int8".
        excluded: names that may have any.

    Raises:
        BackendError: one has another precision than asked for, or tells none.
    """
    if not names:
        raise BackendError(
            "the graph has no convolution and no matrix product, so its precision means nothing; "
            "expected one of this project's networks."
        )
    found = {name: _precision_of(layers, name, asked=precision) for name in names}
    others = [name for name in names if found[name] != precision and name not in excluded]
    if others:
        some = ", ".join(f"{name} ({found[name]})" for name in others[:5])
        raise BackendError(
            f"the engine is not {precision}: {len(others)} of {len(names)} convolutions and matrix "
            f"products have another precision: {some}{' …' if len(others) > 5 else ''}. It was not "
            "written. TensorRT did not follow the graph: report this with the TensorRT version, or "
            "take another precision."
        )
    return dict(Counter(found.values()))


def _precision_of(layers: Sequence[_Layer], name: str, *, asked: str) -> str:
    own = [
        layer for layer in layers if _names(layer, name) and layer.get("LayerType") not in _BESIDES
    ]
    own = [layer for layer in own if _COMPUTE.search(_kind(layer))] or own
    precisions = sorted({_layer_precision(layer, asked) for layer in own})
    return " and ".join(precisions) or "not in the engine"


def _names(layer: _Layer, name: str) -> bool:
    if listed := onnx_names(str(layer.get("Metadata", ""))):
        return name in listed
    whole = rf"(?<![\w/.]){re.escape(name)}(?![\w/.])"
    return re.search(whole, str(layer.get("Name", ""))) is not None


def _kind(layer: _Layer) -> str:
    return " ".join(str(layer.get(key, "")) for key in ("LayerType", "ParameterType", "TacticName"))


def _layer_precision(layer: _Layer, asked: str) -> str:
    """Say what a layer computes in: by its weights, else its kernel's name, else its tensors."""
    weights = layer.get("Weights")
    kernel = _TACTIC.search(str(layer.get("TacticName", "")))
    by_weights = str(weights.get("Type", "")) if isinstance(weights, dict) else ""
    for text in (by_weights, kernel[1] if kernel else ""):
        if found := _named(text):
            return found[0]
    inputs = _tensor_types(layer, "Inputs")
    # With FP16, a cast of the input may be fused with the product.
    if asked in inputs or (asked == "fp16" and asked in _tensor_types(layer, "Outputs")):
        return asked
    return " and ".join(inputs) or "of unknown precision"


def _tensor_types(layer: _Layer, key: str) -> list[str]:
    # "Format/Datatype" up to TensorRT 10; "DataType" beside "Format" from 11.
    words = [
        str(word)
        for tensor in layer.get(key) or ()
        for name, word in (tensor.items() if isinstance(tensor, dict) else ())
        if name.lower() in ("datatype", "format/datatype")
    ]
    return list(dict.fromkeys(name for word in words for name in _named(word)))


def _named(text: str) -> list[str]:
    return [name for name, pattern in _TYPES.items() if pattern.search(text)]
