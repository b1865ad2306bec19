"""Captions say what is so, in few words, and nothing of gaze."""

from __future__ import annotations

import re

import numpy as np
import pytest

from train.factors import FACTORS, PROMPT, is_shown
from train.synth.chances import sample_person_factors, sample_picture_factors
from train.synth.domains import domain
from train.synth.outputs.captions import MOST_WORDS, SUBJECTS, SYNONYMS, caption, phrases
from train.synth.streams import Streams

GAZE = re.compile(r"\b(gaz|look|glanc|star(e|ing)|watch|view|direction|toward|facing|ahead|aside)")


def meanings():
    """Every phrase and what it claims: {phrase: {factor: value}}."""
    claims = {p: {f.name: v} for f in FACTORS for v in (True, False) for p in phrases(f.name, v)}
    for (woman, old), subjects in SUBJECTS.items():
        for subject in subjects:
            claims[subject] = {"feminine": woman} | ({} if old is None else {"old": old})
    return claims


CLAIMS = meanings()
LONGEST_FIRST = re.compile(
    r"\b(" + "|".join(map(re.escape, sorted(CLAIMS, key=len, reverse=True))) + r")\b", re.IGNORECASE
)


def claimed(text):
    """Factors that a caption names: {name: value}; read from the words alone."""
    found = {}
    for match in LONGEST_FIRST.findall(text):
        found |= CLAIMS[match.lower() if match.lower() in CLAIMS else match]
    return found


@pytest.fixture(scope="module")
def pictures():
    drawn = []
    for preset in ("mix", "in_car", "medical_masked", "low_light"):
        chances = domain(preset)
        for i in range(150):
            scores = np.random.default_rng(i)
            shape = {f.name: scores.normal() for f in FACTORS if f.scope == "identity"}
            person = sample_person_factors(Streams(1, i), shape, chances)
            drawn.append(sample_picture_factors(Streams(2, i), person, chances))
    return drawn


@pytest.fixture(scope="module")
def pairs(pictures):
    rng = np.random.default_rng(0)
    return [(on, caption(rng, on)) for on in pictures for _ in range(5)]


def test_no_phrase_means_two_things():
    assert set(SYNONYMS) == {f.name for f in FACTORS}
    said = [p for f in FACTORS for v in (True, False) for p in phrases(f.name, v)]
    assert len(said) == len(set(said))
    assert not set(said) & {s for subjects in SUBJECTS.values() for s in subjects}
    assert not [p for p in CLAIMS if GAZE.search(p)]


def test_captions_are_true(pairs):
    for on, text in pairs:
        named = claimed(text)
        assert named, text
        for name, value in named.items():
            assert on[name] is value, (name, text)
            assert is_shown(on, name), (name, text)


def test_captions_are_short_and_say_nothing_of_gaze(pairs):
    for _, text in pairs:
        assert len(text.split()) <= MOST_WORDS, text
        assert not GAZE.search(text), text
        assert re.fullmatch(r"[A-Z].*[a-z]\.", text), text
        assert "{" not in text


def test_nothing_is_said_of_what_is_covered(pairs):
    hidden = {
        "sunglasses": {"light_eyes", "squint", "large_eyes", "eye_shadow", "dark_circles"},
        "face_mask": {"full_lips", "lipstick", "smile", "open_mouth", "beard", "moustache"},
        "head_scarf": {"black_hair", "blond_hair", "long_hair", "bald", "curly_hair", "fringe"},
        "near_infrared": {"red_hair", "dark_skin", "lipstick", "light_eyes", "red_cheeks"},
    }
    for cover, under in hidden.items():
        texts = [text for on, text in pairs if on[cover]]
        assert len(texts) > 50
        assert not [t for t in texts if under & set(claimed(t))]


def test_the_exact_prompt_is_among_the_captions(pairs):
    single = {PROMPT.format(p) for f in FACTORS for p in (f.positive, f.negative)}
    assert 0.05 < np.mean([text in single for _, text in pairs]) < 0.4
    assert len({text for _, text in pairs}) > 0.85 * len(pairs)


def test_both_sides_of_every_factor_are_said(pairs):
    said = {claim for _, text in pairs for claim in claimed(text).items()}
    missing = {(f.name, v) for f in FACTORS for v in (True, False)} - said
    assert not missing


@pytest.mark.parametrize("most", [1, 3, 20])
def test_the_number_of_factors_is_limited(pictures, most):
    rng = np.random.default_rng(3)
    texts = [caption(rng, on, most=most) for on in pictures[:300]]
    counts = [len(claimed(t)) for t in texts]
    assert 1 <= min(counts) <= max(counts) <= most
    assert max(len(t.split()) for t in texts) <= MOST_WORDS


def test_a_caption_of_nothing_is_refused(pictures):
    with pytest.raises(ValueError, match="at least 1"):
        caption(np.random.default_rng(0), pictures[0], most=0)


def test_a_caption_is_reproducible(pictures):
    one, two = (caption(np.random.default_rng(5), pictures[0]) for _ in range(2))
    assert one == two
