"""Gaze360 as GazeHub prepares it.

Square face crops that are not normalised; angles are in Gaze360's own frame of the eye, so yaw
reaches ±π.  Its 3DGaze is x-left, y-up, z-away: ``g = (−x, −y, z)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from train.data.gazehub import Format, GazeHubDataset, Rows
from train.data.samples import DataError

SPLITS = ("train", "val", "test", "unused")


class Gaze360(GazeHubDataset):
    """One split; a person is ``RECORDING/IDENTITY`` of the Origin column."""

    form = Format("gaze360", "Face Left Right Origin 3DGaze 2DGaze", (-1.0, -1.0, 1.0))
    layout = "Label/{train,val,test,unused}.label and Image/"

    def __init__(
        self,
        root: Path,
        *,
        split: str = "train",
        people: Sequence[str] | None = None,
        strict: bool = False,
    ) -> None:
        path = root / "Label" / f"{split}.label"
        if split not in SPLITS or not path.is_file():
            there = ", ".join(s for s in SPLITS if (root / "Label" / f"{s}.label").is_file())
            raise DataError(f"gaze360 has no split {split!r} in {root / 'Label'}; found {there}")
        super().__init__(root, [path], people=people, strict=strict, person_of=_person)

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether a folder is laid out so."""
        return any((root / "Label" / f"{split}.label").is_file() for split in SPLITS)


def _person(rows: Rows, row: int) -> str | None:
    parts = rows.columns["Origin"][row].replace("\\", "/").split("/")
    return f"{parts[0]}/{parts[-2]}" if len(parts) >= 4 else None
