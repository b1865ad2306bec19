"""Hair of rendered people: it grows where it should, and stays out of the face."""

from __future__ import annotations

import numpy as np
import pytest

from train.synth.figure.facekit import HEAD_FROM_FACEKIT
from train.synth.figure.hair import facial_hair, hair_color, scalp_cover, scalp_hair, strand_texture
from train.synth.figure.hair_cards import angles, fit_skull
from train.synth.figure.hair_styles import STYLES, choose_style
from train.synth.streams import Streams

SHORT: dict[str, bool] = {}
LONG = {"long_hair": True, "feminine": True}


@pytest.fixture(scope="module")
def calm(kit):
    marks = kit.neutral[kit.landmarks]
    origin = (marks[[36, 39, 42, 45]].mean(0) + marks[[31, 35]].mean(0)) / 2
    return ((kit.neutral - origin) @ HEAD_FROM_FACEKIT).astype(np.float32)


def seeds_of_styles(on, count=40):
    """One seed for each style that these factors allow."""
    seeds = {}
    for seed in range(count):
        style = choose_style(Streams(seed), on)
        seeds.setdefault(style.name if style else None, seed)
    return seeds


ALL = [
    (seed, on)
    for on in (
        SHORT,
        LONG,
        {"feminine": True},
        {"curly_hair": True},
        {**LONG, "curly_hair": True},
        {"old": True},
        {"fringe": True},
        {**LONG, "fringe": True},
    )
    for seed in seeds_of_styles(on).values()
]


def check(strands, *, most):
    n = len(strands.vertices)
    assert strands.tangents.shape == strands.normals.shape == (n, 3)
    assert strands.uv.shape == (n, 2)
    assert strands.tint.shape == strands.anchor.shape == (n,)
    for array in (strands.vertices, strands.tangents, strands.normals, strands.uv, strands.tint):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    assert np.linalg.norm(strands.tangents, axis=1) == pytest.approx(1, abs=1e-3)
    assert np.linalg.norm(strands.normals, axis=1) == pytest.approx(1, abs=1e-3)
    assert strands.triangles.min() >= 0
    assert strands.triangles.max() == n - 1
    assert 0 < strands.coarse <= len(strands.triangles) <= most
    assert (strands.uv >= 0).all()
    assert (strands.uv <= 1).all()
    assert 0.1 < strands.tint.min() < strands.tint.max() < 1.7


def before_eyes(calm, kit, vertices):
    """How many vertices lie straight before the openings of the eyes."""
    count = 0
    for eye in (range(36, 42), range(42, 48)):
        box = calm[kit.landmarks[list(eye)]]
        low, high = box.min(0), box.max(0)
        inside = (vertices[:, :2] > low[:2]) & (vertices[:, :2] < high[:2])
        count += int((inside.all(1) & (vertices[:, 2] < high[2] + 5)).sum())
    return count


@pytest.mark.parametrize(("seed", "on"), ALL)
def test_scalp_hair_is_well_formed_and_clear_of_the_face(kit, calm, seed, on):
    strands = scalp_hair(Streams(seed), kit, calm, on)
    check(strands, most=16_000)
    assert len(strands.triangles) > 3_000
    assert (strands.anchor == -1).all()
    offset = strands.vertices - fit_skull(kit, calm).center
    distance = np.linalg.norm(offset, axis=1)
    unit = offset / distance[:, None]
    depth = fit_skull(kit, calm).radius(unit, ears=False) - distance
    _, elevation = angles(unit)
    assert np.quantile(depth[elevation > -40], 0.995) < 6
    face = (np.abs(strands.vertices[:, 0]) < 45) & (np.abs(strands.vertices[:, 1]) < 75)
    assert depth[face & (unit[:, 2] < 0)].max(initial=0) < 9
    allowed = 12 if on.get("fringe") else 0
    assert before_eyes(calm, kit, strands.vertices) <= allowed


def test_all_styles_are_worn_by_someone():
    worn = {
        name
        for on in (SHORT, LONG, {"feminine": True}, {"curly_hair": True},
                   {**LONG, "curly_hair": True})
        for name in seeds_of_styles(on, 80)
    }  # fmt: skip
    assert worn == set(STYLES)


def test_hair_is_the_same_for_the_same_person(kit, calm):
    one, two = (scalp_hair(Streams(5, 1), kit, calm, LONG) for _ in range(2))
    assert np.array_equal(one.vertices, two.vertices)
    assert np.array_equal(one.triangles, two.triangles)
    other = scalp_hair(Streams(5, 2), kit, calm, LONG)
    assert one.vertices.shape != other.vertices.shape or not np.allclose(
        one.vertices, other.vertices
    )


