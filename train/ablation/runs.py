"""The runs of an ablation: data, prompts and CLIP's features made once; each run skipped when done.

Several processes may be given the same command: each takes runs that no other has, as a run is
locked while it is made.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipgaze_sdk.writing import write_files
from train.ablation.plan import PROMPT_RUNS, Preset, Variant
from train.ablation.report import HELD_OUT, SHORT
from train.clip.clip_models import Clip, load_clip
from train.clip.prompt_tuning import Options as PromptOptions
from train.clip.prompt_tuning import run as tune_prompts
from train.clip.prompts import factor_rows
from train.clip.teacher import TeacherOptions, make_teacher
from train.data.registry import open_dataset, parse_spec
from train.data.samples import DataError, GazeDataset
from train.data.views import split_people
from train.eval.protocol import Figures, assess
from train.factors import DIMENSIONS
from train.gaze.fitting import train_one
from train.gaze.methods.clip_gaze import ClipGazeOptions, ClipTeacher, TextFeatures
from train.gaze.recipes import Recipe, changed, find_recipe
from train.loop.states import STATE, check_same
from train.loop.training_loop import RunOptions

HELD_OUT_SHARE = 0.1


class AblationError(ValueError):
    """An ablation that cannot be; says what was given and what is expected."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an ablation runs, and for how long."""

    out: Path
    clip: str
    device: str = "cpu"
    workers: int = 0
    threads: int = 1
    identity: Path | None = None
    """Folder of ``train.clip.identity``, for sources of photographs."""
    deadline: float | None = None
    """By :func:`time.monotonic`; no run is begun after it, and the one at work stops."""

    def left_minutes(self) -> float:
        """Until the deadline; infinite without one."""
        if self.deadline is None:
            return float("inf")
        return (self.deadline - time.monotonic()) / 60


class SomeFactors:
    """Text features of some factors of a teacher's."""

    def __init__(self, texts: TextFeatures, rows: Sequence[int]) -> None:
        self.texts, self.rows = texts, list(rows)

    def features(self, person: Tensor, image_features: Tensor | None = None) -> Tensor:
        """(…, chosen factors, width)."""
        return self.texts.features(person, image_features)[..., self.rows, :]


