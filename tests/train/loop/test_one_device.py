"""Every recipe computes on its device alone, and never waits for it between two logs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.train.front.front_recipes import detector_recipe, landmark_recipe
from tests.train.gaze_sources import WithLandmarks, small_recipe, teacher_for
from tests.train.one_device import MetaFabric, refused, steps_on_meta
from train.front.training import FrontLearner, FrontTraining
from train.gaze.methods import make_method
from train.gaze.models import GazeModel
from train.gaze.step_times import RandomCrops
from train.gaze.trainer import Trainer
from train.loop.training_loop import LoopOptions, RunOptions

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*lr_scheduler.*"
)
META = torch.device("meta")


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("make", [detector_recipe, landmark_recipe])
def test_front_end(make, optimizer, tmp_path: Path) -> None:
    recipe = make()
    learner = FrontLearner(recipe.network().to(META), recipe)
    options = LoopOptions(steps=9, batch=5, learning_rate=1e-3, optimizer=optimizer)
    loop = FrontTraining(MetaFabric(), learner, tmp_path, options, RunOptions(), {}, {})
    sums = steps_on_meta(loop)
    assert {"loss", "points"} <= sums.keys()


@pytest.mark.parametrize("name", ["erm", "cdg", "pure_gaze", "clip_gaze", "landmarks", "twin"])
def test_gaze(name, tmp_path: Path) -> None:
    if name == "landmarks":
        recipe, source = small_recipe("erm", landmarks=1.0), WithLandmarks(10, people=3)
    elif name == "twin":
        recipe, source = small_recipe("clip_gaze", backbone="twin", half="true"), RandomCrops(10)
    else:
        recipe, source = small_recipe(name), RandomCrops(10, people=3)
    model = GazeModel(
        recipe.backbone,
        recipe.width,
        band=recipe.band,
        half=recipe.half,
        separator=recipe.separator,
    )
    method = make_method(model, recipe.method)
    if recipe.landmarks:
        method.add_landmarks(recipe.landmarks)
    trainer = Trainer(
        MetaFabric(),
        recipe,
        method.to(META),
        source,
        tmp_path,
        options=RunOptions(),
        config={},
        card={},
        teacher=teacher_for(recipe, source),
    )
    assert {"loss", "error_deg"} <= steps_on_meta(trainer).keys()


def test_what_it_would_see() -> None:
    """Faults of the kind that it is for."""
    there = torch.zeros(3, device=META)
    assert "of tensors on ['cpu', 'meta']" in refused(lambda: there[torch.tensor([0, 2])])
    assert refused(lambda: there + torch.ones(3))
    assert "copied to the device" in refused(lambda: torch.ones(3).to(META))
    assert refused(lambda: float(there.sum()))
    assert refused(lambda: there.nonzero())
    assert not refused(lambda: there + torch.ones(3).to(META, non_blocking=True) * 2.0)
