"""An estimator that lives while its process forks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

PROGRAM = """
import gc, os, signal, sys, threading
import cv2
from clipgaze_sdk import BackendError, EstimatorOptions, GazeEstimator

image = cv2.imread(sys.argv[2])
estimator = GazeEstimator(options=EstimatorOptions(threads=int(sys.argv[1])))
expected = estimator.estimate(image).faces[0].gaze.vector

def in_child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(type(error), error, flush=True)
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFEXITED(status), signal.Signals(os.WTERMSIG(status)).name
    assert os.WEXITSTATUS(status) == 0

def refused():
    global estimator
    for call in (lambda: estimator.estimate(image), estimator.reset, estimator.__enter__):
        try:
            call()
        except BackendError as error:
            assert "forked" in str(error) and "make a new GazeEstimator" in str(error), error
        else:
            raise AssertionError("not refused")
    estimator.close()
    estimator = None
    gc.collect()
    with GazeEstimator(options=EstimatorOptions(threads=1)) as other:
        assert abs(other.estimate(image).faces[0].gaze.vector - expected).max() < 1e-6

in_child(refused)
assert (estimator.estimate(image).faces[0].gaze.vector == expected).all()

stop = threading.Event()

def work():
    while not stop.is_set():
        estimator.estimate(image)

thread = threading.Thread(target=work)
thread.start()
try:
    for _ in range(3):
        in_child(refused)
finally:
    stop.set()
    thread.join()
estimator.close()
in_child(lambda: estimator.close())
print("done", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_in_a_forked_child_it_counts_as_closed(threads: int, repository: Path) -> None:
    portrait = repository / "samples" / "media" / "portrait.jpg"
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(threads), str(portrait)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.stdout.split() == ["done"], run.stdout + run.stderr


def test_an_estimator_that_lives_to_the_end_of_the_program_says_nothing(fake_models: Path) -> None:
    code = "import sys; from clipgaze_sdk import GazeEstimator; made = GazeEstimator(sys.argv[1])"
    command = [sys.executable, "-c", code, str(fake_models)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
