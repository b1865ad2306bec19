"""Eye patches and what is measured of them, rendered and real."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from train.synth.__main__ import main
from train.synth.domains import domain
from train.synth.outputs.eye_sheet import (
    GAP_PX,
    SCALE,
    histogram,
    noise_of,
    patches_of,
    save_eyes,
)


def test_noise_is_told_from_edges():
    rng = np.random.default_rng(0)
    y, x = np.indices((48, 72))
    smooth = 90 + 40 * np.sin(x / 9) + 0.5 * y
    noisy = smooth + rng.normal(0, 4.0, smooth.shape)
    noisy[20:28, 30:42] -= 60  # an iris
    assert noise_of(noisy) == pytest.approx(4.0, rel=0.15)
    assert noise_of(smooth) < 0.5


def test_a_patch_is_cut_around_each_eye():
    crop = np.zeros((224, 224, 3), np.uint8)
    crop[80, 60], crop[80, 160] = 255, 128
    marks = np.zeros((68, 2))
    for shift, start in ((60.0, 36), (160.0, 42)):
        eye = [(-20, 0), (-8, -4), (8, -4), (20, 0), (8, 4), (-8, 4)]
        marks[start : start + 6] = np.array(eye) + [shift, 80]
    right, left = patches_of(crop, marks)
    assert right.rgb.shape == (48, 72, 3)
    assert (right.rgb[24, 36, 0], left.rgb[24, 36, 0]) == (255, 128)
    assert right.figures["opening"] == pytest.approx(8 / 40)
    assert right.figures["brightness"] == pytest.approx(255 / (48 * 72))
    marks -= [1000, 0]  # beside the crop: its edge is repeated
    assert not patches_of(crop, marks)[0].rgb.any()


def test_histograms_hold_what_is_beyond():
    assert histogram([-5.0, 0.05, 0.55, 9.0], (0.0, 1.0)) == [0.5, 0, 0, 0, 0, 0.25, 0, 0, 0, 0.25]


def test_a_sheet_of_rendered_eyes_beside_photographs(studio, shared_assets, tmp_path, capsys):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    source = shared_assets / "lens" / "london001_neutral.jpg"
    (photographs / "a.jpg").write_bytes(source.read_bytes())
    out = tmp_path / "eyes.png"
    save_eyes(studio, (domain("laptop"),), out, size=(2, 1), seed=3, photographs=photographs)
    said = capsys.readouterr().out
    figures = json.loads(said[said.index("{") :])
    assert (figures["rendered"]["eyes"], figures["real"]["eyes"]) == (2, 1)
    assert 80 < figures["real"]["brightness"]["p50"] < 170
    assert 0.15 < figures["real"]["opening"]["p50"] < 0.45
    assert sum(figures["rendered"]["noise"]["shares"]) == pytest.approx(1.0)
    assert cv2.imread(str(out)).shape == (48 * SCALE, 4 * 72 * SCALE + GAP_PX, 3)
    (photographs / "a.jpg").unlink()
    with pytest.raises(SystemExit, match="no face of 110 px"):
        save_eyes(studio, (domain("laptop"),), out, size=(1, 1), seed=3, photographs=photographs)


def test_photographs_need_eyes_beside_them():
    with pytest.raises(SystemExit, match="add --eyes"):
        main(["preview", "--facekit", "nowhere", "--beside", "photos"])
