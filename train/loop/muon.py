"""Muon for the convolutions of small CNNs, AdamW for the rest of their weights.

Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024): what momentum says
of a matrix of weights is replaced by the nearest matrix whose singular values are 1, or nearly, so
that every direction of it is learnt alike.  On these networks it is worth twice the images
(docs/training.md).  torch.optim.Muon takes matrices alone, no convolutions, and computes in
bfloat16, which most CPUs do slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

OptimizerKind = Literal["adamw", "muon"]

RATIO = 10.0
"""Muon's learning rate beside AdamW's; 25 is as good."""
MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration (Jordan 2024), and how often it is done:"""
ITERATIONS = 5


def make_optimizer(
    kind: OptimizerKind,
    parameters: Iterable[nn.Parameter],
    *,
    learning_rate: float,
    weight_decay: float,
    fused: bool = False,
) -> torch.optim.AdamW:
    """The optimiser of this name; ``learning_rate`` is AdamW's for either."""
    if kind not in get_args(OptimizerKind):
        raise ValueError(f"no optimizer {kind!r}; expected one of {get_args(OptimizerKind)}")
    made = Muon if kind == "muon" else torch.optim.AdamW
    return made(list(parameters), lr=learning_rate, weight_decay=weight_decay, fused=fused)


class Muon(torch.optim.AdamW):
    """AdamW that moves k × k convolutions by Muon.

    Not those of the picture itself, nor depthwise ones, nor 1 × 1 (and linear layers: moved by
    Muon as well they fitted the training set better and other people worse).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], **options: Any) -> None:
        parameters = list(parameters)
        convolutions = [p for p in parameters if _is_hidden_convolution(p)]
        ours = {id(p) for p in convolutions}
        rest = [p for p in parameters if id(p) not in ours]
        groups = [{"params": rest, "muon": False}, {"params": convolutions, "muon": True}]
        super().__init__([g for g in groups if g["params"]], **options)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; the gradients of what Muon moved are gone afterwards."""
        if closure is not None:
            raise ValueError("Muon takes no closure: compute gradients, then step()")
        for group in self.param_groups:
            if group["muon"]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._move(parameter, group)
                        parameter.grad = None  # or AdamW would move it as well
        return super().step()

    @torch.no_grad()
    def _move(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if "momentum" not in state:
            # AdamW asks for a count of steps where there is a state.
            state |= {"step": torch.tensor(0.0), "momentum": torch.zeros_like(parameter)}
        state["step"] += 1
        state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        # Nesterov's: a step further along the momentum.
        wanted = gradient.lerp(state["momentum"], MOMENTUM).reshape(len(parameter), -1)
        move = orthogonalized(wanted).reshape(parameter.shape)
        rate = float(group["lr"]) * RATIO
        parameter.mul_(1 - rate * group["weight_decay"])
        taller = max(1.0, wanted.shape[0] / wanted.shape[1])
        parameter.add_(move, alpha=-rate * taller**0.5)


def orthogonalized(matrix: Tensor) -> Tensor:
    """``matrix`` (M, N) with singular values of 0.7 to 1.2, where they were not tiny."""
    a, b, c = NEWTON_SCHULZ
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.mT if tall else x
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def _is_hidden_convolution(parameter: nn.Parameter) -> bool:
    shape = parameter.shape
    return len(shape) == 4 and shape[1] > 3 and shape[2] * shape[3] > 1
