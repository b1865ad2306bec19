"""What a long run does next, from what lies in its folder.

A stage is a command of this project that goes on where it was: ``train.synth pool`` for rows,
``train.gaze.fit`` for a generation or a run of the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from train.gaze.fitting import HELD_OUT
from train.runs.plan import Plan
from train.synth.outputs.pool import CropPool, PoolError
from train.synth.outputs.studio import VERSION

RENDER, TRAIN, COMPARE = "render", "train", "compare"


@dataclass(frozen=True, slots=True)
class Stage:
    """What is to be done next."""

    kind: str
    generation: int
    command: list[str]
    about: str
    run: Path
    """Where it leaves what it makes."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a long run keeps what; pools are of one version of the renderer."""

    folder: Path

    @property
    def pool(self) -> Path:
        """Rows that are trained on."""
        return self.folder / f"pool-v{VERSION}"

    @property
    def held_out(self) -> Path:
        """Rows that are not."""
        return self.folder / f"held-out-v{VERSION}"

    def generation(self, number: int) -> Path:
        """The run of a generation."""
        return self.folder / f"generation-v{VERSION}-{number}"

    def compared(self, name: str, seed: int) -> Path:
        """The run of a variant of the comparison."""
        return self.folder / f"comparison-v{VERSION}" / f"{name}-{seed}"


def whole_rows(folder: Path) -> int:
    """How many rows of a pool are whole; 0 where there is none yet."""
    try:
        return len(CropPool(folder).rows())
    except PoolError:
        return 0


def finished(run: Path) -> bool:
    """Whether a run left its network, and its figures, which come last."""
    return (run / HELD_OUT).is_file()


def missing_rows(folder: Path, rows: int) -> int:
    """How many of a pool's first rows are not whole; all of them where there is no pool yet."""
    try:
        return len(CropPool(folder).missing(rows))
    except PoolError:
        return rows


def next_stage(plan: Plan, places: Places) -> Stage | None:
    """What comes next; None where all generations are finished."""
    for number, generation in enumerate(plan.generations):
        run = places.generation(number)
        if finished(run):
            if number == plan.comparison.after:
                compared = _compared(plan, places)
                if compared is not None:
                    return compared
            continue
        for folder, seed, rows in (
            (places.held_out, plan.held_out_seed, plan.held_out_rows),
            (places.pool, plan.seed, generation.rows),
        ):
            missing = missing_rows(folder, rows)
            if missing:
                command = _rendering(plan, folder, seed, rows)
                about = f"{rows - missing} of {rows} rows of {folder.name}"
                return Stage(RENDER, number, command, about, folder)
        settings = {**plan.settings, "steps": str(plan.recipe(number).steps)}
        if number:
            settings["init"] = str(places.generation(number - 1))
        command = _training(plan, places, run, settings, generation.rows)
        return Stage(TRAIN, number, command, f"{generation.image_steps} images", run)
    return None


def _compared(plan: Plan, places: Places) -> Stage | None:
    """The next run of the comparison that is not finished."""
    for name, seed in plan.comparison.runs():
        run = places.compared(name, seed)
        if not finished(run):
            settings = plan.settings | plan.comparison.variants[name]
            settings |= {"steps": str(plan.compared(name, seed).steps), "seed": str(seed)}
            rows = plan.generations[plan.comparison.after].rows
            command = _training(plan, places, run, settings, rows)
            return Stage(COMPARE, plan.comparison.after, command, f"{name}, seed {seed}", run)
    return None


def _rendering(plan: Plan, folder: Path, seed: int, rows: int) -> list[str]:
    size = plan.held_out_rows if seed == plan.held_out_seed else most_rows(plan)
    return [
        *("-m", "train.synth", "pool", "--out", str(folder), "--workers", "1"),
        *("--domain", plan.domains, "--seed", str(seed)),
        *("--count", str(rows), "--size", str(size)),
    ]


def _training(
    plan: Plan, places: Places, run: Path, settings: dict[str, str], rows: int
) -> list[str]:
    chosen = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    return [
        *("-m", "train.gaze.fit", "--method", plan.method, "--workers", "0"),
        *("--source", f"pool:{places.pool}?first={rows}"),
        *("--held-out", f"pool:{places.held_out}"),
        *("--out", str(run), "--accelerator", "cpu", *chosen),
    ]


def most_rows(plan: Plan) -> int:
    """Rows of the last generation, for which a pool's room is made."""
    return plan.generations[-1].rows
