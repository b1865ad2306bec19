"""What a training run is made of, besides its data."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from train.gaze.methods import MethodOptions
from train.gaze.methods.erm import ErmOptions
from train.loop.muon import OptimizerKind
from train.loop.schedules import Schedule

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


_CHOICES = (("precision", Precision), ("schedule", Schedule), ("optimizer", OptimizerKind))


class RecipeError(ValueError):
    """A recipe that cannot be; says what was given and what is expected."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All methods share these, so that they differ in their loss alone."""

    name: str = "erm"
    method: MethodOptions = field(default_factory=ErmOptions)
    """Which method, and its options."""
    backbone: str = "resnet18"
    """``eyes``, ``small``, ``medium``, ``twin``, or a CNN of timm."""
    width: int = 512
    """Of the feature; CLIP's."""
    band: bool = False
    """See rows 32 to 127 of the crop only."""
    half: bool = False
    """See half the resolution; a quarter of the work."""
    separator: bool = False
    """With M between the backbone and the last layer."""
    signed: bool = True
    """End the backbone in a linear layer, so that its feature has both signs, as CLIP's has."""
    heat: bool = True
    """Of ``eyes``: gaze is also made of points that heat maps find."""
    told: bool = False
    """Of ``eyes``: the head's direction, as the pipeline sees it, is told."""
    standardized: bool = False
    """Of ``eyes``: each patch is seen less its own mean, over its own contrast."""
    pretrained: bool = False
    """Start from timm's weights."""
    init: str = ""
    """Folder of a run whose backbone to start from; what follows the backbone begins anew."""
    batch: int = 128
    """Images a step, over all processes."""
    epochs: float = 10.0
    """Passes over the data, unless ``steps`` says how many steps."""
    steps: int = 0
    """Optimiser steps; 0: by ``epochs``."""
    optimizer: OptimizerKind = "adamw"
    """``muon`` moves convolutions by Muon, and the rest by AdamW: faster from random weights."""
    learning_rate: float = 1e-3
    """Highest; 1e-4 is usual for pretrained weights."""
    weight_decay: float = 0.02
    schedule: Schedule = "one_cycle"
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises."""
    clip_norm: float = 5.0
    """Largest norm of the gradient; 0: any."""
    ema: float = 0.998
    """How much of the averaged weights is kept at each step; they are what is evaluated."""
    augment: float = 1.0
    """Strength of augmentation."""
    landmarks: float = 0.0
    """Weight of an auxiliary loss, where labels allow: the feature is also to tell the eyes'
    landmarks, their openness and the head's pose; of ``eyes``, the heat maps' (ours; 0: off)."""
    segmentation: float = 0.0
    """Weight beside the landmarks' of telling skin, sclera, iris and pupil apart (``eyes``)."""
    certainty: float = 0.0
    """How far samples count by the model's own certainty: 0 all alike, 1 by 1 / sigma."""
    freeze_batch_norm: bool = False
    """Keep its running statistics: for fine-tuning, and for batches of a few images."""
    precision: Precision = "auto"
    """``auto``: bfloat16 on accelerators, float32 on a CPU."""
    keep_epochs: int = 5
    """How many of the last epochs leave their averaged weights, for the spread between them."""
    seed: int = 0

    def __post_init__(self) -> None:
        positive = {"width", "batch", "learning_rate"}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, (int, float)) and (
                value < 0 or (not value and f.name in positive)
            ):
                raise RecipeError(f"{f.name} is {value}; expected a number above 0")
        if self.pretrained and self.init:
            raise RecipeError(f"pretrained and init={self.init}; a backbone has one beginning")
        if not self.steps and not self.epochs:
            raise RecipeError("neither steps nor epochs; give one")
        if not self.ema < 1 or not self.warmup < 1:
            raise RecipeError(f"ema is {self.ema}, warmup {self.warmup}; expected less than 1")
        for name, kinds in _CHOICES:
            if getattr(self, name) not in get_args(kinds):
                given = getattr(self, name)
                raise RecipeError(f"{name} is {given!r}; expected one of {get_args(kinds)}")

    def to_dict(self) -> dict[str, Any]:
        """JSON of it, with the method's options under ``method``."""
        whole: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        whole["method"] = {"is": type(self.method).__name__.removesuffix("Options")} | whole[
            "method"
        ]
        return whole


def changed(recipe: Recipe, settings: Mapping[str, str]) -> Recipe:
    """A recipe with some options set from text, such as ``{"rank": "0.5", "batch": "64"}``.

    Names are those of :class:`Recipe` or of its method's options.  Raises :class:`RecipeError`
    for a name that there is not and a value of another kind.
    """
    own = {f.name for f in fields(recipe)} - {"name", "method"}
    methods = {f.name for f in fields(recipe.method)}
    for name, text in settings.items():
        if name not in own | methods:
            near = difflib.get_close_matches(name, own | methods, n=3)
            known = near or sorted(own | methods)
            raise RecipeError(f"{recipe.name} has no option {name!r}; there is {', '.join(known)}")
        target = recipe if name in own else recipe.method
        value: Any = _parsed(name, text, getattr(target, name))
        try:
            if name in own:
                recipe = replace(recipe, **{name: value})
            else:
                method: Any = recipe.method
                recipe = replace(recipe, method=replace(method, **{name: value}))
        except RecipeError:
            raise
        except ValueError as error:
            raise RecipeError(str(error)) from None
    return recipe


def _parsed(name: str, text: str, now: object) -> object:
    """The value of a text, of the kind that the option has now."""
    try:
        if isinstance(now, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(now, tuple):
            return tuple(int(part) for part in text.split(","))
        if isinstance(now, (int, float)):
            return type(now)(text)
    except (KeyError, ValueError):
        kind = {bool: "true or false", tuple: "whole numbers and commas"}.get(type(now))
        expected = kind or f"a number such as {now}"
        raise RecipeError(f"{name} is {text!r}; expected {expected}") from None
    return text