@dataclass(slots=True)
class Bench:
    """Data, and what is made of them once."""

    source: GazeDataset
    """People to train on."""
    targets: dict[str, GazeDataset]
    """By column; the first are held-out people of the source."""
    specs: tuple[str, ...]
    """Of the source."""
    preset: Preset
    place: Place
    _teacher: tuple[str, ClipTeacher] | None = None
    _clip: Clip | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the targets proper."""
        return tuple(name for name in self.targets if name != HELD_OUT)

    def recipe(self, variant: Variant, seed: int) -> Recipe:
        """Of a run."""
        settings = {**self.preset.recipe, **variant.settings, "seed": str(seed)}
        if self.preset.base_steps:
            settings["init"] = str(self.base)
        return changed(find_recipe(variant.recipe), settings)

    @property
    def base(self) -> Path:
        """Folder of the run from which the backbone of every run starts."""
        return self.place.out / "base"

    def make_base(self) -> Figures | None:
        """Metrics of the base, which is trained now if it is not there; None if unfinished."""
        settings = {**self.preset.recipe, "steps": str(self.preset.base_steps), "seed": "0"}
        recipe = changed(find_recipe("erm"), settings)
        config = {
            "recipe": recipe.to_dict() | {"precision": None},
            "source": self.source.signature(),
        }
        with locked(self.base.with_suffix(".lock")):
            done = read_done(self.base, config)
            left = self.place.left_minutes()
            if done is not None or left <= 0:
                return done
            done = train_one(recipe, self.source, self.base, options=run_options(self.place))
            if not done["finished"]:
                return None
            write_done(self.base, config, done)
            (self.base / STATE).unlink(missing_ok=True)
        return done

    def teacher(self, variant: Variant, recipe: Recipe) -> ClipTeacher | None:
        """What CLIP says for a variant; the last one is kept."""
        if not isinstance(recipe.method, ClipGazeOptions):
            return None
        key = f"{variant.prompts} {variant.dimensions}"
        if self._teacher is None or self._teacher[0] != key:
            with locked(self.place.out / "features.lock"):
                self._teacher = key, self._make_teacher(variant, recipe.method)
        return self._teacher[1]

    def _make_teacher(self, variant: Variant, method: ClipGazeOptions) -> ClipTeacher:
        prompts = None
        if variant.prompts != "hand":
            seed = self.preset.prompt_seeds[0]
            prompts = self.prompts(variant.prompts) / f"seed{seed}"
        place = self.place
        options = TeacherOptions(
            place.clip,
            place.out / "cache",
            prompts,
            place.device,
            place.workers,
            place.identity,
        )
        teacher = make_teacher(self.source, method, options)
        name = f"{teacher.name}, {variant.prompts}"
        texts = teacher.texts
        if set(variant.dimensions) != set(DIMENSIONS):
            texts = SomeFactors(texts, factor_rows(variant.dimensions))
            name += f", factors of {', '.join(variant.dimensions)}"
        return replace(teacher, texts=texts, name=name)

    def prompts(self, name: str) -> Path:
        """Folder of tuned prompts, which are tuned now if they are not there."""
        kind, shuffle = PROMPT_RUNS[name]
        place, preset = self.place, self.preset
        out = place.out / "prompts" / name
        with locked(place.out / f"prompts-{name}.lock"):
            if self._clip is None:
                self._clip = load_clip(place.clip, device=place.device)
            clip = self._clip
            source = some_people(self.source, preset.prompt_images)
            seeds, epochs = preset.prompt_seeds, preset.prompt_epochs
            if kind == "cocoop":
                seeds, epochs = seeds[:1], 1
            config = {
                "clip": clip.fingerprint,
                "source": source.signature(),
                "epochs": epochs,
                "learning_rate": preset.prompt_rate,
                "seeds": list(seeds),
            }
            if read_done(out, config) is None:
                options = PromptOptions(
                    clip=place.clip,
                    source=self.specs,
                    kind=kind,
                    out=out,
                    cache=place.out / "cache",
                    shuffle_identity=shuffle,
                    identity=place.identity,
                    epochs=epochs,
                    learning_rate=preset.prompt_rate,
                    seeds=seeds,
                    threads=place.threads,
                    device=place.device,
                )
                figures = tune_prompts(options, clip, source)
                write_done(out, config, figures)
        return out


def label_of(spec: str) -> str:
    """A data set's letter in published tables, or the name of its folder."""
    parsed = parse_spec(spec)
    return SHORT.get(parsed.name, parsed.root.resolve().name)


