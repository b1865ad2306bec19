"""MPIIFaceGaze_normalized, the normalised faces that MPIIFaceGaze's authors publish.

``pXX.mat`` is HDF5: ``Data/data`` (3000, 3, 448, 448) BGR, ``Data/label`` (3000, 16) of which the
first four columns are gaze (pitch, yaw) and head (pitch, yaw), as in our convention.  There is no
3D column that could tell whether a copy's signs were changed: look at the contact sheet of
``python -m train.data check``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.data.hdf5 import H5Dataset, opened, rgb_from_bgr
from train.data.layouts import chosen_people, told, usable
from train.data.samples import DataError, Pixels, Problem, Table

_NAME = re.compile(r"p\d\d")


class MPIINormalized(H5Dataset):
    """One person per file: p00 to p14."""

    layout = "pXX.mat, p00 to p14"
    picture_key = "Data/data"

    def __init__(
        self, root: Path, *, people: Sequence[str] | None = None, strict: bool = False
    ) -> None:
        found = _files(root)
        names = chosen_people("mpii_normalized", (path.stem for path in found), people)
        paths, rows, labels = [], [], []
        problems: list[Problem] = []
        for path in [path for path in found if path.stem in names]:
            read = _labels(path, problems)
            if read is not None:
                paths.append(path)
                rows.append(read[0])
                labels.append(read[1])
        told("mpii_normalized", problems, strict)
        if not paths:
            why = problems[0] if problems else f"no pXX.mat in {root}"
            raise DataError(f"mpii_normalized: nothing to read: {why}")
        number = np.repeat(np.arange(len(paths)), [len(r) for r in rows])
        both = np.concatenate(labels)
        super().__init__(
            "mpii_normalized",
            [path.stem for path in paths],
            Table(both[:, :2], number, both[:, 2:]),
            paths=paths,
            file=number,
            row=np.concatenate(rows),
            strict=strict,
            problems=problems,
        )

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether a folder is laid out so."""
        return bool(_files(root))

    def _picture(self, row: int) -> Pixels:
        return rgb_from_bgr(self.stored(row).transpose(1, 2, 0))


def _files(root: Path) -> list[Path]:
    return sorted(p for p in root.glob("p*.mat") if _NAME.fullmatch(p.stem))


def _labels(
    path: Path, problems: list[Problem]
) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
    """Rows and labels (N, 4) of a file's usable samples; None where there are none."""
    try:
        with opened(path) as file:
            shape = file["Data/data"].shape
            label = np.asarray(file["Data/label"][:], np.float32)
    except (OSError, KeyError) as error:
        why = f"not readable as HDF5 with Data/data and Data/label ({error})"
        problems.append(Problem(str(path), None, why))
        return None
    if len(shape) != 4 or shape[1] != 3 or label.ndim != 2 or label.shape[1] < 4:
        why = f"Data/data {shape}, Data/label {label.shape}; expected (N, 3, 448, 448), (N, 16)"
        problems.append(Problem(str(path), None, why))
        return None
    count = min(len(label), shape[0])
    if len(label) != shape[0]:
        why = f"{shape[0]} pictures and {len(label)} labels; took {count}"
        problems.append(Problem(str(path), None, why))
    label = label[:count, :4]
    true, strange = usable("mpii_normalized", str(path), label[:, :2], range(count))
    problems += strange
    return (np.flatnonzero(true), label[true]) if true.any() else None
