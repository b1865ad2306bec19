"""Begin a network with the weights of an exported one, to train it further.

An exported file has no batch norm: it was folded into the convolution before it.  Here it is put
back so that the network computes what the file does: its running mean and variance are those of
some images, its scale and shift undo them.  So training goes on where the file is, as it would from
a checkpoint.
"""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class OnnxMismatch(ValueError):
    """The file is of another network; says where they differ."""


def load_onnx(model: nn.Module, path: Path, images: Tensor) -> str:
    """Give ``model`` the weights of a file that ``export/`` made of such a network.

    Layers that the file lacks (a new head) stay as they are.  ``images`` (B, 3, H, W) are what the
    network sees in training; the more, the nearer batch norm's statistics.  Returns the SHA-256 of
    the bytes that were read.  Raises :class:`OnnxMismatch`, with ``model`` unchanged, and
    :class:`FileNotFoundError`.
    """
    import onnx
    from onnx import numpy_helper

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file to start from")
    data = path.read_bytes()
    graph = onnx.load_model_from_string(data).graph
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:  # weights used twice are stored once
        if node.op_type == "Identity" and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    for name, value in tensors.items():
        key = name.removeprefix("model.")
        if key in state:
            state[key] = _like(state[key], value, f"{path}: {name}")
    folded = [
        (tensors[node.input[1]], tensors[node.input[2]])
        for node in graph.node
        if node.op_type == "Conv" and node.input[1].removeprefix("model.") not in state
    ]
    pairs = _normalised(model, images)
    if len(pairs) != len(folded):
        raise OnnxMismatch(
            f"{path} has {len(folded)} convolutions with batch norm, the network {len(pairs)}"
        )
    norms: dict[str, NDArray[Any]] = {}
    for (conv, norm), (weight, bias) in zip(pairs, folded, strict=True):
        state[f"{conv}.weight"] = _like(state[f"{conv}.weight"], weight, f"{path}: {conv}")
        norms[norm] = bias
    # A layer that scales by one number per level has its numbers alone in the file.
    scales = [v for k, v in tensors.items() if "Mul" in k and v.ndim == 0]
    if "scale" in state:
        state["scale"] = _like(state["scale"], np.array(scales, np.float32), f"{path}: scale")
    model.load_state_dict(state)
    _put_back(model, norms, images)
    return hashlib.sha256(data).hexdigest()


def _like(there: Tensor, value: NDArray[Any], what: str) -> Tensor:
    if tuple(there.shape) != value.shape:
        raise OnnxMismatch(f"{what} has shape {value.shape}; expected {tuple(there.shape)}")
    return torch.from_numpy(np.array(value)).to(there.dtype)


def _normalised(model: nn.Module, images: Tensor) -> list[tuple[str, str]]:
    """Names of convolutions and the batch norm after each, in the order in which they compute.

    A layer that is used for several inputs comes as often.
    """
    called: list[str] = []
    kinds = (nn.Conv2d, nn.BatchNorm2d)
    hooks = [
        module.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, module in model.named_modules()
        if isinstance(module, kinds)
    ]
    training = model.training
    with torch.no_grad():
        model.eval()(images[:1])
    model.train(training)
    for hook in hooks:
        hook.remove()
    named = dict(model.named_modules())
    return [
        (a, b)
        for a, b in itertools.pairwise(called)
        if isinstance(named[a], nn.Conv2d) and isinstance(named[b], nn.BatchNorm2d)
    ]


def _put_back(model: nn.Module, norms: dict[str, NDArray[Any]], images: Tensor) -> None:
    """Give every batch norm the statistics of what reaches it, and undo them."""
    named: dict[str, Any] = dict(model.named_modules())
    seen: dict[str, list[Tensor]] = {name: [] for name in norms}
    hooks = []
    for name, bias in norms.items():
        layer = named[name]
        with torch.no_grad():  # the identity, and the bias
            layer.running_mean.zero_()
            layer.running_var.fill_(1.0 - layer.eps)
            layer.weight.fill_(1.0)
            layer.bias.copy_(torch.from_numpy(np.array(bias)))

        def note(_: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            x = inputs[0].transpose(0, 1).flatten(1)
            seen[name].append(torch.stack([x.mean(1), x.square().mean(1)]))

        hooks.append(layer.register_forward_pre_hook(note))
    training = model.training
    with torch.no_grad():
        model.eval()(images)
    model.train(training)
    for hook in hooks:
        hook.remove()
    for name in norms:
        layer = named[name]
        mean, square = torch.stack(seen[name]).mean(0)
        variance = (square - mean.square()).clamp(min=1e-4)
        with torch.no_grad():
            layer.bias.add_(mean)
            layer.running_mean.copy_(mean)
            layer.running_var.copy_(variance)
            layer.weight.copy_((variance + layer.eps).sqrt())
