"""The table of factors, and how they are drawn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from train.factors import FACTORS, HEADWEAR, PROMPT, factor, is_shown, with_factor
from train.synth.chances import INFLUENCES, sample_person_factors, sample_picture_factors
from train.synth.domains import domain
from train.synth.streams import Streams

DRAWS = 2000
NAMES = [f.name for f in FACTORS]


def shape_of(index):
    scores = np.random.default_rng([7, index])
    return {f.name: float(scores.normal()) for f in FACTORS if f.scope == "identity"}


def draw(index, preset):
    person = sample_person_factors(Streams(0, 1, index), shape_of(index), preset)
    return sample_picture_factors(Streams(0, 2, index), person, preset)


@pytest.fixture(scope="module")
def draws():
    return [draw(i, domain("mix")) for i in range(DRAWS)]


@pytest.fixture(scope="module")
def columns(draws):
    return {name: np.array([on[name] for on in draws]) for name in NAMES}


def breaches(on):
    """Rules that ``on`` breaks: (name, other)."""
    return [
        (f.name, other)
        for f in FACTORS
        if on[f.name]
        for other in (
            *(n for n in f.excludes if on[n]),
            *(n for n in f.needs if not on[n]),
        )
    ]


def test_the_table_is_whole():
    assert len(NAMES) == len(set(NAMES)) >= 40
    assert {f.dimension for f in FACTORS} == {"appearance", "wearable", "image quality"}
    phrases = [p for f in FACTORS for p in (f.positive, f.negative)]
    assert len(set(phrases)) == len(phrases)
    assert PROMPT.format("a full beard") == "An image of a face with a full beard."
    for f in FACTORS:
        assert len(f.drawn_by.split(".")) >= 3, f.name
        for other in (*f.excludes, *f.needs, *f.hidden_by, *f.doubtful_with):
            assert other in NAMES, f.name
            assert other != f.name
        for other in f.excludes:
            assert f.name in factor(other).excludes  # symmetric


def test_what_a_factor_depends_on_is_drawn_before_it():
    for name, parents in INFLUENCES.items():
        assert all(NAMES.index(parent) < NAMES.index(name) for parent in parents), name
    # A person's factor cannot wait for a picture's.
    for f in FACTORS:
        before = [*f.needs, *INFLUENCES.get(f.name, {})]
        if f.scope == "person":
            assert all(factor(n).scope != "picture" for n in (*before, *f.excludes)), f.name


def test_an_unknown_name_is_an_error_with_near_names():
    with pytest.raises(KeyError, match=r"did you mean .*sunglasses"):
        factor("sunglases")
    with pytest.raises(KeyError, match=r"known: feminine, old"):
        factor("zzzzzz")


def test_needs_and_exclusions_hold(draws):
    assert all(list(on) == NAMES for on in draws)
    assert [b for on in draws for b in breaches(on)] == []
    assert max(sum(on[n] for n in HEADWEAR) for on in draws) == 1


def test_frequencies_are_within_4_and_96_percent(columns):
    for f in FACTORS:
        share = columns[f.name].mean()
        assert 0.04 <= share <= 0.96, f.name
        if f.needs:
            share = columns[f.name][columns[f.needs[0]]].mean()
        assert share == pytest.approx(f.chance, abs=0.055), f.name


def test_shape_decides_identity(columns):
    for name in ("round_face", "wide_jaw", "large_nose", "full_lips", "large_eyes"):
        scores = np.array([shape_of(i)[name] for i in range(DRAWS)])
        assert np.array_equal(columns[name], scores > 0)
    for name, threshold in (("feminine", 0.0), ("old", 0.6)):
        scores = np.array([shape_of(i)[name] for i in range(DRAWS)]) - threshold
        assert not columns[name][scores < -1.5].any()
        assert columns[name][scores > 1.5].all()
        near = columns[name][np.abs(scores) < 0.1].mean()
        assert 0.25 < near < 0.75  # shape alone does not tell


def test_a_person_follows_identity(columns):
    woman, old = columns["feminine"], columns["old"]
    for name in ("beard", "moustache", "stubble", "bald"):
        assert columns[name][woman].mean() < 0.03, name
        assert columns[name][~woman].mean() > 0.15, name
    for name in ("long_hair", "lipstick", "eye_shadow"):
        assert columns[name][woman].mean() > 3 * columns[name][~woman].mean(), name
    for name in ("grey_hair", "wrinkles"):
        assert np.corrcoef(columns[name], old)[0, 1] > 0.3, name


def test_other_factors_are_independent(columns):
    for a, b in (("noise", "smile"), ("glasses", "dark_skin"), ("cap", "warm_light")):
        assert abs(np.corrcoef(columns[a], columns[b])[0, 1]) < 0.07


def test_a_draw_is_reproducible_and_an_override_moves_nothing_else():
    mix = domain("mix")
    bearded = dataclasses.replace(mix, chances={"face_mask": 1.0})
    for index in range(50):
        on = draw(index, mix)
        assert on == draw(index, mix)
        masked = draw(index, bearded)
        assert masked["face_mask"]
        assert {n for n in NAMES if on[n] != masked[n]} <= {"face_mask"}


def test_never_and_always_are_kept_whatever_was_drawn_before():
    preset = dataclasses.replace(domain("mix"), chances={"near_infrared": 1.0, "beard": 0.0})
    for index in range(200):
        on = draw(index, preset)
        assert on["near_infrared"]
        assert not on["beard"]
        assert breaches(on) == []


def test_switching_one_factor(draws):
    for on in draws[:40]:
        for name in NAMES:
            for value in (True, False):
                changed = with_factor(on, name, value)
                assert changed[name] is value
                assert breaches(changed) == []
                moved = {n for n in NAMES if changed[n] != on[n]} - {name}
                if on[name] == value:
                    assert not moved
                this = factor(name)
                if value:  # what it needs, what is excluded, and what needed that
                    cleared = {*this.excludes, *(x for n in this.needs for x in factor(n).excludes)}
                    known = {*this.needs, *cleared}
                    known |= {f.name for f in FACTORS if known.intersection(f.needs)}
                else:
                    known = {f.name for f in FACTORS if name in f.needs}
                assert moved <= known, (name, value)


def test_what_is_hidden_is_not_shown(draws):
    on = dict.fromkeys(NAMES, False)
    assert is_shown(on, "smile")
    assert not is_shown(with_factor(on, "face_mask", True), "smile")
    assert not is_shown(on, "thick_frame")  # "thin-rimmed glasses" where there are none
    assert is_shown(with_factor(on, "glasses", True), "thick_frame")
    stubbled = with_factor(on, "stubble", True)
    assert is_shown(stubbled, "stubble")
    assert not is_shown(stubbled, "beard")  # not "a clean-shaven chin"
    dark = with_factor(with_factor(on, "back_light", True), "dark", True)
    assert is_shown(dark, "dark")  # only its negative is doubtful against the light
    # Each phrase of each factor can be said of enough pictures to learn from.
    for name in NAMES:
        for value in (True, False):
            assert sum(on[name] is value and is_shown(on, name) for on in draws) >= 40, name
