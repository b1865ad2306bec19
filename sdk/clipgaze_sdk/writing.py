"""Files that are written whole or not at all; of those that belong together, all or none.

A pair such as an engine and its side-car is put in place by one rename after the other.  Until the
last is done, what was there before is kept as ``.NAME.bak``, so that it can be put back: by the
same call where it fails, by the next writer or reader where the process was killed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from ._errors import InputError

_PARTIAL = ".clipgaze-{}.partial"


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together, in the place of those of the same names.

    A link is replaced, not followed.  What a killed call has left in these folders is removed.

    Raises:
        InputError: one cannot be written; what was there before still is.
    """
    partials: dict[Path, Path] = {}
    moved: list[Path] = []
    with _locked(files) as alone:
        _put_back(files)
        for folder in {path.parent for path in files} if alone else ():
            for left in folder.glob(_PARTIAL.format("*")):
                left.unlink(missing_ok=True)
        try:
            for path, data in files.items():
                partials[path] = _partial(path, data)
            for path in files if len(files) > 1 else ():
                _keep(path)
            for path, partial in partials.items():
                partial.replace(path)
                moved.append(path)
        except OSError as error:
            for done in files:
                if _backup(done).exists():
                    _restore(done)
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
    with _locked(paths):
        _put_back(paths)
    return True


def _put_back(paths: Collection[Path]) -> None:
    kept = [path for path in paths if _backup(path).exists()]
    for path in kept:
        if len(kept) == len(paths) or not path.exists():
            _restore(path)
        else:  # the kill came when all were in place
            _backup(path).unlink()


@contextlib.contextmanager
def _locked(paths: Collection[Path]) -> Iterator[bool]:
    """Let one process at a time write in the folders; False where locks cannot be had."""
    with contextlib.ExitStack() as stack:
        alone = True
        for folder in sorted({path.parent for path in paths}):
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError:
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


def _keep(path: Path) -> None:
    if not path.exists():
        return
    try:
        os.link(path, _backup(path), follow_symlinks=False)
    except OSError:  # a file system without hard links
        path.replace(_backup(path))


def _restore(path: Path) -> None:
    _backup(path).replace(path)
    _backup(path).unlink(missing_ok=True)  # a rename between two names of one file does nothing


def _backup(path: Path) -> Path:
    return path.with_name(f".{path.name}.bak")


def cannot_write(path: Path, error: OSError) -> InputError:
    """Say which file could not be written, and why."""
    reason = error.strerror or str(error)
    return InputError(
        f"cannot write {str(path)!r}: {reason}. Check the folder, its permissions and the space "
        "left; nothing half-written was left."
    )
