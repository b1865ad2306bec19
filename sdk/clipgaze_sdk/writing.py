"""Files that are written whole or not at all; of those that belong together, all or none.

A pair such as an engine and its side-car is put in place by one rename after the other.  Until the
last is done, a copy of what was there before lies in ``.NAME.bak``, so that it can be put back: by
the same call where it fails, by the next writer or reader where the process was killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from ._errors import InputError

_PARTIAL = ".clipgaze-{}.partial"


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write files of one folder that belong together, in the place of those of the same names.

    A link is replaced, not followed.  What a killed call has left in the folder is removed.

    Raises:
        InputError: one cannot be written; what was there before still is.
    """
    partials: dict[Path, Path] = {}
    moved: list[Path] = []
    folder = next(iter(files)).parent
    with _locked(folder) as alone:
        path = next(iter(files))
        try:
            _put_back(files)
            for left in folder.glob(_PARTIAL.format("*")) if alone else ():
                with contextlib.suppress(OSError):  # somebody else's
                    left.unlink()
            for path, data in files.items():
                partials[path] = _partial(path, data)
            for path in files if len(files) > 1 else ():
                if path.exists():
                    _partial(path, path.read_bytes()).replace(_backup(path))
            for path, partial in partials.items():
                partial.replace(path)
                moved.append(path)
        except OSError as error:
            for done in files:
                if _backup(done).exists():
                    _backup(done).replace(done)
                elif done in moved:
                    done.unlink()
            raise cannot_write(path, error) from error
        finally:
            for partial in partials.values():
                partial.unlink(missing_ok=True)
        for path in files:
            _backup(path).unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Find out, before long work, whether a file can be written here.

    Raises:
        InputError: it cannot.
    """
    try:
        with _locked(path.parent):
            _partial(path, b"").unlink()
    except OSError as error:
        raise cannot_write(path, error) from error


def put_back(paths: Collection[Path]) -> bool:
    """Put back files that belong together, after a call that replaced them was killed.

    Returns:
        Whether there was something to put back.
    """
    if not all(_backup(path).exists() for path in paths):
        return False
    try:
        with _locked(next(iter(paths)).parent):
            _put_back(paths)
    except OSError:  # a folder that cannot be written
        return False
    return True


def _put_back(paths: Collection[Path]) -> None:
    kept = [path for path in paths if _backup(path).exists()]
    for path in kept:
        if len(kept) == len(paths):
            _backup(path).replace(path)
        else:  # the kill came before the first was in place, or after the last
            _backup(path).unlink()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Let one process at a time write in a folder; False where locks cannot be had."""
    with contextlib.ExitStack() as stack:
        try:
            import fcntl  # not on Windows

            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            alone = True
        except (ImportError, OSError):
            alone = False
        yield alone


def _partial(path: Path, data: bytes) -> Path:
    """Write data beside a path under a new name, which is nobody's file and nobody's link."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    partial = path.with_name(_PARTIAL.format(secrets.token_hex(8)))
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    return partial


def _backup(path: Path) -> Path:
    return path.with_name(f".{path.name}.bak")


def cannot_write(path: Path, error: OSError) -> InputError:
    """Say which file could not be written, and why."""
    return InputError(
        f"cannot write {str(path)!r}: {error.strerror or error}. Check the folder, its permissions "
        "and the space left; nothing half-written was left."
    )
