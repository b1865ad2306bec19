"""Real surroundings: they light faces, are seen behind heads, and are named by what was written."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from train.factors import FACTORS
from train.synth.__main__ import main
from train.synth.domains import domain
from train.synth.outputs import write
from train.synth.outputs.plan import WriteOptions
from train.synth.outputs.write import write_shards
from train.synth.places.backgrounds import Backgrounds
from train.synth.places.lighting import sample_lighting, shade
from train.synth.places.photographed import (
    REAL_SHARE,
    EnvironmentsError,
    load_panoramas,
    pick_panorama,
)
from train.synth.render.scene import make_scene
from train.synth.streams import Streams
from train.synth.without import without

PLAIN = {f.name: False for f in FACTORS}


def write_panorama(path, *, bright=48, size=(64, 128)):
    """Grey all around, darker below; a red lamp at a column, above the horizon."""
    image = np.full((*size, 3), 0.4, np.float32)
    image[size[0] // 2 :] = 0.1
    columns = (np.arange(bright - 5, bright + 6)) % size[1]
    image[16:28, columns] = (4.0, 4.0, 40.0)  # BGR
    assert cv2.imwrite(str(path), image)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("panoramas")
    write_panorama(where / "b_lamp.hdr", bright=100)
    write_panorama(where / "a_lamp.hdr", bright=3)
    return where


@pytest.fixture(scope="module")
def panoramas(folder):
    return load_panoramas(folder)


def test_panoramas_are_read_in_order(panoramas):
    assert [one.name for one in panoramas] == ["a_lamp", "b_lamp"]
    assert all(len(one.sha256) == 64 for one in panoramas)
    assert [one.brightest * 128 for one in panoramas] == pytest.approx([3.5, 100.5], abs=1.5)
    for one in panoramas:
        assert 0.4 < one.one_sided < 0.7
        assert one.view[..., 0].max() > 3 * one.view[..., 2].max()  # red and not blue


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("none.txt", b"", "holds no"),
        ("text.hdr", b"#?RADIANCE no picture", "is no panorama"),
        ("empty.hdr", b"", "is no panorama"),
        ("square.hdr", None, "2:1"),
    ],
)
def test_what_is_no_panorama_is_named(tmp_path, name, data, words):
    if data is None:
        write_panorama(tmp_path / name, size=(64, 64), bright=20)
    else:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(EnvironmentsError, match=words):
        load_panoramas(tmp_path)
    with pytest.raises(EnvironmentsError, match="no folder"):
        load_panoramas(tmp_path / "absent")


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", [None, "side_light", "back_light"])
def test_a_face_is_lit_from_where_its_factors_say(panoramas, number, name):
    on = {name: True} if name else {}
    fronts, sides, behind = [], [], []
    for seed in range(8):
        light = sample_lighting(np.random.default_rng(seed), "office", on, panoramas[number])
        assert light.real is not None
        assert light.real.panorama is panoramas[number]
        left, right, front, back = shade(
            light, [[-1, 0, 0], [1, 0, 0], [0, 0, -1], [0, 0, 1]]
        ).mean(1)
        fronts.append(front / back)
        sides.append(max(left, right) / min(left, right))
        behind.append(light.lights[0].direction[2])
    if name is None:
        assert np.median(fronts) > 1.5
    elif name == "side_light":
        assert np.median(sides) > 2.5
    else:
        assert np.median(fronts) < 0.8
        assert np.median(behind) > 0.3


def test_lights_are_the_panoramas_lamp(panoramas):
    light = sample_lighting(np.random.default_rng(1), "office", {}, panoramas[0])
    first = light.lights[0]
    assert first.direction[1] < -0.3  # above the horizon,
    assert first.direction[2] < -0.3  # before the face
    assert first.color[0] > 1.5 * first.color[2]


def test_what_is_behind_the_head_is_the_panorama(panoramas):
    light = sample_lighting(np.random.default_rng(2), "office", {}, panoramas[0])
    made = Backgrounds().sample(np.random.default_rng(3), "room", 80, 60, light)
    painted = Backgrounds().sample(
        np.random.default_rng(3), "room", 80, 60, replace(light, real=None)
    )
    assert made.shape == (60, 80, 3)
    assert 0.02 < made.mean() < 3
    rows = made.mean((1, 2))
    assert rows[:10].mean() > 1.5 * rows[-10:].mean()  # the ground is darker
    assert np.abs(made - painted).mean() > 0.01
    plain = Backgrounds().sample(np.random.default_rng(3), "plain", 80, 60, light)
    other = Backgrounds().sample(
        np.random.default_rng(3), "plain", 80, 60, replace(light, real=None)
    )
    assert np.array_equal(plain, other)


def test_most_pictures_that_can_be_have_real_surroundings(panoramas):
    picked = [pick_panorama(np.random.default_rng(k), panoramas, "sun") for k in range(400)]
    share = np.mean([one is not None for one in picked])
    assert share == pytest.approx(REAL_SHARE, abs=0.07)
    assert {one.name for one in picked if one} == {"a_lamp", "b_lamp"}
    for kind in ("screen", "car", "studio"):
        assert not any(pick_panorama(np.random.default_rng(k), panoramas, kind) for k in range(40))
    assert pick_panorama(np.random.default_rng(0), (), "sun") is None


def test_only_light_changes_with_the_surroundings(panoramas):
    street = domain("street")
    for index in range(12):
        streams = Streams(5, 2, index)
        painted = make_scene(streams, street, PLAIN)
        real = make_scene(streams, street, PLAIN, panoramas)
        assert np.array_equal(painted.target_mm, real.target_mm)
        assert np.array_equal(painted.camera_from_head, real.camera_from_head)
        assert painted.sensor == real.sensor
        bare = make_scene(streams, without(street, "world"), PLAIN, panoramas)
        assert bare.lighting.real is None
    infrared = sample_lighting(
        np.random.default_rng(0), "sun", {"near_infrared": True}, panoramas[0]
    )
    assert infrared.real is None


def test_the_manifest_names_the_panoramas(facekit_folder, studio, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "_studio", lambda *_, **__: studio)
    monkeypatch.setattr(studio, "panoramas", load_panoramas(folder))
    out = tmp_path / "crops"
    options = WriteOptions(
        facekit_folder, out, "bands", 4, ("street",), 9, workers=1, environments=folder
    )
    write_shards(options)
    manifest = json.loads((out / "manifest.json").read_text())
    assert [one["name"] for one in manifest["environments"]] == ["a_lamp", "b_lamp"]
    assert str(folder) not in json.dumps(manifest)
    with pytest.raises(SystemExit, match="holds environments"):
        write_shards(replace(options, environments=None))
    with pytest.raises(SystemExit, match="no folder"):
        write_shards(replace(options, out=tmp_path / "other", environments=tmp_path / "absent"))
    names = []
    for index in range(8):
        record = studio.picture(9, index, domain("street")).record
        names.append(record.get("panorama"))
    assert {"a_lamp", "b_lamp"} & set(names)


def test_a_preview_without_panoramas_ends_in_one_line(facekit_folder, tmp_path):
    with pytest.raises(SystemExit, match="holds no"):
        main(
            [
                *("preview", "--facekit", str(facekit_folder)),
                *("--environments", str(tmp_path), "--out", str(tmp_path / "p.png")),
            ]
        )
