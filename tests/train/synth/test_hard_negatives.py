"""Things that are no faces."""

from __future__ import annotations

import numpy as np
import pytest

from train.synth.outputs.hard_negatives import PAINTERS, SIDE_PX, WEIGHTS, hard_negative, scrambled


@pytest.mark.parametrize("name", PAINTERS)
def test_every_thing_is_premultiplied_light_with_an_outline(name):
    assert WEIGHTS[name] > 0
    for seed in range(6):
        thing = PAINTERS[name](np.random.default_rng(seed), 96)
        assert thing.shape == (96, 96, 4)
        assert thing.dtype == np.float32
        assert np.isfinite(thing).all()
        assert thing.min() >= 0
        assert thing[..., 3].max() <= 1 + 1e-5
        assert 0.02 < thing[..., 3].mean() < 0.98
        assert thing[..., :3][thing[..., 3] == 0].max(initial=0) == 0


def test_the_same_seed_draws_the_same_and_another_does_not():
    first, again, other = (hard_negative(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (SIDE_PX, SIDE_PX, 4)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_scrambled_face_is_no_longer_where_it_was():
    rgba = np.random.default_rng(0).random((120, 100, 4)).astype(np.float32)
    box = np.array([20.0, 30.0, 80.0, 110.0])
    for seed in range(40):
        apart = scrambled(np.random.default_rng(seed), rgba, box)
        assert np.array_equal(apart[:30], rgba[:30])
        assert np.array_equal(apart[:, 80:], rgba[:, 80:])
        changed = (apart != rgba).any(-1)[30:110, 20:80]
        assert changed.mean() > 0.2, seed


def test_a_face_of_a_few_pixels_is_left_alone():
    rgba = np.ones((20, 20, 4), np.float32)
    assert np.array_equal(scrambled(np.random.default_rng(0), rgba, np.array([5, 5, 12, 12])), rgba)
