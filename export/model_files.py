"""Reading networks with their cards, and writing new ones: whole, or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import ModelProto, TensorProto, ValueInfoProto

from clipgaze_sdk import ClipGazeError
from clipgaze_sdk.models.cards import ModelCard, TensorSpec
from clipgaze_sdk.models.derived import delta_path, derived_bytes
from clipgaze_sdk.models.files import ModelFile, load_model_file
from clipgaze_sdk.writing import write_files as write_whole_files
from export.deltas import delta

MODELS = Path(__file__).resolve().parents[1] / "sdk" / "clipgaze_sdk" / "models"
BUNDLED = tuple(MODELS / f"{name}.onnx" for name in ("face_detector", "face_landmarks", "gaze"))

OLDEST_OPSET, NEWEST_OPSET = 13, 20
"""Per-channel scales came with 13; TensorRT 10.3, the oldest supported, reads up to 20."""
OLDEST_IR = 9
"""ONNX Runtime 1.18, the oldest that the SDK supports, reads up to IR version 10."""

_TYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.INT64: "int64",
}


class ExportError(ValueError):
    """Something given that cannot be used, or a file that cannot be written; says what to do."""


@dataclass(frozen=True, slots=True)
class Network:
    """An FP32 network of this project: its file with the card, and the graph."""

    file: ModelFile
    model: ModelProto

    @property
    def path(self) -> Path:
        """Of the file."""
        return self.file.path

    @property
    def card(self) -> ModelCard:
        """Of the file."""
        return self.file.card


def load_network(path: Path) -> Network:
    """The FP32 network of a file with its card beside it.

    Raises :class:`ExportError` for anything else: no card, no ONNX, another precision, an operator
    set outside of :data:`OLDEST_OPSET` to :data:`NEWEST_OPSET`, or other tensors than the card's.
    """
    try:
        file = load_model_file(path)
    except ClipGazeError as error:
        raise ExportError(str(error)) from None
    card = file.card
    if card.precision != "fp32":
        raise ExportError(
            f"{path} is in {card.precision} already; expected the FP32 file from which it was made"
        )
    model = _parsed(path, file.data)
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ExportError(
            f"{path} has opset {opset}; expected {OLDEST_OPSET} to {NEWEST_OPSET}, which every "
            "supported runtime reads. Export it again with `python export/export_onnx.py`"
        )
    try:
        card.check_tensors(
            inputs=[_spec(value) for value in model.graph.input],
            outputs=[_spec(value) for value in model.graph.output],
        )
    except ClipGazeError as error:
        raise ExportError(str(error)) from None
    return Network(file, model)


def _parsed(path: Path, data: bytes) -> ModelProto:
    try:
        model = onnx.load_model_from_string(data)
        if not model.graph.node:
            raise DecodeError("it has no node")
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ExportError(
            f"{path} is no ONNX file ({' '.join(str(error).split())[:200]}); expected one that "
            "`python export/export_onnx.py` wrote"
        ) from None
    return model


def _spec(value: ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(
        d.dim_value if d.HasField("dim_value") else (d.dim_param or "any") for d in tensor.shape.dim
    )
    return TensorSpec(value.name, _TYPES.get(tensor.elem_type, str(tensor.elem_type)), shape)


def serialized(model: ModelProto) -> bytes:
    """The bytes of a checked model; the same for the same model.

    Raises :class:`ExportError` where the checker finds fault, which is a bug of the conversion.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, EncodeError) as e:
        raise ExportError(f"the converted graph is not valid ({e}); please report this") from None


def write_network(path: Path, model: bytes, card: dict[str, Any]) -> Path:
    """Write ``NAME.onnx`` and its card ``NAME.json``, to which file and SHA-256 are added."""
    write_files({path: model, path.with_suffix(".json"): _card_of(path, model, card)})
    return path


def write_derived(path: Path, model: bytes, card: dict[str, Any], sources: Sequence[Path]) -> Path:
    """As :func:`write_network`; in the wheel's folder as ``NAME.delta``, which says how to make it.

    Raises :class:`ExportError` as :func:`check_sources` does, before anything is written.
    """
    if path.parent.resolve() != MODELS:
        return write_network(path, model, card)
    check_sources(path, sources)
    data = {source.name: source.read_bytes() for source in sources}
    made = delta(model, data)
    with TemporaryDirectory() as folder:
        again = Path(folder) / path.name
        delta_path(again).write_bytes(made)
        if derived_bytes(again, lambda source: data[source.name]) != model:
            raise ExportError(f"{delta_path(path)} would make another file; please report this")
    write_files({delta_path(path): made, path.with_suffix(".json"): _card_of(path, model, card)})
    return delta_path(path)


def check_sources(path: Path, sources: Sequence[Path]) -> None:
    """Raise :class:`ExportError` where ``path`` would be made from files of another folder."""
    if path.parent.resolve() != MODELS:
        return
    for source in sources:
        if source.parent.resolve() != MODELS:
            raise ExportError(
                f"{path} is made from the files beside it, and {source} lies elsewhere; copy it "
                f"and its card to {MODELS} first, or give another --out"
            )


def _card_of(path: Path, model: bytes, card: dict[str, Any]) -> bytes:
    entries = card | {"file": path.name, "sha256": hashlib.sha256(model).hexdigest()}
    return (json.dumps(entries, indent=2) + "\n").encode()


def write_files(files: dict[Path, bytes]) -> None:
    """Write all files into their folders, which are made, each whole; or none.

    Raises :class:`ExportError` where that cannot be: a read-only folder, a full disk.
    """
    try:
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
        write_whole_files(files)
    except OSError as error:
        raise ExportError(
            f"cannot write {path}: {error}. Give a folder that can be written to"
        ) from None
    except ClipGazeError as error:
        raise ExportError(str(error)) from None
