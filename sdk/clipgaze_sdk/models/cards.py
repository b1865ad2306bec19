"""Model cards: what a network's file is, and how to feed it.

Every ``NAME.onnx`` has a ``NAME.json`` beside it.  A card is checked against its file before the
file is used: the SHA-256 first, then, once loaded, the tensors' names, types and shapes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import ModelError
from .json_files import read_json

if TYPE_CHECKING:  # so that `clipgaze doctor` can say that numpy is missing
    from numpy.typing import NDArray

CARD_FORMAT = 1
TASK_OUTPUTS: dict[str, dict[str, tuple[int | str, ...]]] = {
    "face_detector": {
        "scores": ("batch", "anchors"),
        "boxes": ("batch", "anchors", 4),
        "points": ("batch", "anchors", 10),
    },
    "face_landmarks": {
        "points": ("batch", 70, 2),
        "openness": ("batch", 2),
        "presence": ("batch",),
    },
    "gaze": {"pitch_yaw": ("batch", 2), "log_sigma": ("batch",)},
}
"""The outputs that a network of each task must have, with shapes; text is a free dimension."""
OPTIONAL_OUTPUTS: dict[str, dict[str, tuple[int | str, ...]]] = {
    "face_landmarks": {"visibility": ("batch", 70)},
}
"""Outputs that a network may have besides."""
_IMAGE = ("batch", 3, "height", "width")
"""The shape of the one input, ``image``."""
_MAX_SIDE_PX = 4096
_RANGES = {
    "mean": (-10.0, 10.0),
    "std": (1e-6, 100.0),
    "focal_px": (1.0, 1e6),
    "distance_mm": (1.0, 1e6),
    "center_px": (-1e5, 1e5),
    "crop_scale": (0.1, 100.0),
}
"""Of numbers of the pre-processing, with which geometry and kernels still compute."""
PRECISIONS = ("fp32", "fp16", "int8")
_EXTERNAL_DATA = re.compile(rb"\x6a[\x00-\xff]{1,2}\n\x08location")
"""Field 13 of a TensorProto, and the key that each such entry must have."""
_REQUIRED_TEXTS = ("name", "task", "file", "sha256", "licence", "version")
_OPTIONAL_TEXTS = ("trained_on", "face_model", "command", "commit", "intended_use", "limits")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a network."""

    name: str
    """As in the model file."""
    dtype: str
    """For instance "float32"."""
    shape: tuple[int | str, ...]
    """Text stands for a dimension that is free."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelCard:
    """What a model file is: its tensors, pre-processing, origin, licence and figures."""

    path: Path
    """Of the card."""
    name: str
    task: str
    """"face_detector", "face_landmarks" or "gaze"."""
    file: str
    """Name of the model file when the card was written."""
    sha256: str
    """Of the model file, 64 hexadecimal digits."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocessing: Mapping[str, Any]
    """Numbers with which pixels become the network's input; the keys depend on the task."""
    licence: str
    version: str
    trained_on: str = ""
    face_model: str = ""
    """The 3D face that head poses and normalisation were trained with."""
    command: str = ""
    """The training command."""
    seed: int | None = None
    commit: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Measured figures by name."""
    intended_use: str = ""
    limits: str = ""
    precision: str = "fp32"
    """"fp32", "fp16" or "int8": what convolutions and matrix products compute in."""
    base_sha256: str = ""
    """Of the FP32 file from which this one was made; empty for an FP32 file."""
    excluded_layers: tuple[str, ...] = ()
    """Names of the convolutions and matrix products that stay out of the precision."""
    runs_on: tuple[str, ...] = ()
    """Runtimes that the graph was made for, "onnxruntime" or "tensorrt"; empty: any."""
    entries: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """All that the card says, as it was read."""

    @classmethod
    def load(cls, path: str | Path) -> ModelCard:
        """Read a card and check it; its model file is not touched.

        Raises:
            ModelError: the card is missing, is no JSON, or lacks something.
        """
        path = Path(path)
        data = read_json(path, what="card")
        if data.get("format") != CARD_FORMAT:
            raise ModelError(
                f"card {str(path)!r} has format {data.get('format')!r}; expected {CARD_FORMAT}. "
                "Take the model for this version of clipgaze_sdk, or update the package."
            )
        card = cls(
            path=path,
            **{key: _text(data, key, path) for key in _REQUIRED_TEXTS},
            **{key: _optional_text(data, key) for key in _OPTIONAL_TEXTS},
            inputs=_tensors(data, "inputs", path),
            outputs=_tensors(data, "outputs", path),
            preprocessing=_mapping(data, "preprocessing", path),
            seed=data["seed"] if isinstance(data.get("seed"), int) else None,
            figures=_mapping(data, "figures", path) if "figures" in data else {},
            precision=_precision(data, path),
            base_sha256=_optional_text(data, "base_sha256"),
            excluded_layers=_names(data, "excluded_layers", path),
            runs_on=_names(data, "runs_on", path),
            entries=data,
        )
        card._check_task_tensors()
        return card

    def check_file(self, model_path: str | Path) -> bytes:
        """Return the bytes of a file, which are those that the card describes.

        Raises:
            ModelError: the file is missing, unreadable, or has another SHA-256.
        """
        try:
            data = Path(model_path).read_bytes()
        except OSError as error:
            raise ModelError(
                f"model file {str(model_path)!r} cannot be read ({error}). Check the path."
            ) from error
        self.check_bytes(data, model_path)
        return data

    def check_bytes(self, data: bytes, model_path: str | Path) -> None:
        """Check that these are the bytes that the card describes; ``model_path`` is for messages.

        Raises:
            ModelError: they have another SHA-256, or are a graph whose weights lie elsewhere.
        """
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256.lower():
            raise ModelError(
                f"model file {str(model_path)!r} has SHA-256 {digest}; its card "
                f"{str(self.path)!r} says {self.sha256}. The file is damaged, incomplete or "
                "belongs to another card: copy both again, together."
            )
        if b"\n\x08location" in data and _EXTERNAL_DATA.search(data):
            raise ModelError(
                f"model file {str(model_path)!r} keeps weights in another file (ONNX's external "
                "data), which its SHA-256 does not cover; expected one file. Save it whole: "
                "onnx.save_model(onnx.load(FILE), FILE, save_as_external_data=False)."
            )

    def check_tensors(self, *, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        """Check the tensors that a loaded model has against the card.

        Raises:
            ModelError: a name, type or fixed dimension differs.
        """
        for kind, declared, found in (
            ("input", self.inputs, inputs),
            ("output", self.outputs, outputs),
        ):
            found_by_name = {spec.name: spec for spec in found}
            for spec in declared:
                other = found_by_name.get(spec.name)
                if other is None or not _agree(spec, other):
                    raise ModelError(
                        f"the model of card {str(self.path)!r} has {kind}s "
                        f"{_listed(found)}; the card expects {_listed(declared)}. Write the card "
                        "with the model, or take the pair from the same place."
                    )

    def check_answers(self, answers: Mapping[str, NDArray[Any]], *, count: int) -> None:
        """Check the shapes of what a network said of ``count`` images.

        Raises:
            ModelError: one is not as the card says.
        """
        for spec in self.outputs:
            expected = TensorSpec(spec.name, spec.dtype, (count, *spec.shape[1:]))
            found = answers[spec.name]
            if not _agree(expected, TensorSpec(spec.name, spec.dtype, found.shape)):
                raise ModelError(
                    f"the model of card {str(self.path)!r} gave {spec.name} of shape "
                    f"{list(found.shape)} for {count} image(s); expected {list(expected.shape)}. "
                    "It is not what its card says: export both again, together."
                )

    def number(self, key: str) -> float:
        """Return a finite number of the pre-processing.

        Raises:
            ModelError: the card lacks it.
        """
        return self.numbers(key, 1)[0]

    def numbers(self, key: str, length: int | None = None) -> tuple[float, ...]:
        """Return ``length`` finite numbers (any count if None) of the pre-processing.

        Raises:
            ModelError: the card lacks them.
        """
        value = self.preprocessing.get(key)
        values: list[Any] = value if isinstance(value, list) else [value]
        low, high = _RANGES.get(key, (-1e9, 1e9))
        if not all(type(v) in (int, float) and low <= v <= high for v in values) or (
            len(values) == 0 if length is None else len(values) != length
        ):
            count = "some numbers" if length is None else f"{length} number(s)"
            raise ModelError(
                f"card {str(self.path)!r} has preprocessing.{key} = {value!r}; expected {count} "
                f"between {low:g} and {high:g}. Take the card that came with the model."
            )
        return tuple(float(v) for v in values)

    def mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the three means and standard deviations of R, G, B, in units of [0, 1].

        Raises:
            ModelError: the card lacks them, or has some that are of no use.
        """
        return self.numbers("mean", 3), self.numbers("std", 3)

    def _check_task_tensors(self) -> None:
        if self.task not in TASK_OUTPUTS:
            raise ModelError(
                f"card {str(self.path)!r} has task {self.task!r}; expected one of "
                f"{', '.join(TASK_OUTPUTS)}."
            )
        wanted = TASK_OUTPUTS[self.task]
        outputs = {spec.name for spec in self.outputs}
        if [spec.name for spec in self.inputs] != ["image"] or not outputs.issuperset(wanted):
            raise ModelError(
                f"card {str(self.path)!r} has inputs {_listed(self.inputs)} and outputs "
                f"{_listed(self.outputs)}; a {self.task} has the input 'image' and the outputs "
                f"{', '.join(wanted)}."
            )
        for spec in (*self.inputs, *self.outputs):
            known = {"image": _IMAGE, **wanted, **OPTIONAL_OUTPUTS.get(self.task, {})}
            shape = known.get(spec.name, spec.shape)
            if not _agree(spec, TensorSpec(spec.name, spec.dtype, shape)):
                raise ModelError(
                    f"card {str(self.path)!r} has {spec.name} of shape {list(spec.shape)}; a "
                    f"{self.task} has {list(shape)}. Take the card that came with the model."
                )
        sides = self.inputs[0].shape[2:]
        if not all(isinstance(n, str) or 1 <= n <= _MAX_SIDE_PX for n in sides):
            raise ModelError(
                f"card {str(self.path)!r} has an image of {list(sides)} px; expected sides "
                f"between 1 and {_MAX_SIDE_PX}. Take the card that came with the model."
            )
        color = self.preprocessing.get("color")
        if color != "RGB":
            raise ModelError(
                f"card {str(self.path)!r} has preprocessing.color = {color!r}; expected 'RGB'."
            )


