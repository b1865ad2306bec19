"""Presets of rendered people: valid, different, and with parts that can be left out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from train.factors import FACTORS, HEADWEAR
from train.synth.chances import sample_person_factors, sample_picture_factors
from train.synth.domains import (
    BEYOND_PROFILE,
    DOMAINS,
    NAMED_ALONE,
    PROFILE,
    SMILING,
    domain,
)
from train.synth.streams import Streams
from train.synth.variety import BACKGROUNDS, LIGHTS
from train.synth.without import PARTS, without

NAMES = ("mix", "lab", "laptop", "phone", "in_car", "street", "low_light", "meeting")


def shares(preset, count=300):
    """Frequency of every factor in ``count`` pictures."""
    total = dict.fromkeys((f.name for f in FACTORS), 0)
    for i in range(count):
        scores = np.random.default_rng(i)
        shape = {f.name: scores.normal() for f in FACTORS if f.scope == "identity"}
        person = sample_person_factors(Streams(1, i), shape, preset)
        for name, value in sample_picture_factors(Streams(2, i), person, preset).items():
            total[name] += value
    return {name: n / count for name, n in total.items()}


def test_the_presets():
    assert [d.name for d in DOMAINS] == [*NAMES, "medical_masked"]
    assert len({d.describes for d in DOMAINS}) == len(DOMAINS)
    mix = domain("mix")
    assert not mix.chances
    assert set(mix.lights) == set(LIGHTS)
    assert set(mix.backgrounds) == set(BACKGROUNDS)
    # Gain of pictures without noise and with it: the label must be seen.
    assert all(d.iso[0] <= 400 and d.iso[1] >= 16 * d.iso[0] for d in DOMAINS)


def test_a_name_is_looked_up_exactly():
    assert domain("lab").name == "lab"
    assert domain("profile") is PROFILE
    assert domain("beyond_profile") is BEYOND_PROFILE
    assert domain("smiling") is SMILING
    assert not any(d in DOMAINS for d in NAMED_ALONE)  # or sets of all domains would be other ones
    with pytest.raises(KeyError, match=r"did you mean in_car\? known: mix, lab, laptop"):
        domain("incar")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chances": {"beards": 0.2}}, "no factor 'beards'"),
        ({"chances": {"beard": 1.2}}, "expected 0 to 1"),
        ({"chances": {"feminine": 0.2}}, "follows the face's shape"),
        ({"lights": {"moon": 1.0}}, "moon"),
        ({"lights": {}}, "positive weights"),
        ({"backgrounds": {"plain": 0.0}}, "positive weights"),
        ({"people": {0: 1.0}}, "people"),
        ({"distance_mm": (900, 400)}, "low <= high"),
        ({"face_px": (20, 100)}, "40 to 480"),
        ({"head_yaw_deg": (0, 20, 125)}, "at most 120"),
        ({"head_pitch_deg": (30, 20, 20)}, "holds the mean"),
        ({"gaze": "sky"}, "expected one of"),
    ],
)
def test_a_wrong_domain_is_refused(change, words):
    with pytest.raises((ValueError, KeyError), match=words):
        dataclasses.replace(domain("mix"), **change)


def test_domains_differ_as_data_sets_do():
    lab, street, car, night, masked = (
        shares(domain(n)) for n in ("lab", "street", "in_car", "low_light", "medical_masked")
    )
    assert sum(lab[n] for n in HEADWEAR) == 0
    assert sum(street[n] for n in HEADWEAR) > 0.4
    assert lab["near_infrared"] == street["near_infrared"] == 0
    assert car["near_infrared"] > 0.35
    assert car["sunglasses"] > 0.12 > lab["sunglasses"]
    assert night["noise"] > 0.65 > lab["noise"] + 0.5
    assert masked["face_mask"] > 0.75
    assert domain("street").face_px[1] < domain("lab").face_px[0]


@pytest.mark.parametrize("preset", DOMAINS, ids=lambda d: d.name)
def test_parts_can_be_left_out(preset):
    identity = {f.name for f in FACTORS if f.scope == "identity"}
    quality = {f.name for f in FACTORS if f.dimension == "image quality"}
    look, world, sensor = (without(preset, part) for part in PARTS)
    on = {name for name, share in shares(look, 40).items() if share}
    assert on <= identity | quality
    on = {name for name, share in shares(world, 40).items() if share}
    assert not on & {"side_light", "back_light", "warm_light", "near_infrared", "hand_on_face"}
    assert (dict(world.lights), dict(world.backgrounds)) == ({"studio": 1.0}, {"plain": 1.0})
    assert dict(world.people) == {1: 1.0}
    on = {name for name, share in shares(sensor, 40).items() if share}
    assert not on & {"noise", "motion_blur", "defocus", "low_resolution", "jpeg_artifacts", "dark"}
    assert sensor.face_px[0] >= 200
    assert sensor.head_yaw_deg == preset.head_yaw_deg  # what is left out is all that changes
    assert look.lights == preset.lights


def test_parts_add_up_and_leave_the_preset_alone():
    lab = domain("lab")
    bare = without(without(without(lab, "appearance"), "world"), "sensor")
    assert bare.absent == {"appearance", "world", "sensor"}
    assert not any(bare.chances.values())
    assert lab is domain("lab")
    assert lab.absent == frozenset()
    with pytest.raises(ValueError, match="expected one of appearance, world, sensor"):
        without(lab, "weather")
