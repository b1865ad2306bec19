"""HDF5 files that every process opens for itself, when it first reads from them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.data.samples import BrokenSample, DataError, GazeDataset, Pixels, Problem, Table


def opened(path: Path) -> Any:
    """The file for reading; raises :class:`OSError` where it is damaged."""
    try:
        import h5py
    except ImportError:
        raise DataError("reading .h5 and .mat files needs h5py: pip install h5py") from None
    return h5py.File(path, "r")


class H5Dataset(GazeDataset):
    """Pictures that are rows of one data set in each of several files."""

    picture_key: str

    def __init__(
        self,
        name: str,
        people: list[str],
        table: Table,
        *,
        paths: list[Path],
        file: NDArray[np.int64],
        row: NDArray[np.int64],
        strict: bool,
        problems: list[Problem],
    ) -> None:
        """``file`` (N,) indexes ``paths``, ``row`` (N,) the rows of that file."""
        super().__init__(name, people, table, strict=strict, problems=problems)
        self._paths, self._file, self._row = paths, file, row
        self._open: dict[int, Any] = {}
        self._process = 0

    def stored(self, index: int) -> NDArray[np.generic]:
        """A picture as it lies in the file; raises :class:`BrokenSample`."""
        # HDF5's handles must not be used on both sides of a fork.
        if self._process != os.getpid():
            self._open, self._process = {}, os.getpid()
        number = int(self._file[index])
        try:
            if number not in self._open:
                self._open[number] = opened(self._paths[number])
            return np.asarray(self._open[number][self.picture_key][int(self._row[index])])
        except (OSError, KeyError, RuntimeError) as error:
            why = f"the picture cannot be read ({error})"
            raise BrokenSample(Problem(*self.where(index), why)) from None

    def where(self, index: int) -> tuple[str, int | str]:
        """File and row, from 0."""
        return str(self._paths[self._file[index]]), int(self._row[index])

    def files(self) -> list[Path]:
        """The HDF5 files."""
        return list(self._paths)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}, "_process": 0}


def rgb_from_bgr(picture: NDArray[np.generic]) -> Pixels:
    """Bytes (H, W, 3) with the channels turned round."""
    if picture.dtype != np.uint8:  # MATLAB may have written doubles
        picture = np.clip(np.round(np.asarray(picture, np.float64)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.asarray(picture, np.uint8)[..., ::-1])
