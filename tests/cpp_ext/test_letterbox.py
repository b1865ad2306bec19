import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipgaze_sdk.kernels import letterbox_normalize
from tests.cpp_ext import twins
from tests.cpp_ext.pictures import MEAN, STD, grey_levels, noise, waves

TOLERANCE_LEVELS = 0.12
RAW = {"mean": (0, 0, 0), "std": (1 / 255,) * 3}


@settings(max_examples=150, deadline=None)
@given(
    image_size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    color=st.sampled_from(["bgr", "rgb", "nv12"]),
    output_color=st.sampled_from(["bgr", "rgb"]),
    threads=st.integers(1, 3),
)
def test_agrees_with_its_twin(image_size, size, color, output_color, threads):
    width, height = image_size
    image = noise(3 * height, 2 * width) if color == "nv12" else noise(height, width, 3)
    options = {
        "width": size[0],
        "height": size[1],
        "mean": MEAN,
        "std": STD,
        "color": color,
        "output_color": output_color,
    }
    ours, scale = letterbox_normalize(image, threads=threads, **options)
    expected, expected_scale = twins.letterbox_normalize(image, **options)
    assert ours.shape == (1, 3, size[1], size[0])
    assert ours.dtype == np.float32
    assert scale == expected_scale
    assert grey_levels(ours - expected) < TOLERANCE_LEVELS


def test_black_fills_what_the_image_leaves():
    image = np.full((10, 20, 3), 255, np.uint8)
    letterbox, scale = letterbox_normalize(image, width=40, height=40, mean=MEAN, std=STD)
    assert scale == 2.0
    white = (1 - np.array(MEAN)) / STD
    black = -np.array(MEAN) / STD
    for c in range(3):
        np.testing.assert_allclose(letterbox[0, c, :20], white[c], rtol=1e-5)
        np.testing.assert_allclose(letterbox[0, c, 20:], black[c], rtol=1e-5)


def test_a_mark_is_where_the_scale_says():
    image = np.zeros((240, 480, 3), np.uint8)
    image[100:108, 300:308] = 255  # centre 303.5, 103.5
    letterbox, scale = letterbox_normalize(image, width=120, height=96, **RAW)
    weights = letterbox[0, 0]
    y, x = np.mgrid[0:96, 0:120]
    centre = np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()
    np.testing.assert_allclose((centre + 0.5) / scale - 0.5, (303.5, 103.5), atol=0.01)


def test_shrinking_by_a_whole_number_is_the_mean_of_blocks():
    image = noise(12, 18, 3)
    letterbox, _ = letterbox_normalize(image, width=6, height=4, output_color="bgr", **RAW)
    blocks = image.reshape(4, 3, 6, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(letterbox[0], blocks.transpose(2, 0, 1), atol=1e-3)


def test_agrees_with_opencv_area_within_one_grey_level():
    cv2 = pytest.importorskip("cv2")
    image = waves(360, 640)
    letterbox, _ = letterbox_normalize(image, width=224, height=126, output_color="bgr", **RAW)
    area = cv2.resize(image, (224, 126), interpolation=cv2.INTER_AREA)
    assert np.abs(letterbox[0].transpose(1, 2, 0) - area).max() <= 1.0


def test_one_pixel_image():
    letterbox, scale = letterbox_normalize(
        np.full((1, 1, 3), 7, np.uint8), width=3, height=5, **RAW
    )
    assert scale == 3.0
    np.testing.assert_allclose(letterbox[0, :, :3], 7, atol=1e-4)
    assert not letterbox[0, :, 3:].any()
