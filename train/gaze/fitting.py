"""Training a gaze model: a recipe, a data set and what CLIP says of it, checked and put together.

The work of ``python -m train.gaze.fit``.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric

from train.data.samples import DataError
from train.data.tables import GazeDataset
from train.gaze.checkpoints import load_model
from train.gaze.held_out import held_out_figures
from train.gaze.methods.clip_gaze import CachedImages, ClipGazeOptions, ClipTeacher, PersonTexts
from train.gaze.methods.pure_gaze import PureGazeOptions
from train.gaze.models import EYES, GazeModel, ModelError
from train.gaze.recipes import Recipe, changed, find_recipe
from train.gaze.trainer import Trainer, collate, method_for, model_for
from train.loop import devices, stopping
from train.loop.states import CheckpointError, below
from train.loop.training_loop import FitError, RunOptions
from train.loop.weight_cards import MODEL, commit, running_command

HELD_OUT = "held_out.json"
MOST_PITCH, MOST_YAW = 1.6, 3.15
"""Radians; labels beyond are degrees, or columns that are not angles."""


def train_one(
    recipe: Recipe,
    source: GazeDataset,
    out: Path | str,
    *,
    teacher: ClipTeacher | None = None,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
    held_out: GazeDataset | None = None,
    fabric: Fabric | None = None,
) -> dict[str, float]:
    """Train a recipe on a data set; returns its metrics, and leaves the files of this module.

    ``teacher`` is what CLIP-Gaze needs; ``held_out`` adds the averaged weights' figures on it
    (``train.gaze.held_out``), and writes them to held_out.json; ``fabric`` is one that was launched
    already.  Raises :class:`FitError` or another :class:`ValueError` for what cannot be, before the
    first step.
    """
    out = Path(out)
    fabric = make_fabric(recipe, options) if fabric is None else fabric
    recipe = replace(recipe, precision=devices.precision_on(recipe.precision, fabric.device.type))
    labels = source.labels()
    check_labels(source.name, labels["gaze"])
    if recipe.batch % fabric.world_size:
        raise FitError(
            f"a batch of {recipe.batch} cannot be shared by {fabric.world_size} devices; "
            "expected a multiple"
        )
    _make_folder(out)
    torch.manual_seed(recipe.seed)
    if options.deterministic:
        torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = not options.deterministic
    model = model_for(recipe)
    if recipe.init:
        start_from(model, Path(recipe.init))
    if recipe.landmarks:
        known = [labels[k] for k in ("points", "head") if k in labels]
        if not any(np.isfinite(values).any() for values in known):
            raise FitError(
                f"{source.name} knows neither landmarks nor heads, so landmarks="
                f"{recipe.landmarks:g} has nothing to learn from; set landmarks=0"
            )
    method = method_for(model, recipe)
    if method.needs_clip:
        _check_teacher(teacher, source, recipe)
    else:
        teacher = None
    config, card = _config(recipe, source, teacher), _card(recipe, model, source, teacher, fabric)
    trainer = Trainer(
        fabric,
        recipe,
        method,
        source,
        out,
        options=options,
        config=config,
        card=card,
        teacher=teacher,
    )
    metrics = trainer.run()
    if held_out is not None and metrics["finished"] and fabric.is_global_zero:
        figures = held_out_figures(load_model(out), held_out, device=fabric.device)
        (out / HELD_OUT).write_text(json.dumps(figures, indent=1) + "\n")
        metrics |= figures
    return metrics


def start_from(model: GazeModel, folder: Path) -> None:
    """Take the backbone, and the linear layer that ends it, of a finished run.

    A run without that layer gives its backbone alone, and the layer begins anew.
    Raises :class:`FitError` where there is none, or of another kind.
    """
    try:
        other = load_model(folder)
    except FileNotFoundError as error:
        raise FitError(f"init={folder}: {error}") from None
    own, theirs = model.architecture, other.architecture
    differ = [
        f"{name}={getattr(theirs, name)} (here {getattr(own, name)})"
        for name in ("backbone", "width", "band", "half", "heat", "told", "standardized")
        if getattr(own, name) != getattr(theirs, name)
    ]
    if differ:
        raise FitError(f"init={folder} has {', '.join(differ)}; set the same, or another init")
    for part in ("backbone", "projection", "mean", "std"):
        tensors = below(other.state_dict(), part)
        model.load_state_dict({f"{part}{k}": v for k, v in tensors.items()}, strict=False)
    # What its weights began with, and their licence, go on.
    model.architecture = replace(theirs, separator=own.separator, signed=own.signed)


def make_fabric(recipe: Recipe, options: RunOptions) -> Fabric:
    """Devices and precision; call ``launch()`` first where there are several devices."""
    # The decoder's turn of PureGaze leaves the model's parameters without gradient.
    unused = isinstance(recipe.method, PureGazeOptions)
    # Nothing teaches how open eyes are where the heat maps are not taught.
    unused |= recipe.backbone == EYES and not (recipe.landmarks and recipe.heat)
    return devices.make_fabric(options, recipe.precision, unused_parameters=unused)


def check_labels(name: str, gaze: Any) -> None:
    """Raise :class:`FitError` for labels that are missing, not finite or not radians."""
    gaze = np.asarray(gaze)
    if gaze.ndim != 2 or gaze.shape[1] != 2 or not len(gaze):
        raise FitError(f"{name} has gaze labels of shape {gaze.shape}; expected (samples, 2)")
    bad = ~np.isfinite(gaze).all(1)
    what = "not finite"
    if not bad.any():
        bad = (np.abs(gaze) > [MOST_PITCH, MOST_YAW]).any(1)
        what = "beyond what (pitch, yaw) in radians can be"
    if bad.any():
        first = int(bad.argmax())
        raise FitError(
            f"{bad.sum()} of {len(gaze)} gaze labels of {name} are {what}; the first is sample "
            f"{first}: {gaze[first].tolist()}. `python -m train.data check` tells more"
        )


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FitError(f"{out} cannot be the run's folder ({error}); give another") from None


def _check_teacher(teacher: ClipTeacher | None, source: GazeDataset, recipe: Recipe) -> None:
    """Look one sample up, and compare sizes."""
    if teacher is None:
        raise FitError(
            f"{recipe.name} needs CLIP's features: give --clip "
            "(from Python: teacher=make_teacher(…))"
        )
    images, texts = teacher.images, teacher.texts
    if isinstance(images, CachedImages) and len(images.table) != len(source):
        raise FitError(
            f"image features are of {len(images.table)} samples, {source.name} has {len(source)}; "
            "make them again"
        )
    if isinstance(texts, PersonTexts) and len(texts.table) not in (1, len(source.people)):
        raise FitError(
            f"text features are of {len(texts.table)} people, {source.name} has "
            f"{len(source.people)}; make them again"
        )
    found = teacher.of(collate([source[0]]))
    for name, value in found.items():
        if value.shape[-1] != recipe.width:
            raise FitError(
                f"{name} are {value.shape[-1]} wide and the model's are {recipe.width}; set width="
                f"{value.shape[-1]}"
            )


def _config(recipe: Recipe, source: GazeDataset, teacher: ClipTeacher | None) -> dict[str, Any]:
    """What a run must be gone on with."""
    return {
        "recipe": recipe.to_dict(),
        "source": {
            "name": source.name,
            "samples": len(source),
            "people": len(source.people),
            "signature": source.signature(),
        },
        "clip": teacher.name if teacher is not None else None,
        "init": _weights_sha256(Path(recipe.init)) if recipe.init else None,
    }


def _weights_sha256(folder: Path) -> str:
    return str(json.loads((folder / f"{MODEL}.json").read_text())["sha256"])


def _card(
    recipe: Recipe,
    model: GazeModel,
    source: GazeDataset,
    teacher: ClipTeacher | None,
    fabric: Fabric,
) -> dict[str, Any]:
    config = _config(recipe, source, teacher)
    return {
        **model.card(),
        "trained_on": config["source"],
        "recipe": config["recipe"],
        "clip": config["clip"],
        "init_sha256": config["init"],
        "seed": recipe.seed,
        "commit": commit(),
        "command": running_command(),
        "devices": f"{fabric.world_size} {fabric.device.type}",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


_SHORT = ("seed", "epochs", "steps", "batch", "backbone", "precision", "learning_rate")


def _recipe_of(args: argparse.Namespace) -> Recipe:
    settings = {name: getattr(args, name) for name in _SHORT if getattr(args, name) is not None}
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise FitError(f"--set {text}; expected NAME=VALUE")
        settings[name.replace("-", "_")] = value
    return changed(find_recipe(args.method), settings)


def _prepared(args: argparse.Namespace, fabric: Fabric, recipe: Recipe) -> tuple[Any, Any, Any]:
    """Source, teacher and held-out data set."""
    from train.data.cache import cached
    from train.data.registry import open_dataset

    source = open_dataset(args.source)
    if args.decoded:
        source = cached(source, args.decoded)
    held_out = open_dataset(args.held_out) if args.held_out else None
    teacher = None
    if isinstance(recipe.method, ClipGazeOptions):
        if args.clip is None:
            raise FitError(f"{recipe.name} needs CLIP: give --clip, such as ViT-B-16:openai")
        from train.clip.teacher import TeacherOptions, make_teacher

        about = TeacherOptions(
            args.clip,
            args.cache or args.out.with_name(args.out.name + "-features"),
            args.prompts,
            str(fabric.device),
            args.workers,
            args.identity,
        )
        with fabric.rank_zero_first():  # which makes the cache that the others read
            teacher = make_teacher(source, recipe.method, about)
    return source, teacher, held_out


def run(args: argparse.Namespace) -> int:
    """Train as the command says; returns the exit code."""
    options = RunOptions(
        accelerator=args.accelerator,
        devices=args.devices,
        workers=args.workers,
        max_minutes=args.max_minutes,
        deterministic=args.deterministic,
    )
    try:
        recipe = _recipe_of(args)
        fabric = make_fabric(recipe, options)
        fabric.launch()
        source, teacher, held_out = _prepared(args, fabric, recipe)
    except (ValueError, FileNotFoundError) as error:
        return _refused(error)
    try:
        with stopping.on_sigterm():
            metrics = train_one(
                recipe,
                source,
                args.out,
                teacher=teacher,
                options=options,
                held_out=held_out,
                fabric=fabric,
            )
    except (FitError, ModelError, CheckpointError, DataError) as error:
        return _refused(error)
    if fabric.is_global_zero:
        print("  ".join(f"{k} {v:.6g}" for k, v in metrics.items()))
        if not metrics["finished"]:
            print("stopped, by --max-minutes or SIGTERM; the same command goes on")
    return 0


def _refused(error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2
