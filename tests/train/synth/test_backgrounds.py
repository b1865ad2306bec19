"""Backgrounds: every kind has its sizes, is the same each time, differs, and follows the light."""

from __future__ import annotations

import numpy as np
import pytest

from train.synth.places import textures
from train.synth.places.backgrounds import KINDS, Backgrounds, baked
from train.synth.places.lighting import LUMINANCE, backdrop, sample_lighting
from train.synth.places.scenery import SIDE


def test_the_kinds():
    assert set(KINDS) == {
        *("plain", "room", "office", "car_interior", "street"),
        *("nature", "textures", "bokeh", "clutter"),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_baked_picture_is_always_the_same_and_shows_something(kind):
    first = baked(kind, 0)
    assert first.shape == (SIDE, SIDE, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, baked.__wrapped__(kind, 0))
    brightness = first.mean(-1)
    assert 60 < brightness.mean() < 190
    assert brightness.std() > 5


@pytest.mark.parametrize("kind", ["plain", "bokeh", "textures"])
def test_parts_have_the_size_asked_for_and_are_deterministic(kind):
    pool = Backgrounds(per_kind=2)
    for width, height in ((400, 400), (120, 300), (700, 500), (33, 20)):
        part = pool.sample(np.random.default_rng(4), kind, width, height)
        assert part.shape == (height, width, 3)
        assert part.dtype == np.float32
        assert part.min() >= 0
        again = Backgrounds(per_kind=2).sample(np.random.default_rng(4), kind, width, height)
        assert np.array_equal(part, again)
    parts = [pool.sample(np.random.default_rng(k), kind, 64, 64) for k in range(6)]
    assert len({p.tobytes() for p in parts}) == 6


def test_the_light_sets_brightness_and_colour():
    pool = Backgrounds(per_kind=2)
    levels = {}
    for name in ("none", "back_light"):
        lighting = sample_lighting(np.random.default_rng(1), "window", {name: True})
        parts = [pool.sample(np.random.default_rng(k), "plain", 80, 80, lighting) for k in range(6)]
        levels[name] = np.mean(parts)
        near = backdrop(lighting) @ LUMINANCE
        assert levels[name] == pytest.approx(np.clip(near, 0.05, 1.1), rel=0.7)
    assert levels["back_light"] > 2 * levels["none"]

    tinted = {}
    for name in ("warm_light", "cool_light"):
        lighting = sample_lighting(np.random.default_rng(1), "studio", {name: True})
        part = pool.sample(np.random.default_rng(0), "plain", 80, 80, lighting)
        tinted[name] = part[..., 0].mean() / part[..., 2].mean()
    assert tinted["warm_light"] > 1.5 * tinted["cool_light"]

    lighting = sample_lighting(np.random.default_rng(1), "studio", {"near_infrared": True})
    part = pool.sample(np.random.default_rng(0), "bokeh", 80, 80, lighting)
    assert np.ptp(part, -1).max() == 0


@pytest.mark.parametrize("texture", textures.TEXTURES)
def test_textures_are_reflectances(texture):
    image = texture(np.random.default_rng(3), 128, 160)
    assert image.shape == (128, 160, 3)
    assert np.isfinite(image).all()
    assert image.min() > -0.3
    assert np.quantile(image, 0.95) < 1.5
    assert image.std() > 0.001


def test_fractal_noise_is_standard_and_stretches():
    noise = textures.field(np.random.default_rng(0), 200, 200, cells=10, aspect=4)
    assert noise.mean() == pytest.approx(0, abs=1e-4)
    assert noise.std() == pytest.approx(1, abs=1e-3)
    along, across = np.abs(np.diff(noise, axis=1)).mean(), np.abs(np.diff(noise, axis=0)).mean()
    assert along < 0.5 * across
