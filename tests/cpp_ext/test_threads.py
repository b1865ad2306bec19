import os
import sys
import threading
import time

import numpy as np
import pytest

from clipgaze_sdk.kernels import letterbox_normalize, warp_normalize
from tests.cpp_ext.pictures import noise

TARGET = {"width": 256, "height": 256, "mean": (0, 0, 0), "std": (1, 1, 1)}


def threads_during(call) -> int:
    """How many threads this process had more, at most, while `call` ran in one of its own."""
    worker = threading.Thread(target=call)
    before = len(os.listdir("/proc/self/task")) + 1
    peak = before
    worker.start()
    while worker.is_alive():
        peak = max(peak, len(os.listdir("/proc/self/task")))
        time.sleep(0.0005)
    worker.join()
    return peak - before


def assert_uses(threads: int, call) -> None:
    """Never more than `threads`; and all of them at once in one of a few tries.

    On a busy machine one may have ended before the next begins to work.
    """
    for _ in range(20):
        extra = threads_during(call)
        assert extra <= threads - 1
        if extra == threads - 1:
            return
    pytest.fail(f"never saw {threads} threads at once")


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_warp_uses_the_threads_it_is_given(threads):
    image = noise(480, 640, 3)
    matrices = np.tile(np.eye(3), (120, 1, 1))
    assert_uses(threads, lambda: warp_normalize(image, matrices, threads=threads, **TARGET))


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
@pytest.mark.parametrize("threads", [1, 3])
def test_letterbox_uses_the_threads_it_is_given(threads):
    image = noise(3000, 4000, 3)
    assert_uses(threads, lambda: letterbox_normalize(image, threads=threads, **TARGET))


def test_python_runs_while_a_kernel_works():
    image = noise(480, 640, 3)
    matrices = np.tile(np.eye(3), (120, 1, 1))
    worker = threading.Thread(target=lambda: warp_normalize(image, matrices, **TARGET))
    rounds = 0
    worker.start()
    while worker.is_alive():
        rounds += 1
        time.sleep(0.0002)
    assert rounds > 3
