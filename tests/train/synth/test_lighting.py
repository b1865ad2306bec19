"""Light: its harmonics, its frames, what is taken out of it, and the factors it obeys."""

from __future__ import annotations

import numpy as np
import pytest

from train.synth.places.lighting import (
    COLUMNS,
    KINDS,
    LUMINANCE,
    ROWS,
    _locus,
    backdrop,
    environment_direction,
    extract_lights,
    harmonics,
    irradiance_harmonics,
    light_color,
    sample_lighting,
    shade,
)

FACING = np.array([0.0, 0.0, -1.0])


def solid_angles():
    edges = np.cos(np.linspace(0, np.pi, ROWS + 1))
    return ((edges[:-1] - edges[1:]) * 2 * np.pi / COLUMNS)[:, None, None]


def sphere(count=200):
    n = np.random.default_rng(0).normal(size=(count, 3))
    return n / np.linalg.norm(n, axis=1, keepdims=True)


def patch(direction, radius, radiance):
    r, c = np.mgrid[0:ROWS, 0:COLUMNS]
    inside = environment_direction(r, c) @ np.asarray(direction) > np.cos(radius)
    return (inside[..., None] * np.asarray(radiance)).astype(np.float32)


def test_the_maps_frame():
    assert environment_direction(-0.5, 10) == pytest.approx([0, -1, 0], abs=1e-9)  # up
    assert environment_direction(15.5, 31.5) == pytest.approx([0, 0, 1])  # behind the head
    assert environment_direction(15.5, 47.5) == pytest.approx([1, 0, 0])  # the picture's right
    assert environment_direction(15.5, -0.5) == pytest.approx([0, 0, -1])  # behind the camera


def test_a_constant_environment_gives_its_radiance_as_irradiance():
    light = np.array([0.2, 0.5, 0.9])
    coefficients = irradiance_harmonics(np.broadcast_to(light, (ROWS, COLUMNS, 3)))
    got = harmonics(sphere()) @ coefficients
    assert got == pytest.approx(np.broadcast_to(light, got.shape), rel=2e-3)


def test_harmonics_are_orthonormal():
    r, c = np.mgrid[0:ROWS, 0:COLUMNS]
    basis = (harmonics(environment_direction(r, c)) * np.sqrt(solid_angles())).reshape(-1, 9)
    assert basis.T @ basis == pytest.approx(np.eye(9), abs=0.01)


def test_irradiance_is_near_the_integral():
    rng = np.random.default_rng(2)
    grid = rng.uniform(0.2, 1, (4, 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.float32)
    r, c = np.mgrid[0:ROWS, 0:COLUMNS]
    rays = environment_direction(r, c)
    for n in sphere(20):
        exact = (np.maximum(rays @ n, 0)[..., None] * solid_angles() * grid).sum((0, 1)) / np.pi
        got = harmonics(n) @ irradiance_harmonics(grid)
        assert got == pytest.approx(exact, abs=0.02)


def test_a_bright_patch_lights_what_faces_it():
    place = np.array([0.6, -0.48, -0.64])
    coefficients = irradiance_harmonics(patch(place, 0.3, [5.0, 5.0, 5.0]))
    seen = {k: float((harmonics(n) @ coefficients)[0]) for k, n in (("to", place), ("off", -place))}
    assert seen["to"] > 0.3
    assert abs(seen["off"]) < 0.1 * seen["to"]


def test_lights_taken_out_keep_the_energy_and_are_where_they_were():
    place, radius = np.array([0.6, -0.48, -0.64]), 0.25
    environment = patch(place, radius, [20.0, 16.0, 10.0]) + np.float32(0.1)
    left, lights = extract_lights(environment)
    before = (environment * solid_angles()).sum((0, 1))
    after = (left * solid_angles()).sum((0, 1)) + np.pi * sum(li.color for li in lights)
    assert after == pytest.approx(before, rel=1e-4)
    assert lights[0].direction @ place > 0.995
    assert lights[0].size_rad == pytest.approx(radius, rel=0.15)
    assert left.max() < 0.2 * environment.max()
    assert lights[0].color @ LUMINANCE > 0.8 * (before @ LUMINANCE - 0.4 * np.pi) / np.pi


def test_an_even_sky_has_no_lights():
    assert extract_lights(np.ones((ROWS, COLUMNS, 3), np.float32))[1] == []


def test_colours_of_light():
    assert light_color(250, 250) == pytest.approx(np.ones(3))
    red, _, blue = light_color(370, 182)  # 2700 K in a camera set to 5500 K
    assert red > 1.3
    assert blue < 0.45
    red, _, blue = light_color(100, 182)  # 10000 K
    assert blue > 1.2 > 1 > red
    assert _locus()[154] == pytest.approx(np.ones(3), abs=0.02)  # D65 is the white of sRGB


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_metered_and_deterministic(kind):
    cards = []
    for seed in range(8):
        lighting = sample_lighting(np.random.default_rng(seed), kind, {})
        again = sample_lighting(np.random.default_rng(seed), kind, {})
        assert np.array_equal(lighting.environment, again.environment)
        assert lighting.environment.shape == (ROWS, COLUMNS, 3)
        assert lighting.environment.dtype == lighting.irradiance.dtype == np.float32
        assert lighting.environment.min() >= 0
        assert len(lighting.lights) == 3
        assert [np.linalg.norm(li.direction) for li in lighting.lights] == pytest.approx([1] * 3)
        cards.append(0.35 * float(shade(lighting, FACING) @ LUMINANCE))
    assert 0.25 < np.mean(cards) < 0.35
    assert min(cards) > 0.2
    assert max(cards) < 0.42


@pytest.mark.parametrize("kind", KINDS)
def test_each_factor_of_light_shows(kind):
    cheeks = np.array([[0.9, 0.0, -0.436], [-0.9, 0.0, -0.436]])
    for seed in range(5):
        drawn = {
            name: sample_lighting(np.random.default_rng(seed), kind, {name: True})
            for name in ("side_light", "back_light", "hard_shadows", "near_infrared")
        }
        plain = sample_lighting(np.random.default_rng(seed), kind, {})
        sides = sorted(shade(drawn["side_light"], cheeks) @ LUMINANCE)
        assert sides[1] > 5 * sides[0]
        sides = sorted(shade(plain, cheeks) @ LUMINANCE)
        assert sides[1] < 5 * sides[0]
        against = drawn["back_light"]
        face = 0.35 * float(shade(against, FACING) @ LUMINANCE)
        assert face < 0.22
        assert float(backdrop(against) @ LUMINANCE) > 2 * face
        assert drawn["hard_shadows"].lights[0].size_rad <= 0.03 < plain.lights[0].size_rad
        assert drawn["hard_shadows"].lights[0].color.max() > 0.4
        infrared = drawn["near_infrared"]
        assert infrared.near_infrared
        assert np.ptp(infrared.lights[0].color) == 0
        assert infrared.lights[0].direction @ FACING > 0.9


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "infrared"])
def test_warm_and_cool_casts(kind):
    for seed in range(5):
        ratio = {}
        for name in ("none", "warm_light", "cool_light"):
            lighting = sample_lighting(np.random.default_rng(seed), kind, {name: True})
            red, _, blue = shade(lighting, FACING)
            ratio[name] = red / blue
        assert ratio["warm_light"] > 1.35 * ratio["none"]
        assert ratio["cool_light"] < 0.85 * ratio["none"]
