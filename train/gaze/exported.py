"""Weights that are kept once: what an exported gaze network holds is not stored again.

Export joins layers: batch norm goes into the convolution before it, and the separator's last layer
into the heads.  All other tensors are in the ONNX file as they were.  So a run that ships keeps
beside it only what was joined (batch norms, the last layer and the heads, about a sixth), and this
module puts both together again, as near as float32 divides (1e-6).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clipgaze_sdk.models import files as sdk_files
from train.gaze.models import GazeModel

JOINED = ("projection.", "separator.2.", "gaze.", "sigma.0.")


class ExportedMismatch(ValueError):
    """The ONNX file is not the one that the rest of the weights belongs to."""


def rest_of(model: GazeModel, onnx_file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What ``onnx_file``, exported from this model, lacks, and the card's entry about it.

    Raises :class:`ExportedMismatch` for a file of another network.
    """
    state = dict(model.state_dict())
    data = _read(onnx_file)
    about = {"file": onnx_file.name, "sha256": hashlib.sha256(data).hexdigest()}
    norms = {norm for _, norm in _normalised(model)}
    joined = (*JOINED, *(("separator.0.",) if isinstance(model.projection, nn.Linear) else ()))
    rest = {
        name: value
        for name, value in state.items()
        if name.startswith(joined) or name in ("mean", "std") or name.rpartition(".")[0] in norms
    }
    again = _completed(model, rest, onnx_file, data)
    far = [k for k, v in again.items() if not _alike(v, state[k])]
    if far:
        raise ExportedMismatch(f"{onnx_file} was not exported from this model: {far[0]} differs")
    return rest, about


def completed(
    model: GazeModel, rest: Mapping[str, Tensor], onnx_file: Path, sha256: str | None = None
) -> dict[str, Tensor]:
    """The whole state of ``model``: its ``rest`` with what ``onnx_file`` holds.

    Raises :class:`ExportedMismatch` where the file is missing, has another hash than ``sha256``, or
    is of another network.
    """
    data = _read(onnx_file)
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise ExportedMismatch(
            f"{onnx_file} is another network than the one that these weights are the rest of; "
            "take the file of the same commit, or weights of their own"
        )
    return _completed(model, rest, onnx_file, data)


def _completed(
    model: GazeModel, rest: Mapping[str, Tensor], onnx_file: Path, data: bytes
) -> dict[str, Tensor]:
    """As :func:`completed`, of the file's bytes, which are read once: those that are hashed."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_model_from_string(data).graph
    tensors = {t.name: _tensor(numpy_helper.to_array(t)) for t in graph.initializer}
    state = dict(rest)
    for name in model.state_dict():
        if name not in state and f"model.{name}" in tensors:
            state[name] = tensors[f"model.{name}"]
    folded = [
        tensors[node.input[1]]
        for node in graph.node
        if node.op_type == "Conv" and not node.input[1].startswith("model.")
    ]
    pairs = _normalised(model)
    if len(pairs) != len(folded):
        raise ExportedMismatch(
            f"{onnx_file} has {len(folded)} convolutions with batch norm, the model {len(pairs)}"
        )
    modules = dict(model.named_modules())
    for (conv, norm), weight in zip(pairs, folded, strict=True):
        epsilon = float(modules[norm].eps)
        deviation = (rest[f"{norm}.running_var"].double() + epsilon).sqrt()
        scale = rest[f"{norm}.weight"].double() / deviation
        state[f"{conv}.weight"] = (weight.double() / scale.view(-1, 1, 1, 1)).float()
    return state


def bundled(name: str) -> Path:
    """The SDK's file of this name."""
    return Path(sdk_files.BUNDLED_FOLDER) / Path(name).name


def _normalised(model: GazeModel) -> list[tuple[str, str]]:
    """Names of convolutions and of the batch norm after each, in the order that they compute in."""
    found, last = [], ""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            last = name
        elif isinstance(module, nn.BatchNorm2d):
            found.append((last, name))
    return found


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values))


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise ExportedMismatch(f"{path} is missing, which holds most of these weights")
    return path.read_bytes()
