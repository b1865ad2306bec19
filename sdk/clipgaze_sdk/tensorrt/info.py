"""The side-car of a TensorRT engine: what it was built from, for which machine, and how.

``gaze.engine`` has ``gaze.engine.json`` beside it.  That is the card of the graph that was
compiled, with the engine's own file and SHA-256, and an object ``engine`` with what is below.  An
engine runs on one version of TensorRT, one kind of GPU and one system: the rest is refused.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ModelError

if TYPE_CHECKING:
    from ..models.cards import ModelCard

ENGINE_SUFFIX = ".engine"
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """What an engine is bound to."""

    tensorrt_version: str
    gpu_name: str
    compute_capability: str
    """For instance "8.7"."""
    platform: str
    """System and architecture, for instance "Linux aarch64"."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The shapes of ``image`` (N, 3, H, W) for which an engine is built."""

    min: Shape
    opt: Shape
    """The one that it is fastest for."""
    max: Shape

    def holds(self, shape: Shape) -> bool:
        """Say whether an input of this shape can be run."""
        return len(shape) == len(self.min) and all(
            low <= n <= high for low, n, high in zip(self.min, shape, self.max, strict=True)
        )


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a side-car says beyond a card."""

    machine: Machine
    source: str
    """The model as it was named to the builder: a bundled network, or a path."""
    base_sha256: str
    """Of the FP32 file of that model."""
    onnx_sha256: str
    """Of the graph that was compiled."""
    calibration_sha256: str
    """Of the calibration set of an INT8 graph; empty for others."""
    arguments: tuple[str, ...]
    """Of ``clipgaze build-engine``, without the output."""
    profile: Profile
    strongly_typed: bool
    """The graph's types were binding; else builder flags allowed the precision."""
    compute_layers: Mapping[str, int]
    """How many convolutions and matrix products the inspector found in each precision."""
    parity: Mapping[str, float]
    """Largest difference to ONNX Runtime by output, in units of the output's largest magnitude."""

    @classmethod
    def from_card(cls, card: ModelCard) -> EngineInfo:
        """Return the object ``engine`` of a side-car that was read as a card.

        Raises:
            ModelError: it is missing or incomplete.
        """
        try:
            data = card.entries["engine"]
            return cls(
                **{f.name: str(data[f.name]) for f in fields(cls) if f.type == "str"},
                machine=Machine(**{f.name: str(data["machine"][f.name]) for f in fields(Machine)}),
                arguments=tuple(map(str, data["arguments"])),
                profile=Profile(
                    *(tuple(map(int, data["profile"][k])) for k in ("min", "opt", "max"))
                ),
                strongly_typed=bool(data["strongly_typed"]),
                compute_layers={str(k): int(v) for k, v in data["compute_layers"].items()},
                parity={str(k): float(v) for k, v in data["parity"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"side-car {str(card.path)!r} cannot be used ({type(error).__name__}: {error}); "
                "expected the one that clipgaze build-engine wrote with the engine. Copy both "
                "again, together, or build the engine again."
            ) from error

    def build_command(self, engine: Path) -> str:
        """Return the command that builds this engine again, in the place of ``engine``."""
        return shlex.join(["clipgaze", "build-engine", *self.arguments, "--output", str(engine)])


def sidecar_path(engine: Path) -> Path:
    """Return where the side-car of an engine lies."""
    return engine.with_name(engine.name + ".json")
