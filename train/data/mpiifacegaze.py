"""MPIIFaceGaze as GazeHub prepares it: normalised faces of 15 people at their laptops.

Rows with WhichEye = right are mirrored pictures, their labels with them; both are kept as stored.
The usual script turned the labels by S·R (a gaze of 20° becomes 16.9° at S = 1.2), and published
figures keep that; ``undo_scaling`` turns them back to R: ``g ∝ S⁻¹ g_stored``, S from Smat.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clipgaze_sdk.geometry import angles_from_vector
from train.data.gazehub import Format, GazeHubDataset, Rows, numbers
from train.data.samples import Problem

_NAME = re.compile(r"p\d\d")


class MPIIFaceGaze(GazeHubDataset):
    """One person per label file: p00 to p14."""

    form = Format(
        "mpiifacegaze",
        "Face Left Right Origin WhichEye 3DGaze 3DHead 2DGaze 2DHead Rmat Smat GazeOrigin",
        (1.0, 1.0, 1.0),
    )
    layout = "Label/pXX.label (with a column WhichEye) and Image/pXX/face/"

    def __init__(
        self,
        root: Path,
        *,
        people: Sequence[str] | None = None,
        strict: bool = False,
        undo_scaling: bool = False,
    ) -> None:
        labels = _labels(root, people)
        self.undo_scaling = undo_scaling

        def convert(rows: Rows) -> None:
            _check_eyes(rows)
            if undo_scaling:
                unscale(rows)

        super().__init__(
            root,
            labels,
            people=people,
            strict=strict,
            person_of=lambda rows, _: rows.path.stem,
            convert=convert,
        )

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether a folder is laid out so."""
        return any("WhichEye" in first_line(path) for path in _labels(root, None))


def _labels(root: Path, people: Sequence[str] | None) -> list[Path]:
    """Label files, of those people alone where they are all there."""
    found = sorted(p for p in (root / "Label").glob("p*.label") if _NAME.fullmatch(p.stem))
    wanted = [path for path in found if people is None or path.stem in people]
    return wanted if people is None or len(wanted) == len(set(people)) else found


def first_line(path: Path) -> str:
    """The header of a label file."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline()


def _check_eyes(rows: Rows) -> None:
    eyes = rows.columns["WhichEye"]
    for row in [k for k, eye in enumerate(eyes) if eye not in ("left", "right")]:
        why = f"WhichEye is {eyes[row]!r}; expected left or right"
        rows.problems.append(Problem(str(rows.path), int(rows.lines[row]), why))
    rows.keep(np.array([eye in ("left", "right") for eye in eyes], bool))


def unscale(rows: Rows) -> None:
    """Take S out of the labels; Smat is S's diagonal, or all 9 of its numbers."""
    scales = np.ones((len(rows.lines), 3))
    good = np.ones(len(rows.lines), bool)
    for row, text in enumerate(rows.columns["Smat"]):
        values = numbers(text, 3, 9)
        diagonal = values[::4] if values and len(values) == 9 else values
        if diagonal is None or min(diagonal) <= 0:
            good[row] = False
            why = f"Smat is {text!r}; expected 3 numbers above 0, to undo the scaling"
            rows.problems.append(Problem(str(rows.path), int(rows.lines[row]), why))
        else:
            scales[row] = diagonal
    rows.gaze = angles_from_vector(rows.vectors / scales).astype(np.float32)
    rows.keep(good)