def specs_below(data: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Specs of source and targets in a folder of folders of rendered crops.

    Folders ``source`` and ``source-…`` are the source, joined; all others that hold crops are
    targets.  Raises :class:`AblationError` where either is missing.
    """
    folders = sorted(p.parent for p in data.glob("*/manifest.json"))
    sources = [p for p in folders if p.name.split("-")[0] == "source"]
    targets = [p for p in folders if p not in sources]
    if not sources or not targets:
        there = ", ".join(p.name for p in folders) or "none"
        raise AblationError(
            f"{data} holds folders of rendered crops: {there}; expected `source` (or several "
            "`source-NAME`) and at least one other: write each with "
            "`python -m train.synth write --product crops`, every one with a seed of its own"
        )
    return tuple(f"rendered:{p}" for p in sources), tuple(f"rendered:{p}" for p in targets)


def open_bench(
    sources: Sequence[str],
    targets: Sequence[str],
    preset: Preset,
    place: Place,
    *,
    decoded: bool = False,
) -> Bench:
    """Open all data; a tenth of the source's people is held out and measured beside the targets.

    ``decoded`` keeps all crops decoded on disk.  Raises :class:`AblationError` for targets of one
    name, or one whose people are the source's.
    """
    source = open_dataset(list(sources), strict=True)
    named = {}
    short = "+".join(label_of(s).removeprefix("source-") for s in sources)
    for spec in targets:
        column = f"{short}→{label_of(spec)}"
        if column in named:
            raise AblationError(f"two targets are called {label_of(spec)}; rename a folder")
        named[column] = open_dataset(spec, strict=True)
        common = {p.rpartition("/")[2] for p in source.people} & set(named[column].people)
        if common and all(s.startswith("rendered:") for s in (spec, *sources)):
            raise AblationError(
                f"{spec} has {len(common)} people of the source, such as {min(common)}; render it "
                "with another --seed"
            )
    if decoded:
        from train.data.cache import cached

        folder = place.out / "cache" / "crops"
        with locked(place.out / "crops.lock"):
            source = cached(source, folder)
            named = {column: cached(dataset, folder) for column, dataset in named.items()}
    try:
        train, held_out = split_people(source, (1 - HELD_OUT_SHARE, HELD_OUT_SHARE), 0)
    except DataError as error:
        raise AblationError(str(error)) from None
    return Bench(train, {HELD_OUT: held_out, **named}, tuple(sources), preset, place)


def some_people(dataset: GazeDataset, images: int) -> GazeDataset:
    """Whole people drawn at random, until they have so many images; 0: everybody."""
    if not images or images >= len(dataset):
        return dataset
    person = dataset.labels()["person"]
    order = np.random.default_rng(67).permutation(len(dataset.people))
    count = np.cumsum(np.bincount(person, minlength=len(order))[order])
    return dataset.subset(np.isin(person, order[: int(np.searchsorted(count, images)) + 1]))


def run_one(bench: Bench, variant: Variant, seed: int) -> Figures | None:
    """The result of a run, made now if it is not there; None where it is not finished.

    Raises :class:`~train.gaze.checkpoints.CheckpointError` for a run of other options.
    """
    folder = bench.place.out / "runs" / variant.name / f"seed{seed}"
    recipe = bench.recipe(variant, seed)
    config = {
        "recipe": recipe.to_dict() | {"precision": None},
        "prompts": variant.prompts if isinstance(recipe.method, ClipGazeOptions) else None,
        "dimensions": list(variant.dimensions),
        "clip": bench.place.clip if isinstance(recipe.method, ClipGazeOptions) else None,
        "source": bench.source.signature(),
        "targets": {name: dataset.signature() for name, dataset in bench.targets.items()},
    }
    done = read_done(folder, config)
    if done is not None or bench.place.left_minutes() <= 0:
        return done
    if bench.preset.base_steps and bench.make_base() is None:
        return None
    with locked(folder.with_suffix(".lock"), wait=False) as free:
        if not free:
            return None
        done = read_done(folder, config)  # by another process, in the meantime
        if done is not None:
            return done
        teacher = bench.teacher(variant, recipe)
        options = run_options(bench.place)
        metrics = train_one(recipe, bench.source, folder, teacher=teacher, options=options)
        if not metrics["finished"]:
            return None
        data = {
            name: assess([folder], dataset, device=bench.place.device, workers=bench.place.workers)
            for name, dataset in bench.targets.items()
        }
        result = {"variant": variant.name, "seed": seed, "metrics": metrics, "data": data}
        write_done(folder, config, result)
        # Nothing will go on from it, and it is three times as large as the weights.
        (folder / STATE).unlink(missing_ok=True)
        return result


def run_options(place: Place) -> RunOptions:
    """Of a run that begins now."""
    left = place.left_minutes()
    return RunOptions(
        accelerator="cuda" if place.device.startswith("cuda") else "cpu",
        workers=place.workers,
        max_minutes=0.0 if np.isinf(left) else max(left, 0.01),
        tensorboard=False,
    )


def read_done(folder: Path, config: Mapping[str, Any]) -> Figures | None:
    """What a finished step left; raises :class:`CheckpointError` where it is of other options."""
    path = folder / "done.json"
    if not path.is_file():
        return None
    there = json.loads(path.read_text())
    check_same(folder, there["config"], config)
    result: Figures = there["result"]
    return result


def write_done(folder: Path, config: Mapping[str, Any], result: Figures) -> None:
    """Note that a step is finished, at once."""
    folder.mkdir(parents=True, exist_ok=True)
    done = json.dumps({"config": config, "result": result})
    write_files({folder / "done.json": f"{done}\n".encode()})


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Whether this process has the lock; it is freed at the end, or when the process ends.

    Where the system has no such locks (Windows) everybody has it: give one process the work there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield True
        return
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def device_name(device: str) -> str:
    """For the report."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    import os
    import platform

    return f"{os.cpu_count()} CPU cores ({platform.machine()}), {torch.get_num_threads()} threads"
