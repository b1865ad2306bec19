"""What the demo does, on the bundled media with the bundled networks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clipgaze_sdk.geometry import angle_between

ROOT = Path(__file__).parents[1]
MEDIA = ROOT / "samples" / "media"
PEAK_MB = 500

RUN = """
import sys
from pathlib import Path
from clipgaze_sdk.cli import main
code = main(sys.argv[1:])
# Not getrusage: its peak counts the process that started this one, too.
status = Path("/proc/self/status")
status = status.read_text().split() if status.exists() else ["VmHWM:", "0"]
print("peak_mb", int(status[status.index("VmHWM:") + 1]) / 1024)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict], float]:
    """The clip's results, a line a frame, and the peak of memory in MB."""
    folder = tmp_path_factory.mktemp("demo")
    outputs = [str(folder / "clip.mp4"), str(folder / "clip.jsonl")]
    command = [sys.executable, "-c", RUN, "run", str(MEDIA / "clip.mp4"), *outputs, "--headless"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    lines = Path(outputs[1]).read_text(encoding="utf-8").splitlines()
    assert Path(outputs[0]).stat().st_size > 10_000
    return [json.loads(line) for line in lines], float(done.stdout.split()[-1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_the_clip_needs_little_memory(clip):
    assert clip[1] < PEAK_MB


def test_gaze_follows_the_truth_of_the_clip(clip):
    """Angles in degrees against the renderer's; frames of the blink are left out."""
    frames = json.loads((MEDIA / "clip.json").read_text(encoding="utf-8"))["frames"]
    results = clip[0]
    assert len(results) == len(frames) == 90
    errors, yaws = [], []
    for result, truth in zip(results, frames, strict=True):
        assert len(result["faces"]) == 1
        face = result["faces"][0]
        if truth["blink"] == 0:
            errors.append(angle_between(face["gaze"]["vector"], truth["vector"]))
            yaws.append((face["gaze"]["yaw_rad"], truth["yaw_rad"]))
    assert np.degrees(np.mean(errors)) < 8.0
    assert np.corrcoef(np.array(yaws).T)[0, 1] > 0.9
    assert len({result["faces"][0]["track_id"] for result in results}) == 1


def test_the_blink_of_the_clip_is_seen(clip):
    frames = json.loads((MEDIA / "clip.json").read_text(encoding="utf-8"))["frames"]
    openness = np.array([np.mean(r["faces"][0]["eye_openness"]) for r in clip[0]])
    shut = np.array([frame["blink"] > 0.6 for frame in frames])
    apart = np.array([frame["blink"] == 0 for frame in frames])
    assert openness[shut].mean() < openness[apart].mean() - 0.2
