"""What a training run leaves, made ready for export: a network that answers with a tuple.

Runs are those of ``train.front.detector``, ``train.front.landmarks`` and ``train.gaze.fit`` (any
backbone): ``model.safetensors`` with a card beside it.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from clipgaze_sdk.faces.eye_sheet import LAYOUT
from export.model_files import ExportError
from train.front.crops import LANDMARK_CROP_SCALE
from train.front.networks import STRIDES, DetectorNetwork, LandmarkNetwork
from train.front.pixels import MEAN, STD
from train.gaze import sheets
from train.gaze.checkpoints import load_model
from train.gaze.models import EYES, SIZE_PX, GazeModel
from train.loop.states import CheckpointError, load_weights
from train.loop.weight_cards import MODEL, read_weights
from train.synth.outputs.normalization import NORMALIZATION


@dataclass(frozen=True, slots=True)
class Task:
    """How one kind of network is exported."""

    example: tuple[int, int, int, int]
    free: dict[int, str]
    """Dynamic dimensions of the input, by position."""
    outputs: dict[str, list[int | str]]
    preprocessing: dict[str, Any]
    purpose: str
    limits: str

    def with_batch(self, batch: int | None) -> Task:
        """The same with a fixed batch; None leaves it free."""
        if batch is None:
            return self
        return replace(
            self,
            example=(batch, *self.example[1:]),
            free={k: v for k, v in self.free.items() if k != 0},
            outputs={k: [batch, *shape[1:]] for k, shape in self.outputs.items()},
        )


NETWORKS: dict[str, type[nn.Module]] = {
    "face_detector": DetectorNetwork,
    "face_landmarks": LandmarkNetwork,
}
"""Of the front end; a gaze model's is in its run."""
COMMON = {"color": "RGB", "mean": list(MEAN), "std": list(STD)}
TASKS = {
    "face_detector": Task(
        (2, 3, 256, 320),
        {0: "batch", 2: "height", 3: "width"},
        {
            "scores": ["batch", "anchors"],
            "boxes": ["batch", "anchors", 4],
            "points": ["batch", "anchors", 10],
        },
        {**COMMON, "long_side_px": [640, 128], "multiple_px": 32, "strides": list(STRIDES)},
        "Finding faces in whole frames, to start landmarks and gaze.",
        "Faces under 20 px of a 640 px frame, strong in-plane tilt, masks and hats are weak. "
        "Not for identification.",
    ),
    "face_landmarks": Task(
        (2, 3, 128, 128),
        {0: "batch"},
        {
            "points": ["batch", 70, 2],
            "visibility": ["batch", 70],
            "openness": ["batch", 2],
            "presence": ["batch"],
        },
        {**COMMON, "crop_scale": LANDMARK_CROP_SCALE},
        "68 landmarks, both irises, what is visible, eye openness, presence: for head pose and to "
        "follow a face.",
        "Profiles beyond 60 degrees and faces covered by hands or masks are weak.",
    ),
    "gaze": Task(
        (2, 3, 96, 224),
        {0: "batch"},
        {"pitch_yaw": ["batch", 2], "log_sigma": ["batch"]},
        {"focal_px": NORMALIZATION.focal_px, "distance_mm": NORMALIZATION.distance_mm},
        "Direction of gaze of any person in front of one camera.",
        "Trained on rendered people only. Not for medical use, nor for deciding about people.",
    ),
}
_SHEET: dict[str, Any] = {
    "layout": LAYOUT,
    "eye_px": [*sheets.EYE_PX[::-1]],
    "face_px": [*sheets.FACE_PX[::-1]],
    "crop_px": [SIZE_PX, SIZE_PX],
    "face_shrink": sheets.FACE_SHRINK,
    "face_top_px": sheets.FACE_TOP,
}
"""Of the pre-processing of a network that looks at the eyes; sizes are width and height."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network and what its run says of itself."""

    network: nn.Module
    """Float image in, tuple of the task's outputs in their order out."""
    task: Task
    about: dict[str, Any] = field(default_factory=dict)
    """Entries for the card: trained_on, command, seed, commit, where the run knows them."""


