"""What a GPU would refuse or be waited for, seen on torch's meta device, which computes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class OneDevice(TorchDispatchMode):
    """Within it, tensors of two devices do not meet, and copies to the device do not wait.

    Results that are read (``float()``, ``nonzero()``) fail on the meta device by themselves.
    Numbers of no dimension may be anywhere, as on a GPU.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        places = {t.device.type for t in tensors if t.ndim}
        name = str(func)
        if name == "aten._to_copy.default":
            moved = "cpu" in places and str(kwargs.get("device", "cpu")) == "meta"
            if moved and not kwargs.get("non_blocking"):
                raise AssertionError(f"{tuple(args[0].shape)} is copied to the device, waiting")
        elif name != "aten.copy_.default" and "_foreach" not in name and len(places) > 1:
            raise AssertionError(f"{name} of tensors on {sorted(places)}")
        return func(*args, **kwargs)


class MetaFabric:
    """What a training loop asks of Lightning's Fabric, on the meta device."""

    device = torch.device("meta")
    global_rank, world_size, is_global_zero = 0, 1, True
    _precision = None

    def setup_module(self, module: nn.Module) -> nn.Module:
        return module

    def setup_optimizers(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        return optimizer

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def clip_gradients(
        self, module: nn.Module, optimizer: Any, *, max_norm: float, error_if_nonfinite: bool
    ) -> None:
        nn.utils.clip_grad_norm_(module.parameters(), max_norm, error_if_nonfinite)


def no_autocast() -> Any:
    """The meta device has none: within, asking for it does nothing."""
    plain = torch.autocast

    def autocast(device: str, *args: Any, **kwargs: Any) -> Any:
        return contextlib.nullcontext() if device == "meta" else plain(device, *args, **kwargs)

    return mock.patch.object(torch, "autocast", autocast)


def steps_on_meta(loop: Any, count: int = 2) -> dict[str, Tensor]:
    """Some steps of a loop that was made with :class:`MetaFabric`; what it would log."""
    loop.train_mode()
    batches = iter(loop.batches())
    for _ in range(count):
        batch = next(batches)
        assert all(value.device.type == "cpu" for value in batch.values())
        assert batch["image"].dtype == torch.uint8  # a quarter of the floats to move
        with OneDevice(), no_autocast():
            loop.one_step(loop.to_device(batch))
        loop.step += 1
    assert loop._sums
    assert all(value.device.type == "meta" for value in loop._sums.values())
    return loop._sums


def refused(what: Callable[[], object]) -> str:
    """The message of what :class:`OneDevice` refuses."""
    try:
        with OneDevice():
            what()
    except (AssertionError, RuntimeError, NotImplementedError) as error:
        return str(error)
    return ""
