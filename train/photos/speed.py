"""Speed and memory of the whole SDK: ``clipgaze bench`` in a process of its own.

A process of its own, so that its peak memory is the SDK's and the bench's alone:
``python -m train.photos.speed BENCH_ARGUMENTS`` runs the bench and prints that peak.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from train.json_files import read_json

PICTURE = Path(__file__).parents[2] / "samples" / "media" / "portrait.jpg"
_PEAK = "peak_rss_mb="


def peak_rss_mb() -> float:
    """The most memory that this process has held at once, MB of 2^20 bytes.

    Where the kernel says, since the program began: ``getrusage`` goes on counting from the process
    that started this one.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def speed(models: Path | None, *, frames: int, threads: int) -> dict[str, Any]:
    """Frames a second and peak memory on 1280x720 with one face.

    Args:
        models: a gaze model or a folder; None for the bundled ones.
        frames: to time; 0 leaves it out.
        threads: of the CPU.
    """
    if not frames:
        return {"skipped": "no frames were asked for (--frames)"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bench.json"
        arguments = ["--image", PICTURE, "--frames", frames, "--threads", threads, "--json", out]
        if models is not None:
            arguments += ["--model", models.resolve()]
        done = subprocess.run(
            [sys.executable, "-m", "train.photos.speed", *map(str, arguments)],
            cwd=PICTURE.parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"clipgaze bench failed:\n{done.stdout}{done.stderr}")
        report = read_json(out)
    return {
        "frames": frames,
        "threads": threads,
        "followed_fps": report["stream"]["fps"],
        "each_alone_fps": report["still"]["fps"],
        "peak_rss_mb": peak_of(done.stdout),
    }


def peak_of(printed: str) -> float:
    """The peak memory that the process printed, MB."""
    (line,) = [line for line in printed.splitlines() if line.startswith(_PEAK)]
    return float(line.removeprefix(_PEAK))


def main() -> int:
    """Entry point of the process that is measured."""
    from clipgaze_sdk.cli import main as clipgaze

    code = clipgaze(["bench", *sys.argv[1:]])
    print(f"{_PEAK}{peak_rss_mb():.1f}")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
