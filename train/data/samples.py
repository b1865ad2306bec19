"""What a data set of face crops is: items, labels, people, and what is broken in it.

Angles are (pitch, yaw) in radians in the camera of the crop; pitch up and yaw towards the image's
left are positive, so ``g = (−cos p · sin y, −sin p, −cos p · cos y)``.
"""

from __future__ import annotations

import hashlib
import json
import operator
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypedDict

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from train.factors import FACTORS
from train.synth.outputs.normalization import CLASS_ROWS as CLASS_ROWS
from train.synth.outputs.pool import CLASSES_SHAPE
from train.synth.outputs.pool import EYE_POINTS as EYE_POINTS
from train.synth.outputs.pool import IDENTITY as IDENTITY
from train.synth.outputs.pool import SIZE_PX as SIZE_PX
from train.synth.outputs.pool import UNKNOWN as UNKNOWN

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Pixels = NDArray[np.uint8]

MOST_PITCH, MOST_YAW = 1.6, 3.15
_TRIES = 50


class Sample(TypedDict):
    """One crop as tensors; a :class:`~torch.utils.data.DataLoader` makes a :class:`Batch` of it."""

    image: Tensor
    gaze: Tensor
    head: Tensor
    person: Tensor
    identity: Tensor
    factors: Tensor
    points: Tensor
    openness: Tensor
    sight_gaze: Tensor
    seen_head: Tensor
    seen_eyes: Tensor
    rims: Tensor
    classes: Tensor
    index: Tensor


class Batch(TypedDict):
    """B crops."""

    image: Tensor
    """uint8 (B, 3, 224, 224), RGB."""
    gaze: Tensor
    """float32 (B, 2), pitch and yaw in radians."""
    head: Tensor
    """float32 (B, 2), where the face points, same signs; NaN where unknown."""
    person: Tensor
    """int64 (B,), index into the data set's ``people``."""
    identity: Tensor
    """float32 (B, 100), coefficients of the face's shape; NaN where unknown."""
    factors: Tensor
    """uint8 (B, K) in the order of FACTORS: 0 off, 1 on, 255 unknown or not to be seen."""
    points: Tensor
    """float32 (B, 28, 2), pixels of :data:`EYE_POINTS` in the crop; NaN where unknown."""
    openness: Tensor
    """float32 (B, 2), of the person's right and left eye, 0 closed to 1; NaN where unknown."""
    sight_gaze: Tensor
    """float32 (B, 2), gaze in the camera that the crop's pixels show; differs from ``gaze`` where
    the crop was made with a wrong focal length.  NaN where unknown."""
    seen_head: Tensor
    """float32 (B, 2), ``head`` as run time finds it, with its errors; NaN where unknown."""
    seen_eyes: Tensor
    """float32 (B, 2, 2), pixels of the middle of each eye's two corners as run time finds them, the
    person's right eye first; NaN where unknown."""
    rims: Tensor
    """float32 (B, 2, 8, 2), pixels of each iris's rim at 0, 45, … 315°, from the head's right-to-
    left axis towards its chin, the person's right eye first; NaN where unknown."""
    classes: Tensor
    """uint8 (B, 112, 224), of rows 24 to 135 of the crop: 1 skin, 2 sclera, 3 iris, 4 pupil,
    5 glasses, 0 anything else or unknown."""
    index: Tensor
    """int64 (B,), so that ``dataset[index]`` is this sample, whatever the shuffling."""


class Labels(TypedDict):
    """All labels of a data set, without pictures; units as in :class:`Batch`."""

    gaze: Floats
    head: Floats
    person: Integers
    factors: Pixels
    mirrored: NDArray[np.bool_]
    whole: NDArray[np.bool_]
    points: Floats
    openness: Floats
    sight_gaze: Floats
    seen_head: Floats
    seen_eyes: Floats
    rims: Floats


class DataError(ValueError):
    """Something about the data that the user can mend; says what was found and expected."""


