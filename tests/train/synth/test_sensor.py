"""The camera: its noise law, its blurs, and that every fault shows and leaves the others alone."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from train.synth.defocus import disk_kernel
from train.synth.render.sensor import (
    FACE_LIGHT,
    Sensor,
    expose,
    identity_sensor,
    metered,
    sample_sensor,
)

FLAGS = (
    "noise",
    "motion_blur",
    "defocus",
    "low_resolution",
    "jpeg_artifacts",
    "dark",
    "overexposed",
    "low_contrast",
    "near_infrared",
)
FACE_PX = 150.0


def scene(size=200):
    """Smooth blobs and hard squares in linear light, around 0.05 to 0.6, coloured."""
    rng = np.random.default_rng(5)
    x = cv2.resize(rng.uniform(0.05, 0.4, (6, 6, 3)).astype(np.float32), (size, size))
    for _ in range(40):
        at, side = rng.integers(0, size, 2), rng.integers(3, 20)
        x[at[0] : at[0] + side, at[1] : at[1] + side] = rng.uniform(0.02, 0.6, 3)
    return x


def taken(name, seed):
    sensor = sample_sensor(np.random.default_rng(seed), {name: True}, face_px=FACE_PX)
    return sensor, expose(np.random.default_rng(seed), scene(), sensor).astype(np.float64)


def sharpness(name, seed):
    """Energy of edges without noise."""
    sensor = dataclasses.replace(taken(name, seed)[0], shot_noise=0.0, read_noise=0.0)
    grey = expose(np.random.default_rng(seed), scene(), sensor).mean(-1)
    return (np.diff(grey, axis=0) ** 2).mean() + (np.diff(grey, axis=1) ** 2).mean()


def test_the_clean_sensor_is_the_srgb_curve():
    linear = np.linspace(0, 1.2, 60, dtype=np.float32)[None, :, None] * np.ones((40, 1, 3), "f4")
    x = np.clip(linear, 0, 1)
    wanted = np.where(x < 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)
    got = expose(np.random.default_rng(0), linear, identity_sensor())
    assert got.dtype == np.uint8
    assert np.abs(got - wanted * 255).max() < 0.6


@pytest.mark.parametrize("grain", [0.0, 1.0])
@pytest.mark.parametrize("chroma", [0.0, 0.4])
def test_noise_follows_the_poisson_gaussian_law(grain, chroma):
    shot, read = 0.004, 0.02
    sensor = Sensor(shot_noise=shot, read_noise=read, grain=grain, chroma_noise=chroma)
    for signal in (0.1, 0.3, 0.6):
        level = np.full((300, 300, 3), signal, np.float32)
        encoded = expose(np.random.default_rng(1), level, sensor) / 255
        values = np.where(
            encoded < 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4
        )  # back to light
        assert values.var() == pytest.approx(shot * signal + read**2, rel=0.08)
        assert values.mean() == pytest.approx(signal, abs=0.003)


def test_pictures_are_deterministic_and_keep_their_size():
    for shape in ((90, 120, 3), (700, 60, 3)):
        linear = np.random.default_rng(0).random(shape).astype(np.float32)
        for name in FLAGS:
            sensor = sample_sensor(np.random.default_rng(2), {name: True}, face_px=60)
            first = expose(np.random.default_rng(3), linear, sensor)
            assert first.shape == shape
            assert np.array_equal(first, expose(np.random.default_rng(3), linear, sensor))


@pytest.mark.parametrize("name", FLAGS)
def test_a_switch_changes_its_own_settings_only(name):
    own = {
        "noise": {"shot_noise", "read_noise"},
        "motion_blur": {"motion_px"},
        "defocus": {"defocus_px"},
        "low_resolution": {"downscale"},
        "jpeg_artifacts": {"jpeg_quality"},
        "dark": {"exposure", "shot_noise", "read_noise"},
        "overexposed": {"exposure"},
        "low_contrast": {"contrast"},
        "near_infrared": {"grey"},
    }[name]
    for seed in range(4):
        on = sample_sensor(np.random.default_rng(seed), {name: True}, face_px=FACE_PX)
        off = sample_sensor(np.random.default_rng(seed), {}, face_px=FACE_PX)
        differ = {
            f.name
            for f in dataclasses.fields(Sensor)
            if getattr(on, f.name) != getattr(off, f.name)
        }
        assert differ == own


def fine(image):
    """Mean of what a blur takes away."""
    return np.abs(image - cv2.blur(image, (3, 3)))[:, :].mean()


def test_every_fault_shows_in_its_direction():
    for seed in range(4):
        _, plain = taken("none", seed)
        pictures = {name: taken(name, seed)[1] for name in FLAGS}
        for name in ("motion_blur", "defocus", "low_resolution"):
            assert sharpness(name, seed) < 0.6 * sharpness("none", seed)
        assert pictures["dark"].mean() < 0.9 * plain.mean()
        assert fine(pictures["dark"]) > 0.9 * fine(plain)  # darker, and not less noisy
        assert pictures["overexposed"].mean() > 1.25 * plain.mean()
        assert pictures["low_contrast"].std() < 0.65 * plain.std()
        assert np.ptp(pictures["near_infrared"], -1).max() == 0

        assert fine(pictures["noise"]) > 1.4 * fine(plain)
        blocks = np.abs(np.diff(pictures["jpeg_artifacts"].mean(-1), axis=1)).mean(0)
        edges = blocks[7::8].mean() / np.delete(blocks, np.s_[7::8]).mean()
        assert edges > 1.15


def test_cameras_expose_for_the_face():
    """Faces in little light come out nearly as bright as others, by gain, whose noise shows."""
    sensor = dataclasses.replace(sample_sensor(np.random.default_rng(4), {}, face_px=FACE_PX))
    assert 0.6 <= sensor.metering <= 1.0
    dim, bright = metered(sensor, 0.04), metered(sensor, 0.5)
    light = sensor.exposure * FACE_LIGHT
    assert metered(sensor, FACE_LIGHT) == sensor
    assert dim.exposure * 0.04 == pytest.approx(
        light * (0.04 / FACE_LIGHT) ** (1 - sensor.metering)
    )
    assert 0.45 * light < dim.exposure * 0.04 < light < bright.exposure * 0.5 < 1.35 * light
    gain = dim.exposure / sensor.exposure
    assert dim.shot_noise == pytest.approx(gain * sensor.shot_noise)
    assert dim.read_noise == pytest.approx(gain * sensor.read_noise)
    assert (bright.shot_noise, bright.read_noise) == (sensor.shot_noise, sensor.read_noise)
    assert metered(identity_sensor(), 0.04) == identity_sensor()
    assert metered(sensor, 0.0) == sensor


def test_dark_is_rarely_black():
    made = [
        sample_sensor(np.random.default_rng(k), {"dark": True}, face_px=FACE_PX).exposure
        for k in range(300)
    ]
    plain = [
        sample_sensor(np.random.default_rng(k), {}, face_px=FACE_PX).exposure for k in range(300)
    ]
    ratio = np.array(made) / plain
    assert 0.3 < np.median(ratio) < 0.75
    assert 0.05 < (np.array(made) < 0.3).mean() < 0.2
    assert 0.01 < (np.array(plain) < 0.7).mean() < 0.08


def test_blur_scales_with_the_face():
    for name in ("defocus", "motion_blur"):
        near = sample_sensor(np.random.default_rng(1), {name: True}, face_px=300)
        far = sample_sensor(np.random.default_rng(1), {name: True}, face_px=60)
        assert near.defocus_px == pytest.approx(5 * far.defocus_px)
        assert near.motion_px == pytest.approx(5 * far.motion_px)


@pytest.mark.parametrize("radius", [1.5, 5.0])
def test_defocus_spreads_a_point_over_its_disk(radius):
    linear = np.zeros((61, 61, 3), np.float32)
    linear[30, 30] = 40.0
    got = expose(np.random.default_rng(0), linear, Sensor(defocus_px=radius))
    area = (got[..., 0] > 100).sum()
    assert area == pytest.approx(np.pi * (radius + 0.5) ** 2, rel=0.45)
    assert disk_kernel(radius).sum() == pytest.approx(1)


def test_motion_blurs_along_its_path():
    linear = np.zeros((81, 81, 3), np.float32)
    linear[40, 40] = 8.0
    got = expose(np.random.default_rng(0), linear, Sensor(motion_px=9.0, motion_angle=0.0))[..., 0]
    rows, columns = np.nonzero(got > 60)
    assert np.ptp(columns) >= 6
    assert np.ptp(rows) <= 4
    assert abs(columns.mean() - 40) < 0.8
