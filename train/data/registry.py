"""Opening data sets by name: ``NAME:PATH``, with options behind a question mark.

``gaze360:DIR?split=test``, ``mpiifacegaze:DIR?people=p00,p01&undo_scaling=1``, ``own:DIR?fov=60``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from train.data.eth_xgaze import ETHXGaze
from train.data.eyediap import EyeDiap
from train.data.gaze360 import Gaze360
from train.data.layouts import listing
from train.data.mpii_normalized import MPIINormalized
from train.data.mpiifacegaze import MPIIFaceGaze
from train.data.own import Own
from train.data.pool import Pool
from train.data.rendered import Rendered
from train.data.samples import DataError, GazeDataset
from train.data.views import Joined

Reader = (
    type[ETHXGaze]
    | type[Gaze360]
    | type[MPIIFaceGaze]
    | type[EyeDiap]
    | type[MPIINormalized]
    | type[Rendered]
    | type[Pool]
    | type[Own]
)

READERS: dict[str, Reader] = {
    "eth_xgaze": ETHXGaze,
    "gaze360": Gaze360,
    "mpiifacegaze": MPIIFaceGaze,
    "eyediap": EyeDiap,
    "mpii_normalized": MPIINormalized,
    "rendered": Rendered,
    "pool": Pool,
    "own": Own,
}


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(f"{text!r}; expected 0 or 1")
    return text == "1"


def _degrees(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r}; expected degrees, such as 60") from None


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ValueError(f"{text!r}; expected a whole number above 0")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


_COMMON: dict[str, Callable[[str], object]] = {"people": _names, "strict": _flag}
_OPTIONS: dict[str, dict[str, Callable[[str], object]]] = {
    "eth_xgaze": _COMMON | {"split": str},
    "gaze360": _COMMON | {"split": str},
    "mpiifacegaze": _COMMON | {"undo_scaling": _flag},
    "eyediap": _COMMON,
    "mpii_normalized": _COMMON,
    "rendered": _COMMON | {"domains": _names},
    "pool": _COMMON | {"domains": _names, "first": _count},
    "own": _COMMON | {"fov": _degrees},
}


@dataclass(frozen=True, slots=True)
class Spec:
    """What ``NAME:PATH?option=value&…`` says."""

    name: str
    root: Path
    options: dict[str, object]


def parse_spec(text: str) -> Spec:
    """Take a spec apart; raises :class:`DataError` for unknown names and options."""
    name, colon, rest = text.partition(":")
    if not colon or not rest:
        looks = looks_like(Path(text).expanduser())
        raise DataError(
            f"{text[:200]!r} is not NAME:PATH; this looks like {looks[0]}: try {looks[0]}:{text}"
            if looks
            else f"{text[:200]!r} is not NAME:PATH, such as gaze360:/data/Gaze360; NAME is one of "
            f"{', '.join(READERS)}"
        )
    if name not in READERS:
        raise DataError(f"no data set is called {name!r}; expected one of {', '.join(READERS)}")
    path, _, query = rest.partition("?")
    if query and Path(rest).exists():  # a folder whose name has a question mark
        path, query = rest, ""
    options: dict[str, object] = {}
    known = _OPTIONS[name]
    for part in query.split("&") if query else []:
        key, _, value = part.partition("=")
        if key not in known:
            raise DataError(f"{text}: {name} has no option {key!r}; it has {', '.join(known)}")
        try:
            options[key] = known[key](value)
        except ValueError as error:
            raise DataError(f"{text}: {key} is {error}") from None
    return Spec(name, Path(path).expanduser(), options)


def open_dataset(
    spec: str | Sequence[str],
    *,
    people: Sequence[str] | None = None,
    strict: bool | None = None,
) -> GazeDataset:
    """The data set of a spec, or those of several joined, with their people kept apart.

    ``people`` and ``strict`` have precedence over the spec's.  Raises :class:`DataError` where the
    spec, the folder or the labels are not what they should be, and warns (:class:`DataWarning`)
    of what was left out; the data set's ``problems`` lists it.
    """
    if not isinstance(spec, str):
        if people is not None and len(spec) > 1:
            raise DataError("people of several data sets; say NAME:PATH?people=… in each spec")
        parts = [open_dataset(each, people=people, strict=strict) for each in spec]
        return parts[0] if len(parts) == 1 else Joined(parts)
    parsed = parse_spec(spec)
    options = dict(parsed.options)
    if people is not None:
        options["people"] = tuple(people)
    if strict is not None:
        options["strict"] = strict
    _check_root(parsed.name, parsed.root)
    opened: GazeDataset = READERS[parsed.name](parsed.root, **options)  # type: ignore[arg-type]
    return opened


def looks_like(root: Path) -> list[str]:
    """The names of the data sets that a folder is laid out as; none for what is no folder."""
    try:
        return [name for name, reader in READERS.items() if reader.recognises(root)]
    except OSError:
        return []


def _check_root(name: str, root: Path) -> None:
    """Raise :class:`DataError` for a folder that cannot be this data set's root."""
    layout = READERS[name].layout
    try:
        there = root.exists()
    except OSError as error:  # such as a name that is too long
        why = error.strerror or error
        raise DataError(f"{str(root)[:200]}: {why}; {name} is a folder with {layout}") from None
    if not there:
        raise DataError(f"{root} does not exist; {name} is a folder with {layout}")
    if not root.is_dir():
        raise DataError(f"{root} is a file; {name} is a folder with {layout}")
    if READERS[name].recognises(root):
        return
    looks = looks_like(root)
    hint = f". This looks like {looks[-1]}: try {looks[-1]}:{root}" if looks else ""
    for child in sorted(p for p in root.iterdir() if p.is_dir()):
        if READERS[name].recognises(child):
            hint = f". Did you mean {name}:{child}?"
            break
    else:
        if READERS[name].recognises(root.parent):
            hint = f". Did you mean {name}:{root.parent}?"
    raise DataError(
        f"{root} is not the root of {name}: expected {layout}; found {listing(root)}{hint}"
    )
