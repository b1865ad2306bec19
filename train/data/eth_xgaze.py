"""ETH-XGaze's 224-pixel release: one HDF5 file per person, angles as in our convention.

``face_patch`` (N, 224, 224, 3) uint8 BGR, ``face_gaze`` (N, 2) pitch and yaw in radians,
``face_head_pose`` (N, 2).  The test split's labels are with its authors alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.data.hdf5 import H5Dataset, opened, rgb_from_bgr
from train.data.layouts import chosen_people, told, usable
from train.data.samples import DataError, Floats, Pixels, Problem, Table
from train.json_files import read_json

SPLIT_FILE = "train_test_split.json"


class ETHXGaze(H5Dataset):
    """One split; a person is a file's name, ``subjectXXXX``."""

    layout = f"{SPLIT_FILE} and train/subjectXXXX.h5"
    picture_key = "face_patch"

    def __init__(
        self,
        root: Path,
        *,
        split: str = "train",
        people: Sequence[str] | None = None,
        strict: bool = False,
    ) -> None:
        listed = _listed(root / SPLIT_FILE, split)
        names = chosen_people("eth_xgaze", (Path(name).stem for name in listed), people)
        paths, parts = [], []
        problems: list[Problem] = []
        for person in names:
            path = root / split / f"{person}.h5"
            rows = _labels(path, split, problems)
            if rows is not None:
                paths.append(path)
                parts.append(rows)
        told("eth_xgaze", problems, strict)
        if not parts:
            why = str(problems[0]) if problems else "it lists nobody"
            raise DataError(f"eth_xgaze: nothing to read of split {split!r}: {why}")
        counts = [len(row) for row, *_ in parts]
        number = np.repeat(np.arange(len(parts)), counts)
        table = Table(
            np.concatenate([gaze for _, gaze, _ in parts]),
            number,
            np.concatenate([head for *_, head in parts]),
        )
        super().__init__(
            "eth_xgaze",
            [path.stem for path in paths],
            table,
            paths=paths,
            file=number,
            row=np.concatenate([row for row, *_ in parts]),
            strict=strict,
            problems=problems,
        )

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether a folder is laid out so."""
        return (root / SPLIT_FILE).is_file() or any(root.glob("train/subject*.h5"))

    def _picture(self, row: int) -> Pixels:
        return rgb_from_bgr(self.stored(row))


def _listed(path: Path, split: str) -> list[str]:
    try:
        splits = read_json(path)
        names = [str(name) for name in splits[split]]
        if long := [name for name in names if Path(name).name != name or len(name) > 100]:
            raise ValueError(f"a file is called {long[0][:100]!r}")
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing; it comes with ETH-XGaze and lists the files of each split"
        ) from None
    except KeyError:
        raise DataError(f"{path} has no split {split!r}; found {', '.join(splits)}") from None
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); expected lists of files by split") from None
    return names


def _labels(
    path: Path, split: str, problems: list[Problem]
) -> tuple[NDArray[np.int64], Floats, Floats] | None:
    """Rows, gaze and head of a file's usable samples; None where there are none."""
    if not path.is_file():
        problems.append(Problem(str(path), None, f"listed in {SPLIT_FILE}, but not there"))
        return None
    try:
        with opened(path) as file:
            missing = [k for k in ("face_patch", "face_head_pose") if k not in file]
            if missing:
                found = ", ".join(file)
                why = f"no {missing[0]}; found {found or 'nothing'}"
                problems.append(Problem(str(path), None, why))
                return None
            if "face_gaze" not in file:
                raise DataError(
                    f"{path} has no face_gaze: ETH-XGaze does not publish the labels of split "
                    f"{split!r}, so it can neither train nor be evaluated on here; use split "
                    "'train' (and split_people for people to evaluate on)"
                )
            shape = file["face_patch"].shape
            gaze = np.asarray(file["face_gaze"][:], np.float32)
            head = np.asarray(file["face_head_pose"][:], np.float32)
    except OSError as error:
        problems.append(Problem(str(path), None, f"not readable as HDF5 ({error})"))
        return None
    count = min(len(gaze), shape[0], len(head))
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or gaze.shape[1:] != (2,):
        why = f"face_patch {shape}, face_gaze {gaze.shape}; expected (N, 224, 224, 3) and (N, 2)"
        problems.append(Problem(str(path), None, why))
        return None
    if not len(gaze) == shape[0] == len(head):
        why = f"{shape[0]} pictures, {len(gaze)} gaze labels, {len(head)} heads; took {count}"
        problems.append(Problem(str(path), None, why))
    gaze, head = gaze[:count], head[:count, :2]
    true, strange = usable("eth_xgaze", str(path), gaze, range(count))
    problems += strange
    if not true.any():
        return None
    return np.flatnonzero(true), gaze[true], head[true]