def _lacks(path: Path, key: str, expected: str) -> ModelError:
    return ModelError(
        f"card {str(path)!r} lacks {key!r}, or it is not {expected}. Take the card that came with "
        "the model."
    )


def _text(data: Mapping[str, Any], key: str, path: Path) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise _lacks(path, key, "a text")
    return value


def _optional_text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key, "")
    return value if isinstance(value, str) else json.dumps(value)


def _precision(data: Mapping[str, Any], path: Path) -> str:
    value = data.get("precision", "fp32")
    if value not in PRECISIONS:
        raise ModelError(
            f"card {str(path)!r} has precision {value!r}; expected one of {', '.join(PRECISIONS)}. "
            "Take the card that came with the model."
        )
    return str(value)


def _names(data: Mapping[str, Any], key: str, path: Path) -> tuple[str, ...]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise _lacks(path, key, "a list of texts")
    return tuple(value)


def _mapping(data: Mapping[str, Any], key: str, path: Path) -> Mapping[str, Any]:
    value = data.get(key)
    if not isinstance(value, dict):
        raise _lacks(path, key, "an object")
    return value


def _tensors(data: Mapping[str, Any], key: str, path: Path) -> tuple[TensorSpec, ...]:
    value = data.get(key)
    expected = "a list of {name, dtype, shape}"
    if not isinstance(value, list):
        raise _lacks(path, key, expected)
    specs = []
    for item in value:
        if (
            not isinstance(item, dict)
            or not isinstance(name := item.get("name"), str)
            or not isinstance(dtype := item.get("dtype"), str)
            or not isinstance(shape := item.get("shape"), list)
            or not all(type(n) in (int, str) for n in shape)
        ):
            raise _lacks(path, key, expected)
        specs.append(TensorSpec(name, dtype, tuple(shape)))
    return tuple(specs)


def _agree(declared: TensorSpec, found: TensorSpec) -> bool:
    return (
        declared.dtype == found.dtype
        and len(declared.shape) == len(found.shape)
        and all(
            a == b
            for a, b in zip(declared.shape, found.shape, strict=True)
            if isinstance(a, int) and isinstance(b, int)
        )
    )


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{s.name} {s.dtype}{list(s.shape)}" for s in specs) or "none"
