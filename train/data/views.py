"""Parts of data sets, and several as one."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from torch import Tensor

from train.data.samples import (
    DataError,
    GazeDataset,
    Pixels,
    Table,
)


class Joined(GazeDataset):
    """Data sets in a row; people are kept apart by the data set's name before theirs."""

    def __init__(self, parts: Sequence[GazeDataset]) -> None:
        if not parts:
            raise DataError("no data set to join; give at least one")
        self.parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in parts])
        names = Counter(part.name for part in parts)
        titles = [
            part.name if names[part.name] == 1 else f"{part.name}#{number}"
            for number, part in enumerate(parts, 1)
        ]
        tables = [Table(**part.labels()) for part in parts]
        first = np.cumsum([0] + [len(part.people) for part in parts])
        for table, start in zip(tables, first, strict=False):
            table.person = table.person + start
        names_of = [column.name for column in fields(Table)]
        columns = {n: np.concatenate([getattr(t, n) for t in tables]) for n in names_of}
        super().__init__(
            "+".join(titles),
            [f"{t}/{p}" for t, part in zip(titles, parts, strict=True) for p in part.people],
            Table(**columns),
            strict=any(part.strict for part in parts),
            problems=[problem for part in parts for problem in part.problems],
            identities=np.concatenate([part.identities() for part in parts]),
        )

    def _part(self, row: int) -> tuple[GazeDataset, int]:
        number = int(np.searchsorted(self._ends, row, side="right"))
        part = self.parts[number]
        return part, row - int(self._ends[number]) + len(part)

    def _picture(self, row: int) -> Pixels:
        part, its = self._part(row)
        return part.picture(its)

    def image(self, index: int) -> Tensor:
        """As of the part that the sample is from."""
        part, its = self._part(index)
        return part.image(its)

    def classes(self, index: int) -> Tensor:
        """As of the part that the sample is from."""
        part, its = self._part(index)
        return part.classes(its)

    @property
    def mapped(self) -> bool:
        """Whether those of all parts are."""
        return all(part.mapped for part in self.parts)

    def where(self, index: int) -> tuple[str, int | str]:
        """As of the part that the sample is from."""
        part, its = self._part(index)
        return part.where(its)

    def files(self) -> list[Path]:
        """Of all parts."""
        return [path for part in self.parts for path in part.files()]

    def signature(self) -> str:
        """Of all parts, in their order."""
        return hashlib.sha256(" ".join(p.signature() for p in self.parts).encode()).hexdigest()


def split_people(
    dataset: GazeDataset, fractions: Sequence[float], seed: int
) -> tuple[GazeDataset, ...]:
    """Parts that share no person; ``fractions`` of the people, which sum to 1.

    A person's part depends on the names and the seed alone, not on the order of the samples.  Every
    part gets at least one person; raises :class:`DataError` where there are too few.
    """
    shares = np.asarray(fractions, np.float64)
    if shares.ndim != 1 or not len(shares) or (shares <= 0).any() or abs(shares.sum() - 1) > 1e-6:
        raise DataError(f"fractions {list(fractions)}; expected numbers above 0 that sum to 1")
    present = sorted(person for person, count in dataset.counts().items() if count)
    if len(present) < len(shares):
        raise DataError(
            f"{dataset.name} has {len(present)} people, too few for {len(shares)} parts that share "
            "none; ask for fewer parts"
        )
    order = np.random.default_rng(seed).permutation(len(present))
    bounds = np.round(np.cumsum(shares) * len(present)).astype(int)
    for part in range(len(bounds)):  # one person each at least, for this part and those to come
        least = (bounds[part - 1] if part else 0) + 1
        bounds[part] = min(max(bounds[part], least), len(present) - (len(bounds) - 1 - part))
    number = {person: row for row, person in enumerate(dataset.people)}
    person_of = dataset.labels()["person"]
    parts = []
    for start, end in zip([0, *bounds[:-1]], bounds, strict=True):
        chosen = [number[present[k]] for k in order[start:end]]
        parts.append(dataset.subset(np.isin(person_of, chosen)))
    return tuple(parts)
