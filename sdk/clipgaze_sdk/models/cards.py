"""Model cards: what a network's file is, and how to feed it.

Every ``NAME.onnx`` has a ``NAME.json`` beside it.  A card is checked against its file before the
file is used: the SHA-256 first, then, once loaded, the tensors' names, types and shapes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import ModelError
from .json_files import read_json

if TYPE_CHECKING:  # so that `clipgaze doctor` can say that numpy is missing
    from numpy.typing import NDArray

CARD_FORMAT = 1
_Shape = tuple[int | str, ...]
TASK_OUTPUTS: dict[str, dict[str, _Shape]] = {
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
OPTIONAL_OUTPUTS: dict[str, dict[str, _Shape]] = {
    "face_landmarks": {"visibility": ("batch", 70)},
    "gaze": {"eye_points": ("batch", 2, 15, 2), "eye_openness": ("batch", 2)},
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
    **dict.fromkeys(("eye_px", "face_px", "crop_px"), (1, _MAX_SIDE_PX)),
    "face_shrink": (1, 64),
    "face_top_px": (0, _MAX_SIDE_PX),
}
"""Of numbers of the pre-processing, with which geometry and kernels still compute."""
PRECISIONS = ("fp32", "fp16", "int8")
_EXTERNAL_DATA = re.compile(rb"\x6a[\x00-\xff]{1,2}\n\x08location")
"""Field 13 of a TensorProto, and the key that each such entry must have."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a network."""

    name: str
    """As in the model file."""
    dtype: str
    """For instance "float32"."""
    shape: _Shape
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
        data = read_json(path := Path(path), what="card")
        if data.get("format") != CARD_FORMAT:
            raise ModelError(
                f"card {str(path)!r} has format {data.get('format')!r}; expected {CARD_FORMAT}. "
                "Take the model for this version of clipgaze_sdk, or update the package."
            )
        card = cls(
            path=path,
            **{f.name: _text(data, f, path) for f in fields(cls) if f.type == "str"},
            inputs=_tensors(data, "inputs", path),
            outputs=_tensors(data, "outputs", path),
            excluded_layers=_names(data, "excluded_layers", path),
            runs_on=_names(data, "runs_on", path),
            preprocessing=_object(data.get("preprocessing"), "preprocessing", path),
            figures=_object(data.get("figures", {}), "figures", path),
            seed=data["seed"] if isinstance(data.get("seed"), int) else None,
            entries=data,
        )
        card._check_task_tensors()
        return card

    def check_file(self, model_path: str | Path, data: bytes | None = None) -> bytes:
        """Return the bytes of a file, which are those that the card describes.

        Args:
            model_path: of the file.
            data: its bytes, where they were made instead of read.

        Raises:
            ModelError: the file is missing, unreadable, has another SHA-256, or is a graph whose
                weights lie elsewhere.
        """
        try:
            data = Path(model_path).read_bytes() if data is None else data
        except OSError as error:
            raise ModelError(
                f"model file {str(model_path)!r} cannot be read ({error}). Check the path."
            ) from error
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
        return data

    def check_tensors(self, *, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        """Check the tensors that a loaded model has against the card.

        Raises:
            ModelError: a name, type or fixed dimension differs, or there is another input.
        """
        pairs = {"inputs": (self.inputs, inputs), "outputs": (self.outputs, outputs)}
        for kind, (declared, found) in pairs.items():
            too_many = kind == "inputs" and len(found) != len(declared)
            if too_many or not all(any(_agree(s, other) for other in found) for s in declared):
                raise ModelError(
                    f"the model of card {str(self.path)!r} has {kind} {_listed(found)}; the card "
                    f"expects {_listed(declared)}. Write the card with the model, or take the pair "
                    "from the same place."
                )

    def check_answers(self, answers: Mapping[str, NDArray[Any]], *, count: int) -> None:
        """Check the shapes of what a network said of ``count`` images.

        Raises:
            ModelError: one is not as the card says.
        """
        for spec in self.outputs:
            expected, found = (count, *spec.shape[1:]), answers[spec.name].shape
            if not _fits(expected, found):
                raise ModelError(
                    f"the model of card {str(self.path)!r} gave {spec.name} of shape {list(found)} "
                    f"for {count} image(s); expected {list(expected)}. It is not what its card "
                    "says: export both again, together."
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
            expected = f"{count} between {low:g} and {high:g}"
            raise _wrong(self.path, f"has preprocessing.{key} = {value!r}; expected {expected}")
        return tuple(float(v) for v in values)

    def mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the three means and standard deviations of R, G, B, in units of [0, 1].

        Raises:
            ModelError: the card lacks them, or has some that are of no use.
        """
        return self.numbers("mean", 3), self.numbers("std", 3)

    def _check_task_tensors(self) -> None:
        choices: dict[str, Iterable[str]] = {"task": TASK_OUTPUTS, "precision": PRECISIONS}
        for key, choice in choices.items():
            if (value := getattr(self, key)) not in choice:
                raise _wrong(self.path, f"has {key} {value!r}; expected one of {', '.join(choice)}")
        wanted = TASK_OUTPUTS[self.task]
        outputs = {spec.name for spec in self.outputs}
        if [spec.name for spec in self.inputs] != ["image"] or not outputs.issuperset(wanted):
            raise _wrong(
                self.path,
                f"has inputs {_listed(self.inputs)} and outputs {_listed(self.outputs)}; a "
                f"{self.task} has the input 'image' and the outputs {', '.join(wanted)}",
            )
        known = {"image": _IMAGE, **wanted, **OPTIONAL_OUTPUTS.get(self.task, {})}
        for spec in (*self.inputs, *self.outputs):
            shape = known.get(spec.name, spec.shape)
            if not _fits(shape, spec.shape):
                has = f"has {spec.name} of shape {list(spec.shape)}"
                raise _wrong(self.path, f"{has}; a {self.task} has {list(shape)}")
        sides = self.inputs[0].shape[2:]
        if not all(isinstance(n, str) or 1 <= n <= _MAX_SIDE_PX for n in sides):
            expected = f"expected sides between 1 and {_MAX_SIDE_PX}"
            raise _wrong(self.path, f"has an image of {list(sides)} px; {expected}")
        if (color := self.preprocessing.get("color")) != "RGB":
            raise _wrong(self.path, f"has preprocessing.color = {color!r}; expected 'RGB'")


def _wrong(path: Path, what: str) -> ModelError:
    return ModelError(f"card {str(path)!r} {what}. Take the card that came with the model.")


def _lacks(path: Path, key: str, expected: str) -> ModelError:
    return _wrong(path, f"lacks {key!r}, or it is not {expected}")


def _text(data: Mapping[str, Any], entry: Field[Any], path: Path) -> str:
    value = data.get(entry.name, entry.default)
    if entry.default is not MISSING:
        return value if isinstance(value, str) else json.dumps(value)
    if not isinstance(value, str) or not value:
        raise _lacks(path, entry.name, "a text")
    return value


def _object(value: object, key: str, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _lacks(path, key, "an object")
    return value


def _names(data: Mapping[str, Any], key: str, path: Path) -> tuple[str, ...]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise _lacks(path, key, "a list of texts")
    return tuple(value)


def _tensors(data: Mapping[str, Any], key: str, path: Path) -> tuple[TensorSpec, ...]:
    value, kinds = data.get(key), {"name": str, "dtype": str, "shape": list}
    if not isinstance(value, list) or not all(
        isinstance(item, dict)
        and all(isinstance(item.get(name), kind) for name, kind in kinds.items())
        and all(type(n) in (int, str) for n in item["shape"])
        for item in value
    ):
        raise _lacks(path, key, "a list of {name, dtype, shape}")
    return tuple(TensorSpec(item["name"], item["dtype"], tuple(item["shape"])) for item in value)


def _agree(declared: TensorSpec, found: TensorSpec) -> bool:
    same = (declared.name, declared.dtype) == (found.name, found.dtype)
    return same and _fits(declared.shape, found.shape)


def _fits(declared: _Shape, found: _Shape) -> bool:
    return len(declared) == len(found) and all(
        a == b or isinstance(a, str) or isinstance(b, str)
        for a, b in zip(declared, found, strict=True)
    )


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{s.name} {s.dtype}{list(s.shape)}" for s in specs) or "none"