class DataWarning(UserWarning):
    """Parts of a data set were left out, or replaced; the data set's ``problems`` lists them."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something broken: a file, a row of it (None for all of it), and what is wrong."""

    file: str
    row: int | str | None
    why: str

    def __str__(self) -> str:
        return f"{self.file}{'' if self.row is None else f', row {self.row}'}: {self.why}"


class BrokenSample(DataError):
    """A picture that cannot be had."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem

    def __reduce__(self) -> tuple[type[BrokenSample], tuple[Problem]]:
        return BrokenSample, (self.problem,)  # a worker's exception is pickled


@dataclass(slots=True)
class Table:
    """Labels of N samples of P people, row by row; what is not given is unknown."""

    gaze: Floats
    """(N, 2)."""
    person: Integers
    """(N,)."""
    head: Floats = field(default_factory=lambda: np.empty((0, 2), np.float32))
    """(N, 2)."""
    mirrored: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    """(N,) stored mirrored, labels and picture alike."""
    whole: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    """(N,) the picture shows the whole crop and not an eye band alone."""
    factors: Pixels = field(default_factory=lambda: np.empty((0, len(FACTORS)), np.uint8))
    """(N, K)."""
    points: Floats = field(default_factory=lambda: np.empty((0, len(EYE_POINTS), 2), np.float32))
    """(N, 28, 2)."""
    openness: Floats = field(default_factory=lambda: np.empty((0, 2), np.float32))
    """(N, 2)."""
    sight_gaze: Floats = field(default_factory=lambda: np.empty((0, 2), np.float32))
    """(N, 2)."""
    seen_head: Floats = field(default_factory=lambda: np.empty((0, 2), np.float32))
    """(N, 2)."""
    seen_eyes: Floats = field(default_factory=lambda: np.empty((0, 2, 2), np.float32))
    """(N, 2, 2)."""
    rims: Floats = field(default_factory=lambda: np.empty((0, 2, 8, 2), np.float32))
    """(N, 2, 8, 2)."""

    def __post_init__(self) -> None:
        count = len(self.gaze)
        self.gaze = np.ascontiguousarray(self.gaze, np.float32)
        self.person = np.ascontiguousarray(self.person, np.int64)
        if not len(self.mirrored):
            self.mirrored = np.zeros(count, bool)
        if not len(self.whole):
            self.whole = np.ones(count, bool)
        if not len(self.factors):
            self.factors = np.full((count, len(FACTORS)), UNKNOWN, np.uint8)
        for name in ("head", "points", "openness", "sight_gaze", "seen_head", "seen_eyes", "rims"):
            known = getattr(self, name)
            if not len(known):
                setattr(self, name, np.full((count, *known.shape[1:]), np.nan, np.float32))
        self.head = np.ascontiguousarray(self.head, np.float32)
        for column in fields(self):
            if len(getattr(self, column.name)) != count:
                there = len(getattr(self, column.name))
                raise ValueError(f"{column.name} has {there} rows; gaze has {count}")

    def rows(self, chosen: Integers | NDArray[np.bool_]) -> Table:
        """A part of the rows, in the order asked for."""
        return Table(**{c.name: getattr(self, c.name)[chosen] for c in fields(self)})


class GazeDataset(Dataset[Sample], ABC):
    """Face crops with labels, in one convention whatever the source.

    Picklable, so that loaders with workers of any start method can be given it.  A picture that
    cannot be read raises :class:`BrokenSample` if ``strict``; else it is warned of, added to the
    ``problems`` of the process that met it, and the next readable sample stands in (its ``index``
    says which).  Evaluate with ``strict``, so that no sample counts twice.
    """

    def __init__(
        self,
        name: str,
        people: Sequence[str],
        table: Table,
        *,
        strict: bool = False,
        problems: Sequence[Problem] = (),
        identities: Floats | None = None,
    ) -> None:
        if not len(table.gaze):
            first = f"; the first of {len(problems)} problems: {problems[0]}" if problems else ""
            raise DataError(f"{name} has no usable sample{first}")
        self.name, self.people, self.strict = name, tuple(people), strict
        self.problems = list(problems)
        self._table = table
        self._identities = identities

    @abstractmethod
    def _picture(self, row: int) -> Pixels:
        """(height, width, 3) RGB, square; raises :class:`BrokenSample`."""

    @abstractmethod
    def where(self, index: int) -> tuple[str, int | str]:
        """File and row that a sample comes from, to tell the user."""

    @abstractmethod
    def files(self) -> list[Path]:
        """Every file that the samples are read from."""

    def __len__(self) -> int:
        return len(self._table.gaze)

    def __getitem__(self, index: int) -> Sample:
        """One sample; see the class for pictures that cannot be read."""
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} samples of {self.name}")
        for tried in range(min(_TRIES, len(self))):
            row = (index + tried) % len(self)
            try:
                return self._sample(row, self.image(row))
            except BrokenSample as error:
                if self.strict:
                    raise
                self._note(error.problem)
        raise DataError(
            f"{self.name}: sample {index} and those that follow cannot be read; the last: "
            f"{self.problems[-1]}. `python -m train.data check` lists what is broken"
        )

    def picture(self, index: int) -> Pixels:
        """(224, 224, 3) RGB; raises :class:`BrokenSample`, strict or not."""
        rgb = self._picture(index)
        height, width = rgb.shape[:2]
        if (height, width) == (SIZE_PX, SIZE_PX):
            return rgb
        if height != width:
            why = f"the picture is {width}x{height}; expected a square face crop"
            raise BrokenSample(Problem(*self.where(index), why))
        # Areas are averaged when a picture shrinks, so that fine detail does not turn to noise.
        way = cv2.INTER_AREA if width > SIZE_PX else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(rgb, (SIZE_PX, SIZE_PX), interpolation=way), np.uint8)

    def image(self, index: int) -> Tensor:
        """(3, 224, 224) uint8 RGB; raises :class:`BrokenSample`, strict or not."""
        return torch.from_numpy(np.ascontiguousarray(self.picture(index).transpose(2, 0, 1)))

    def classes(self, index: int) -> Tensor:
        """(112, 224) uint8, as in :class:`Batch`."""
        return torch.zeros(CLASSES_SHAPE, dtype=torch.uint8)

    @property
    def mapped(self) -> bool:
        """Whether pictures are mapped bytes already, which a cache would but copy."""
        return False

    def labels(self) -> Labels:
        """Copies of all labels, (N, …) arrays."""
        t = self._table
        return {
            "gaze": t.gaze.copy(),
            "head": t.head.copy(),
            "person": t.person.copy(),
            "factors": t.factors.copy(),
            "mirrored": t.mirrored.copy(),
            "whole": t.whole.copy(),
            "points": t.points.copy(),
            "openness": t.openness.copy(),
            "sight_gaze": t.sight_gaze.copy(),
            "seen_head": t.seen_head.copy(),
            "seen_eyes": t.seen_eyes.copy(),
            "rims": t.rims.copy(),
        }

    def identities(self) -> Floats:
        """(P, 100) shape coefficients of the people, NaN where unknown."""
        if self._identities is None:
            return np.full((len(self.people), IDENTITY), np.nan, np.float32)
        return self._identities.copy()

    def counts(self) -> dict[str, int]:
        """How many samples each person has."""
        each = np.bincount(self._table.person, minlength=len(self.people))
        return dict(zip(self.people, (int(n) for n in each), strict=True))

    def subset(self, indices: Sequence[int] | Integers | NDArray[np.bool_]) -> GazeDataset:
        """The samples of these indices (or of a mask), with ``people`` the ones that are left."""
        return Subset(self, indices)

    def signature(self) -> str:
        """Changes whenever the samples may have: hash of labels and of file sizes and times."""
        digest = hashlib.sha256(json.dumps([self.name, self.people]).encode())
        for column in fields(self._table):
            if column.name == "whole":  # follows from the files
                continue
            digest.update(np.ascontiguousarray(getattr(self._table, column.name)).tobytes())
        digest.update(self.identities().tobytes())
        for path in self.files():
            try:
                about = path.stat()
            except OSError:
                digest.update(f"{path.name} is gone".encode())
            else:
                digest.update(f"{path.name} {about.st_size} {about.st_mtime_ns}".encode())
        return digest.hexdigest()

    def _sample(self, row: int, image: Tensor) -> Sample:
        t = self._table
        person = int(t.person[row])
        if self._identities is None:
            identity = torch.full((IDENTITY,), float("nan"))
        else:
            identity = torch.from_numpy(self._identities[person].copy())
        return {
            "image": image,
            "gaze": torch.from_numpy(t.gaze[row].copy()),
            "head": torch.from_numpy(t.head[row].copy()),
            "person": torch.tensor(person),
            "identity": identity,
            "factors": torch.from_numpy(t.factors[row].copy()),
            "points": torch.from_numpy(t.points[row].copy()),
            "openness": torch.from_numpy(t.openness[row].copy()),
            "sight_gaze": torch.from_numpy(t.sight_gaze[row].copy()),
            "seen_head": torch.from_numpy(t.seen_head[row].copy()),
            "seen_eyes": torch.from_numpy(t.seen_eyes[row].copy()),
            "rims": torch.from_numpy(t.rims[row].copy()),
            "classes": self.classes(row),
            "index": torch.tensor(row),
        }

    def _note(self, problem: Problem) -> None:
        if problem not in self.problems:
            self.problems.append(problem)
            warnings.warn(f"{problem}; the next sample stands in", DataWarning, stacklevel=3)


class Subset(GazeDataset):
    """Some samples of a data set; ``indices`` (N,) says which of ``parent`` they are."""

    def __init__(
        self, parent: GazeDataset, indices: Sequence[int] | Integers | NDArray[np.bool_]
    ) -> None:
        chosen = np.asarray(indices)
        if chosen.dtype == bool:
            if chosen.shape != (len(parent),):
                raise DataError(f"a mask of shape {chosen.shape} for {len(parent)} samples")
            chosen = np.flatnonzero(chosen)
        chosen = chosen.reshape(-1).astype(np.int64)
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(parent):
            raise DataError(
                f"indices {chosen.min()} to {chosen.max()} of {len(parent)} samples of "
                f"{parent.name}; expected 0 to {len(parent) - 1}"
            )
        table = Table(**parent.labels()).rows(chosen)
        there, table.person = np.unique(table.person, return_inverse=True)
        super().__init__(
            parent.name,
            [parent.people[p] for p in there],
            table,
            strict=parent.strict,
            problems=parent.problems,
            identities=parent.identities()[there],
        )
        self.parent, self.indices = parent, chosen

    def _picture(self, row: int) -> Pixels:
        return self.parent.picture(int(self.indices[row]))

    def image(self, index: int) -> Tensor:
        """As of the parent."""
        return self.parent.image(int(self.indices[index]))

    def classes(self, index: int) -> Tensor:
        """As of the parent."""
        return self.parent.classes(int(self.indices[index]))

    @property
    def mapped(self) -> bool:
        """As of the parent."""
        return self.parent.mapped

    def where(self, index: int) -> tuple[str, int | str]:
        """As of the parent."""
        return self.parent.where(int(self.indices[index]))

    def files(self) -> list[Path]:
        """As of the parent."""
        return self.parent.files()

    def signature(self) -> str:
        """Of the parent and the indices."""
        return hashlib.sha256(self.parent.signature().encode() + self.indices.tobytes()).hexdigest()
