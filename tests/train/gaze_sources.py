"""Small recipes of gaze and what they train on."""

from __future__ import annotations

import torch

from train.data.samples import EYE_POINTS
from train.gaze.methods.clip_gaze import ClipGazeOptions
from train.gaze.recipes import changed, find_recipe
from train.gaze.step_times import RandomCrops, random_teacher

WIDTH = 16


def small_recipe(name="erm", **settings):
    texts = {"backbone": "small", "width": WIDTH, "band": "true", "batch": 4, "steps": 5}
    return changed(find_recipe(name), {k: str(v) for k, v in {**texts, **settings}.items()})


def teacher_for(recipe, source):
    is_clip = isinstance(recipe.method, ClipGazeOptions)
    return random_teacher(source, recipe.width, factors=5) if is_clip else None


class WithLandmarks(RandomCrops):
    """The same noise, with eyes' landmarks."""

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        points = 224 * torch.rand(len(EYE_POINTS), 2, generator=generator)
        head = 0.2 * torch.randn(2, generator=generator)
        known = {"points": points, "openness": torch.tensor([0.5, 0.7]), "head": head}
        return super().__getitem__(index) | known

    def labels(self):
        items = [self[k] for k in range(len(self))]
        known = {k: torch.stack([i[k] for i in items]).numpy() for k in ("points", "head")}
        return super().labels() | known
