"""Pools of rendered face crops, filled by ``python -m train.synth pool``, also while it fills."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from train.data.layouts import chosen_people
from train.data.samples import DataError, GazeDataset, Integers, Pixels, Table
from train.synth.outputs.pool import MANIFEST, CropPool, PoolError


class Pool(GazeDataset):
    """The rows of a pool that were whole when it was opened; a person is ``SEED-NUMBER``.

    ``people`` and ``domains`` take those of these names alone, ``first`` the pool's first rows, so
    that a pool that grows stays the same data set.
    """

    layout = f"{MANIFEST} and image.npy, filled by `python -m train.synth pool`"

    def __init__(
        self,
        root: Path,
        *,
        people: Sequence[str] | None = None,
        domains: Sequence[str] | None = None,
        first: int | None = None,
        strict: bool = False,
    ) -> None:
        try:
            pool = CropPool(root)
        except PoolError as error:
            raise DataError(f"pool: {error}") from None
        rows = pool.rows()
        if first is not None:
            rows = rows[rows < first]
        if not len(rows):
            raise DataError(f"pool: no row of {root} is whole yet; run its `pool` command")
        rows = _of_domains(pool, rows, domains)
        seed, number = pool.settings.seed, pool.arrays["person"][rows]
        every = [f"{seed}-{person}" for person in np.unique(number)]
        names = chosen_people("pool", every, people)
        wanted = np.array([int(name.partition("-")[2]) for name in names], np.int64)
        chosen = np.isin(number, wanted)
        self.rows, number = rows[chosen], number[chosen]
        """(N,) where each sample is in the pool's arrays."""
        arrays = {
            name: array[self.rows]
            for name, array in pool.arrays.items()
            if name not in ("image", "classes", "person", "domain", "eyes", "identity")
        }
        _, firsts, person = np.unique(number, return_index=True, return_inverse=True)
        identities = pool.arrays["identity"][self.rows[firsts]]
        super().__init__(
            "pool",
            names,
            Table(person=person, **arrays),
            strict=strict,
            identities=np.asarray(identities, np.float32),
        )
        self.root = root
        self._pool: CropPool | None = pool

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether a folder is laid out so."""
        return (root / MANIFEST).is_file() and (root / "image.npy").is_file()

    @property
    def pool(self) -> CropPool:
        """All arrays, mapped; :attr:`rows` says which of their rows are samples."""
        if self._pool is None:
            self._pool = CropPool(self.root)
        return self._pool

    def _picture(self, row: int) -> Pixels:
        return self.image(row).permute(1, 2, 0).contiguous().numpy()

    def image(self, index: int) -> Tensor:
        """(3, 224, 224) uint8 RGB, a copy."""
        return torch.from_numpy(np.array(self.pool.arrays["image"][self.rows[index]]))

    def classes(self, index: int) -> Tensor:
        """(112, 224) uint8, a copy."""
        return torch.from_numpy(np.array(self.pool.arrays["classes"][self.rows[index]]))

    @property
    def mapped(self) -> bool:
        """True."""
        return True

    def where(self, index: int) -> tuple[str, int | str]:
        """The array of pictures and the row in it."""
        return str(self.root / "image.npy"), int(self.rows[index])

    def files(self) -> list[Path]:
        """The manifest alone: rows that are whole do not change, while the arrays' times do."""
        return [self.root / MANIFEST]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pool": None}  # pickling mapped arrays would copy them


def _of_domains(pool: CropPool, rows: Integers, domains: Sequence[str] | None) -> Integers:
    if domains is None:
        return rows
    number = pool.arrays["domain"][rows]
    there = [name for k, name in enumerate(pool.settings.domains) if (number == k).any()]
    unknown = sorted({*domains} - {*there})
    if unknown or not domains:
        raise DataError(
            f"pool: {pool.folder} has no domain {', '.join(unknown) or '(none named)'}; it has "
            f"{', '.join(there)}"
        )
    return rows[np.isin(number, [pool.settings.domains.index(name) for name in domains])]
