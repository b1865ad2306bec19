"""Features of all processes in every process, with gradient; and the order of samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler


class _Gather(torch.autograd.Function):
    """(B, ...) of every process to (world · B, ...) in the order of ranks.

    Every process computes the same loss L of the whole, so the sum of the processes' gradients is
    world · ∂L/∂f.  DistributedDataParallel divides by world, and the mean is the gradient that one
    process with the whole batch has.  (Fabric's own all_gather does this by functions that torch
    has deprecated.)
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor.contiguous())
        ctx.size = len(tensor)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        whole = gradients[0].contiguous().clone()
        dist.all_reduce(whole, dist.ReduceOp.SUM)
        first = dist.get_rank() * ctx.size
        return whole[first : first + ctx.size]


def gather(tensor: Tensor) -> Tensor:
    """All processes' rows of a tensor that has the same shape in each; alone, the tensor itself."""
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return tensor
    whole: Tensor = _Gather.apply(tensor)
    return whole


class BatchSampler(Sampler[list[int]]):
    """One process's rows of every batch, from step ``start`` on.

    The batches are cut from a stream of permutations, one per epoch, that depends on the seed
    alone.  So a batch is the same however many processes share it, a run goes on where it was, and
    a data set smaller than a batch is repeated within it.
    """

    def __init__(
        self,
        count: int,
        *,
        batch: int,
        steps: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch % world:
            raise ValueError(
                f"a batch of {batch} cannot be shared by {world} processes; expected a multiple"
            )
        self.count, self.batch, self.steps, self.seed, self.start = count, batch, steps, seed, start
        self.part = slice(rank * batch // world, (rank + 1) * batch // world)
        self._orders: dict[int, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return max(self.steps - self.start, 0)

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.start, self.steps):
            yield self.rows(step)[self.part]

    def rows(self, step: int) -> list[int]:
        """The whole batch of a step."""
        places = range(step * self.batch, (step + 1) * self.batch)
        return [int(self._order(p // self.count)[p % self.count]) for p in places]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._orders:
            # Of the epochs before, only the last can share a batch with this one.
            self._orders = {e: order for e, order in self._orders.items() if e == epoch - 1}
            rng = np.random.default_rng([self.seed, 17, epoch])
            self._orders[epoch] = rng.permutation(self.count)
        return self._orders[epoch]
