"""What is rendered, and what is trained on it: one plan for idle cores and for a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.gaze.recipes import Recipe, changed, find_recipe
from train.json_files import read_json

EYES = Path(__file__).with_name("eyes.json")


class PlanError(ValueError):
    """A plan that cannot be read; says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One run of a training that goes on: the rows there are by then, and how long it looks."""

    rows: int
    image_steps: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Rendered people, the recipe, and how both grow."""

    domains: str
    """As ``train.synth --domain`` takes them."""
    seed: int
    """Of the people that are trained on."""
    held_out_seed: int
    """Of those that are never trained on; neither is a frozen set's."""
    held_out_rows: int
    method: str
    settings: dict[str, str]
    """Options of ``train.gaze.fit --set``."""
    generations: tuple[Generation, ...]

    def recipe(self, generation: int, init: Path | None = None) -> Recipe:
        """The recipe of a generation, which starts from the backbone of the one before."""
        recipe = changed(find_recipe(self.method), self.settings)
        steps = max(self.generations[generation].image_steps // recipe.batch, 1)
        more = {"steps": str(steps)} | ({"init": str(init)} if init is not None else {})
        return changed(recipe, more)


def read_plan(path: Path = EYES) -> Plan:
    """The plan in a JSON file; raises :class:`PlanError`, or RecipeError for an option's value."""
    try:
        there: dict[str, Any] = dict(read_json(path))
        generations = tuple(Generation(**g) for g in there.pop("generations"))
        plan = Plan(generations=generations, **there)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(f"{path} is no plan ({error}); compare it with {EYES.name}") from None
    rows = [g.rows for g in generations]
    if not rows or rows != sorted(rows) or rows[0] < 1:
        raise PlanError(f"{path}: generations have {rows} rows; expected one or more, growing")
    if plan.seed == plan.held_out_seed:
        raise PlanError(f"{path}: seed and held_out_seed are both {plan.seed}; expected two people")
    plan.recipe(0)
    return plan
