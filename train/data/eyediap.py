"""EyeDiap as GazeHub prepares it: normalised faces of 14 people before a screen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from train.data.gazehub import Format, GazeHubDataset
from train.data.mpiifacegaze import first_line

_NAME = re.compile(r"p\d+")


class EyeDiap(GazeHubDataset):
    """One person per label file: p1 to p16, without p12 and p13."""

    form = Format(
        "eyediap",
        "Face Left Right metapath 3DGaze 3DHead 2DGaze 2DHead Rvec Svec GazeOrigin",
        (1.0, 1.0, 1.0),
    )
    layout = "Label/pN.label (with a column metapath) and Image/pN/face/"

    def __init__(
        self, root: Path, *, people: Sequence[str] | None = None, strict: bool = False
    ) -> None:
        super().__init__(
            root,
            _labels(root),
            people=people,
            strict=strict,
            person_of=lambda rows, _: rows.path.stem,
        )

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether a folder is laid out so."""
        return any("metapath" in first_line(path) for path in _labels(root))


def _labels(root: Path) -> list[Path]:
    found = (p for p in (root / "Label").glob("p*.label") if _NAME.fullmatch(p.stem))
    return sorted(found, key=lambda p: int(p.stem[1:]))
