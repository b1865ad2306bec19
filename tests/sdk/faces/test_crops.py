from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from clipgaze_sdk._options import ColorOrder
from clipgaze_sdk.faces.sampling import sample_crops

MEAN, STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.GaussianBlur(noise(height, width), (0, 0), 12), np.uint8)


def scaling(step: float, x: float, y: float) -> NDArray[np.float64]:
    """A crop whose pixel (0, 0) has its outer corner at the outer corner of image pixel (x, y)."""
    return np.array([[step, 0, x + step / 2 - 0.5], [0, step, y + step / 2 - 0.5], [0, 0, 1]])


def sample(
    image: NDArray[np.uint8],
    maps: NDArray[np.float64],
    size: tuple[int, int] = (16, 12),
    color: ColorOrder = "bgr",
) -> NDArray[np.float32]:
    return sample_crops(image, maps, width=size[0], height=size[1], mean=MEAN, std=STD, color=color)


def test_identity_gives_the_pixels_back() -> None:
    image = noise(12, 16)
    crop = sample(image, np.eye(3)[None])
    np.testing.assert_allclose(crop[0], image[:, :, ::-1].transpose(2, 0, 1) / 255.0, atol=1e-6)


@pytest.mark.parametrize("factor", [4, 8])
@pytest.mark.parametrize("corner", [(0, 0), (64, 32), (40, 24)])
def test_shrinking_by_a_power_of_two_is_the_mean_over_blocks(
    factor: int, corner: tuple[int, int]
) -> None:
    image = noise(200, 260)
    crop = sample(image, scaling(factor, *corner)[None])
    x, y = corner
    blocks = image[y : y + 12 * factor, x : x + 16 * factor, ::-1].astype(np.float64)
    expected = blocks.reshape(12, factor, 16, factor, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    np.testing.assert_allclose(crop[0] * 255, expected, atol=0.6)


def test_no_step_where_shrinking_begins() -> None:
    image = smooth(400, 400)
    just_below = sample(image, scaling(1.999, 100, 100)[None])
    just_above = sample(image, scaling(2.001, 100, 100)[None])
    assert np.abs(just_below - just_above).max() * 255 < 3


@pytest.mark.parametrize("step", [3.0, 5.0])
def test_shrunk_crops_are_at_the_right_place(step: float) -> None:
    # On a linear ramp every correct sampling gives the ramp's value at the crop pixel's centre.
    ramp = np.repeat(np.repeat(np.arange(0, 240, dtype=np.uint8)[None, :], 240, 0)[..., None], 3, 2)
    homography = scaling(step, 61.0, 35.0)
    crop = sample(np.ascontiguousarray(ramp), homography[None])
    expected = homography[0, 0] * np.arange(16) + homography[0, 2]
    np.testing.assert_allclose(crop[0, 0, 5] * 255, expected, atol=0.6)
    crop = sample(np.ascontiguousarray(ramp.transpose(1, 0, 2)), homography[None])
    expected = homography[1, 1] * np.arange(12) + homography[1, 2]
    np.testing.assert_allclose(crop[0, 0, :, 5] * 255, expected, atol=0.6)


def test_plain_and_shrunk_crops_keep_their_order() -> None:
    image = smooth(300, 300)
    maps = np.stack([scaling(4, 10, 20), scaling(1, 50, 60), scaling(8, 0, 0), scaling(1.5, 9, 9)])
    together = sample(image, maps)
    for index in range(4):
        np.testing.assert_array_equal(together[index], sample(image, maps[index : index + 1])[0])


def test_crops_beyond_the_image_repeat_its_border() -> None:
    image = np.full((50, 60, 3), 77, np.uint8)
    maps = np.stack(
        [scaling(s, x, y) for s in (1, 4, 16) for x in (-900, 40, 900) for y in (-5, 99)]
    )
    np.testing.assert_allclose(sample(image, maps) * 255, 77, atol=0.51)


def test_no_crops() -> None:
    assert sample(noise(9, 9), np.zeros((0, 3, 3))).shape == (0, 3, 12, 16)


@pytest.mark.parametrize("step", [1.0, 4.0])
def test_nv12_and_rgb_agree_with_bgr(step: float) -> None:
    bgr = smooth(240, 320)
    maps = scaling(step, 30, 20)[None]
    rgb = sample(np.ascontiguousarray(bgr[:, :, ::-1]), maps, color="rgb")
    np.testing.assert_allclose(rgb, sample(bgr, maps), atol=1e-6)
    i420 = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420))
    chroma = i420[240:].reshape(2, -1)
    nv12 = np.vstack([i420[:240], chroma.T.reshape(120, 320)])
    back = np.asarray(cv2.cvtColor(nv12, cv2.COLOR_YUV2BGR_NV12), np.uint8)
    yuv = sample(np.ascontiguousarray(nv12), maps, color="nv12")
    np.testing.assert_allclose(yuv * 255, sample(back, maps) * 255, atol=2.0)
