"""Writing an engine and its side-car: both or neither, and never half of one."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from .._errors import ConfigurationError, InputError
from .info import ENGINE_SUFFIX, sidecar_path


def check_engine_output(output: Path, *, base_sha256: str, precision: str, force: bool) -> None:
    """Refuse an output that cannot be written, or that would take the place of another engine.

    The same model in the same precision may be built again.

    Raises:
        ConfigurationError: the name or the folder is wrong, or another engine is there.
        InputError: nothing can be written there.
    """
    if output.suffix != ENGINE_SUFFIX:
        raise ConfigurationError(f"output {str(output)!r} is no engine; expected *.engine.")
    if not output.parent.is_dir():
        raise ConfigurationError(f"cannot write {str(output)!r}: make its folder first.")
    if output.is_dir():
        raise ConfigurationError(f"cannot write {str(output)!r}: it is a folder.")
    if output.exists() and not force:
        there = _identity(sidecar_path(output))
        if there != (base_sha256, precision):
            what = "another model or precision" if there else "an engine without a side-car"
            raise ConfigurationError(
                f"{str(output)!r} is there already, of {what}. Give another --output, or --force."
            )
    probe = _partial(output)
    try:  # before minutes of work, not after
        with probe.open("wb"):
            pass
    except OSError as error:
        raise _cannot_write(output, error) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write files under other names, then move all into place; on failure none is left.

    Raises:
        InputError: one cannot be written.
    """
    partials = {path: _partial(path) for path in files}
    moved: list[Path] = []
    try:
        for path, data in files.items():
            with partials[path].open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, partial in partials.items():
            partial.replace(path)
            moved.append(path)
    except OSError as error:
        for path in moved:  # one without the other would only be refused later
            path.unlink(missing_ok=True)
        raise _cannot_write(next(iter(files)), error) from error
    finally:
        for partial in partials.values():
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)


def _identity(sidecar: Path) -> tuple[str, str] | None:
    """Return the SHA-256 of the FP32 model and the precision that a side-car tells."""
    try:
        data = json.loads(sidecar.read_text(encoding="utf-8"))
        return str(data["engine"]["base_sha256"]), str(data.get("precision", "fp32"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _cannot_write(path: Path, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    return InputError(
        f"cannot write {str(path)!r}: {reason}. Check the folder, its permissions and the space "
        "left; nothing half-written was left."
    )