def test_a_bald_head_has_none_on_top(kit, calm):
    bare, rims = 0, 0
    for seed in range(8):
        strands = scalp_hair(Streams(seed), kit, calm, {"bald": True})
        cover = scalp_cover(Streams(seed), kit, calm, {"bald": True})
        center = fit_skull(kit, calm).center
        unit = calm[:11248] - center
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        assert cover[:11248][angles(unit)[1] > 45].max() == 0
        if strands is None:
            bare += 1
            assert cover.max() == 0
            continue
        rims += 1
        unit = strands.vertices - center
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        assert angles(unit)[1].max() < 45
    assert bare
    assert rims


def before_forehead(vertices, calm, kit):
    brow = calm[kit.landmarks[17:27], 1].mean()
    x, y, z = vertices.T
    return int(((np.abs(x) < 35) & (y < brow - 5) & (y > brow - 40) & (z < 20)).sum())


@pytest.mark.parametrize("on", [SHORT, LONG, {"feminine": True}])
def test_a_fringe_lies_before_the_forehead(kit, calm, on):
    for seed in range(3):
        without = scalp_hair(Streams(seed), kit, calm, on)
        fringed = scalp_hair(Streams(seed), kit, calm, {**on, "fringe": True})
        assert before_forehead(fringed.vertices, calm, kit) > 100
        assert before_forehead(without.vertices, calm, kit) < 20
        brow = calm[kit.landmarks[17:27], 1].mean()
        front = fringed.vertices[
            (np.abs(fringed.vertices[:, 0]) < 30) & (fringed.vertices[:, 2] < 5)
        ]
        assert abs(front[:, 1].max() - brow) < 16


def test_long_hair_reaches_the_shoulders_and_short_hair_does_not(kit, calm):
    chin = calm[kit.landmarks[8], 1]
    for seed in range(3):
        assert scalp_hair(Streams(seed), kit, calm, LONG).vertices[:, 1].max() > chin + 60
        assert scalp_hair(Streams(seed), kit, calm, SHORT).vertices[:, 1].max() < chin + 10


def test_the_cover_colours_the_scalp_and_not_the_face(kit, calm):
    cover = scalp_cover(Streams(1), kit, calm, SHORT)
    assert cover.shape == (26719,)
    assert cover.dtype == np.float32
    assert cover[np.argmin(calm[:11248, 1])] > 0.5  # the vertex of the head
    assert cover[kit.landmarks].max() == 0
    bearded = scalp_cover(Streams(1), kit, calm, {"beard": True})
    assert bearded[kit.landmarks[8]] > 0.3


@pytest.mark.parametrize("on", [{"beard": True}, {"moustache": True},
                                {"beard": True, "moustache": True}])  # fmt: skip
def test_facial_hair_grows_where_it_is_named(kit, calm, on):
    marks = calm[kit.landmarks]
    for seed in range(4):
        strands = facial_hair(Streams(seed), kit, calm, on)
        check(strands, most=4_000)
        assert strands.anchor.min() >= 0
        assert np.linalg.norm(calm[strands.anchor] - strands.vertices, axis=1).max() < 70
        x, y, _ = strands.vertices.T
        lip = (np.abs(x) < 12) & (y > marks[33, 1] + 2) & (y < marks[62, 1] - 3)
        chin = (np.abs(x) < 20) & (y > marks[57, 1] + 8)
        assert bool(lip.sum() > 20) == on.get("moustache", False)
        assert bool(chin.sum() > 20) == on.get("beard", False)
        assert y.min() > marks[36:48, 1].min() - 15
    assert facial_hair(Streams(1), kit, calm, {}) is None


def test_colours_follow_the_flags():
    def mean(**on):
        return np.mean([hair_color(Streams(seed), on) for seed in range(12)], 0)

    brown, black, blond = mean(), mean(black_hair=True), mean(blond_hair=True)
    red, grey = mean(red_hair=True), mean(grey_hair=True)
    assert black.max() < 0.03 < brown[0] < blond[0]
    assert blond.min() > 0.08
    assert red[0] / red[2] > brown[0] / brown[2] > grey[0] / grey[2]
    assert grey.max() / grey.min() < 1.6


def test_the_texture_has_strands_that_thin_out_towards_the_tips():
    texture = strand_texture()
    assert texture.shape == (256, 256, 4)
    assert texture.dtype == np.uint8
    for channel in (0, 1):
        rows = texture[..., channel].mean(1)
        assert rows[40:100].mean() > 90
        assert rows[-6:].mean() < 15
    assert not np.array_equal(texture[..., 0], texture[..., 1])
