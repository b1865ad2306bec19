"""Skin: its colours are those that people measured, and each factor paints where it should."""

from __future__ import annotations

import numpy as np
import pytest

from train.synth.figure.skin import SkinPainter
from train.synth.figure.skin_optics import linear_from_reflectance, reflectance, skin_rgb
from train.synth.streams import Streams

FACTORS = (
    *("feminine", "old", "dark_skin", "freckles", "wrinkles", "red_cheeks", "shiny_skin"),
    *("dark_circles", "thick_eyebrows", "beard", "moustache", "stubble", "lipstick", "eye_shadow"),
)
BROWN_HAIR = np.array([0.05, 0.03, 0.02], np.float32)

# (x, y, width, height) in texels, y from the chin (small) to the forehead.
PLACES = {
    "lips": (350, 375, 68, 10),
    "forehead": (300, 660, 170, 50),
    "brow": (250, 595, 80, 35),
    "lid": (262, 558, 40, 12),
    "under_eye": (262, 510, 50, 18),
    "cheek": (225, 430, 70, 50),
    "chin": (330, 150, 110, 40),
}


def lab(linear):
    """CIELAB (D65) of linear sRGB (..., 3)."""
    matrix = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = np.asarray(linear, np.float64) @ matrix.T / matrix.sum(1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def typology_angle(linear):
    """Individual typology angle in degrees (Chardon, Cretois and Hourseau 1991)."""
    lightness, _, yellow = np.moveaxis(lab(linear), -1, 0)
    return np.degrees(np.arctan2(lightness - 50, yellow))


@pytest.fixture(scope="module")
def painter(kit):
    return SkinPainter(kit)


@pytest.fixture(scope="module")
def paint(painter):
    def of(seed=1, *flags):
        on = {name: name in flags for name in FACTORS}
        return painter.paint(Streams(3, seed), on, hair_color=BROWN_HAIR)

    return of


def mean_change(a, b, place, channel=slice(None)):
    x, y, w, h = PLACES[place]
    part = np.s_[y : y + h, x : x + w]
    return (b[part].astype(float) - a[part].astype(float))[..., channel].mean()


def mean_changes(a, b):
    """Mean absolute change of the 8-bit values, by place."""
    changed = np.abs(b.astype(float) - a.astype(float))
    return {name: changed[y : y + h, x : x + w].mean() for name, (x, y, w, h) in PLACES.items()}


def test_the_table_is_the_model():
    melanin, blood = np.float32([0.01, 0.05, 0.2, 0.4]), np.float32([0.004, 0.02, 0.06, 0.01])
    exact = linear_from_reflectance(reflectance(melanin, blood))
    assert skin_rgb(melanin, blood) == pytest.approx(exact, abs=0.003)
    maps = skin_rgb(np.full((5, 7), 0.05), np.full((5, 7), 0.02))
    assert maps.shape == (5, 7, 3)
    assert maps[2, 3] == pytest.approx(exact[1], abs=0.003)


def test_white_is_white_and_more_pigment_is_darker():
    assert linear_from_reflectance(np.ones(16)) == pytest.approx([1, 1, 1], abs=1e-9)
    light, dark = skin_rgb(0.02, 0.01), skin_rgb(0.2, 0.01)
    pale, flushed = skin_rgb(0.02, 0.005), skin_rgb(0.02, 0.05)
    assert (dark < light).all()
    assert (flushed < pale).all()
    assert lab(flushed)[1] > lab(pale)[1] + 5  # redder


def test_tones_span_the_typology_classes():
    """Very light is above 55°, dark below −30°, the rest between (Chardon et al. 1991)."""
    angles = typology_angle(skin_rgb(np.geomspace(0.01, 0.42, 60), 0.012))
    assert angles[0] > 55
    assert angles[-1] < -30
    assert (np.diff(angles) < 0).all()
    assert np.abs(np.diff(angles)).max() < 6  # no class is jumped over


def test_typical_skins_are_as_measured(paint):
    """L* 25 to 75, a* 4 to 20, b* 7 to 28: Xiao et al., Skin Res. Technol. 23, 21 (2017)."""
    light = lab(np.stack([paint(seed).base_color for seed in range(5)]))
    dark = lab(np.stack([paint(seed, "dark_skin").base_color for seed in range(5)]))
    for low, high, k in ((25, 78, 0), (4, 20, 1), (7, 28, 2)):
        for colors in (light, dark):
            assert (colors[:, k] > low).all()
            assert (colors[:, k] < high).all()
    assert light[:, 0].min() > dark[:, 0].max()
    assert dark[:, 0].max() - dark[:, 0].min() > 8


def test_a_skin_is_its_streams_alone(kit, paint):
    a, b, other = paint(1), paint(1), paint(2)
    assert a.albedo.shape == (768, 768, 3)
    assert a.relief.shape == (768, 768, 2)
    assert a.albedo.dtype == a.relief.dtype == np.uint8
    assert np.array_equal(a.albedo, b.albedo)
    assert np.array_equal(a.relief, b.relief)
    assert not np.array_equal(a.albedo, other.albedo)
    on = dict.fromkeys(FACTORS, False)
    plain = SkinPainter(kit).paint(Streams(3, 1), on, hair_color=BROWN_HAIR)
    assert np.array_equal(plain.albedo, a.albedo)


@pytest.mark.parametrize(
    ("factor", "there", "elsewhere"),
    [
        ("lipstick", "lips", ("forehead", "brow", "lid", "cheek", "chin")),
        ("eye_shadow", "lid", ("forehead", "lips", "cheek", "chin")),
        ("thick_eyebrows", "brow", ("forehead", "lips", "cheek", "lid", "chin")),
        ("dark_circles", "under_eye", ("forehead", "lips", "chin")),
        ("red_cheeks", "cheek", ("forehead", "chin")),
        ("freckles", "cheek", ("forehead", "lips", "chin")),
        ("wrinkles", "forehead", ("cheek",)),
        ("stubble", "chin", ("forehead", "brow", "lid", "under_eye")),
        ("beard", "chin", ("forehead", "brow", "lid", "under_eye")),
    ],
)
def test_a_factor_changes_its_own_place(paint, factor, there, elsewhere):
    changed = mean_changes(paint(4).albedo, paint(4, factor).albedo)
    assert changed[there] > (1 if factor == "freckles" else 2)  # spots, not all of the cheek
    for place in elsewhere:
        assert changed[place] < 0.25 * changed[there], place


def test_factors_change_skin_the_right_way(paint):
    plain = paint(6)
    for factor, place in (
        ("dark_circles", "under_eye"),
        ("thick_eyebrows", "brow"),
        ("stubble", "chin"),
    ):
        assert mean_change(plain.albedo, paint(6, factor).albedo, place) < -4, factor
    flushed = paint(6, "red_cheeks").albedo
    red = mean_change(plain.albedo, flushed, "cheek", 0)
    assert red - mean_change(plain.albedo, flushed, "cheek", 1) > 5
    assert mean_change(plain.relief, paint(6, "wrinkles").relief, "forehead", 0) < -1
    assert mean_change(plain.relief, paint(6, "shiny_skin").relief, "forehead", 1) > 30
    assert np.array_equal(plain.albedo, paint(6, "shiny_skin").albedo)