class _Named(nn.Module):
    """The network with its outputs as a tuple in the card's order."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        out = self.model(image)
        return tuple(out[name] for name in self.names)


class NormalizedGaze(nn.Module):
    """A gaze model for input that the SDK has cut and normalised already.

    One that looks at half the resolution shrinks its input itself, as in training, since the SDK
    does not average; one that looks at sheets also says what it sees of the eyes.

    Linear layers that follow each other (the separator's last and the heads, and the one that ends
    the backbone and what comes next) are one here, their product, which changes no answer.
    """

    def __init__(self, model: GazeModel) -> None:
        super().__init__()
        self.model = _with_linear_layers_joined(model)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        model, signs = self.model, []
        if model.architecture.backbone == EYES:
            _, pooled, eyes = model.backbone(image)
            signs = [eyes.openness] + ([eyes.points] if model.architecture.heat else [])
        else:
            if model.architecture.half:
                image = functional.avg_pool2d(image, 2)
            pooled = model.backbone.forward_head(model.backbone.forward_features(image))
        _, _, gaze, log_sigma = model.answer(pooled)
        return gaze, log_sigma.reshape(-1), *signs


def _with_linear_layers_joined(model: GazeModel) -> GazeModel:
    model = copy.deepcopy(model)
    before: nn.Module = model.projection
    if isinstance(model.separator, nn.Sequential):
        *first, module = model.separator.children()
        last = cast(nn.Linear, module)
        model.separator = nn.Sequential(*first)
        _join_heads(model, last)
        if isinstance(before, nn.Linear):
            model.separator[0] = _product(cast(nn.Linear, model.separator[0]), before)
    elif isinstance(before, nn.Linear):
        _join_heads(model, before)
    model.projection = nn.Identity()
    return model


def _join_heads(model: GazeModel, before: nn.Module) -> None:
    model.gaze = _product(model.gaze, before)
    model.sigma[0] = _product(cast(nn.Linear, model.sigma[0]), before)


@torch.no_grad()
def _product(second: nn.Module, first: nn.Module) -> nn.Linear:
    """One layer that does what both do, one after the other."""
    if not (isinstance(first, nn.Linear) and isinstance(second, nn.Linear)):
        raise TypeError(f"expected two linear layers, not {first} and {second}")
    both = nn.Linear(first.in_features, second.out_features)
    weight = second.weight.double()
    both.weight.copy_(weight @ first.weight.double())
    both.bias.copy_(weight @ first.bias.double() + second.bias.double())
    return both


def load_run(name: str, run: Path) -> Trained:
    """The network of a run, for the task ``name``.

    Raises :class:`ExportError` for a folder without one, a damaged file or weights of another
    network.
    """
    try:
        weights, about = read_weights(run)
        theirs = about["architecture"].get("network", "gaze")
        if theirs != name:
            raise ExportError(f"{run} is a run of a {theirs} network, not of {name}; check --run")
        if name == "gaze":
            return _gaze(run)
        network = NETWORKS[name]()
        load_weights(network, weights, run / f"{MODEL}.safetensors")
    except FileNotFoundError as error:
        raise ExportError(
            f"{error}, or `python -m train.front.detector` or `train.front.landmarks`; check --run"
        ) from None
    except CheckpointError as error:
        raise ExportError(str(error)) from None
    task = TASKS[name]
    return Trained(_Named(network, list(task.outputs)).eval(), task, _said_by_card(run))


def _gaze(run: Path) -> Trained:
    model = load_model(run)
    architecture = model.architecture
    if architecture.told:
        raise ExportError(
            f"{run} is of a network that is told the head's direction, for which the SDK has no "
            "input; fit one without `told`"
        )
    top, bottom = architecture.rows
    x, y = NORMALIZATION.center_px
    task = TASKS["gaze"]
    outputs, layout = task.outputs, {}
    if architecture.backbone == EYES:
        layout = _SHEET
        outputs = outputs | {"eye_openness": ["batch", 2]}
        outputs |= {"eye_points": ["batch", 2, sheets.POINTS, 2]} if architecture.heat else {}
    task = replace(
        task,
        example=(2, 3, *(sheets.SHEET_PX if layout else (bottom - top, SIZE_PX))),
        outputs=outputs,
        preprocessing={
            "color": "RGB",
            "mean": list(architecture.mean),
            "std": list(architecture.std),
            **task.preprocessing,
            "center_px": [x, y - top],
            **layout,
        },
    )
    return Trained(NormalizedGaze(model).eval(), task, _said_by_card(run))


def _said_by_card(run: Path) -> dict[str, Any]:
    path = run / f"{MODEL}.json"
    if not path.is_file():
        return {}
    card = json.loads(path.read_text())
    known = {k: card[k] for k in ("command", "seed", "commit", "architecture") if k in card}
    if "trained_on" in card:
        source = card["trained_on"]
        known["trained_on"] = source if isinstance(source, str) else json.dumps(source)
    if "network" in card["architecture"]:
        known["last_log"] = card.get("metrics", {})
    return known
