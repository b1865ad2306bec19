"""Where an engine may be written: not in the place of another one."""

from __future__ import annotations

from pathlib import Path

from .._errors import ConfigurationError, ModelError
from ..models.json_files import read_json
from ..writing import check_writable
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
    check_writable(output)  # before minutes of work, not after


def _identity(sidecar: Path) -> tuple[str, str] | None:
    """Return the SHA-256 of the FP32 model and the precision that a side-car tells."""
    try:
        data = read_json(sidecar, what="side-car")
        return str(data["engine"]["base_sha256"]), str(data.get("precision", "fp32"))
    except (ModelError, KeyError, TypeError):
        return None
