"""Every factor of the table is drawn: it visibly changes the face crop."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from train.factors import FACTORS, factor
from train.synth.domains import domain
from train.synth.figure.people import IDENTITY_SPREAD, SHAPE_FACTORS, ShapeScores
from train.synth.outputs.preview import switched_pair
from train.synth.without import without

SWITCHABLE = [f.name for f in FACTORS if f.scope != "identity"]
VISIBLE = 1.2
"""Least mean difference, in grey levels, of the tenth of the pixels that change most."""


@pytest.mark.parametrize("name", SWITCHABLE)
def test_a_factor_changes_the_crop(studio, name):
    """The largest of three people's differences: a fringe may miss a crop, a mole may be hidden."""
    chosen = without(domain("laptop"), "sensor") if name not in QUALITY else domain("laptop")
    differences = []
    for index in (8, 24, 40):
        off, on = switched_pair(studio, name, 61, index, chosen)
        assert off.record["factors"][name] is False
        assert on.record["factors"][name] is True
        change = np.abs(on.rgb.astype(int) - off.rgb).mean(-1).ravel()
        differences.append(np.sort(change)[-len(change) // 10 :].mean())
        if differences[-1] > 3 * VISIBLE:
            break
    assert max(differences) > VISIBLE, differences


QUALITY = {f.name for f in FACTORS if f.dimension == "image quality"}


@pytest.mark.parametrize("name", [f.name for f in FACTORS])
def test_what_is_said_to_draw_a_factor_exists(name):
    room, module, *path = factor(name).drawn_by.split(".")
    found = importlib.import_module(f"train.synth.{room}.{module}")
    for part in path:
        found = getattr(found, part)
    assert callable(found)


def test_identity_factors_follow_the_coefficients(kit):
    """A linear map of the coefficients explains each shape score: identity can tell of it."""
    scores = ShapeScores(kit)
    rng = np.random.default_rng(1)
    identities = rng.normal(0, IDENTITY_SPREAD, (600, 100)).astype(np.float32)
    table = [scores.measure(identity) for identity in identities]
    design = np.hstack([identities, np.ones((600, 1), np.float32)])
    for name in SHAPE_FACTORS:
        values = np.array([row[name] for row in table])
        assert abs(values.mean()) < 0.2
        assert 0.8 < values.std() < 1.2
        weights = np.linalg.lstsq(design[:450], values[:450], rcond=None)[0]
        left = values[450:] - design[450:] @ weights
        assert 1 - left.var() / values[450:].var() > 0.8, name
