from __future__ import annotations

import gc
from pathlib import Path

import pytest

from clipgaze_sdk import EstimatorOptions, GazeEstimator
from tests.fake_networks import draw_faces


@pytest.mark.slow
def test_no_growth_over_two_thousand_frames(fake_models: Path) -> None:
    psutil = pytest.importorskip("psutil")
    process = psutil.Process()
    images = [draw_faces((1280, 720), [(200 + 5 * i, 300), (900, 400)]) for i in range(20)]
    images += images[::-1]
    with GazeEstimator(fake_models, options=EstimatorOptions(threads=1)) as made:

        def play(first: int, last: int) -> None:
            for index in range(first, last):
                made.estimate(images[index % 40], timestamp_s=index / 30)

        play(0, 300)
        gc.collect()
        before = process.memory_info().rss
        play(300, 2300)
        gc.collect()
        growth_mb = (process.memory_info().rss - before) / 2**20
    assert growth_mb < 8.0
