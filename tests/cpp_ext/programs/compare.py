"""What builds of kernels.cpp wrote, beside the first of them:  compare.py FILE FILE...

Fails where two numbers lie further apart than MAX_DIFFERENCE (grey levels, or pixels of boxes).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

# Weights of a blend are whole numbers of 2^-14: where two builds round a coordinate differently,
# a grey level moves by up to 255 times as much.
MAX_DIFFERENCE = 0.05


def main(paths: list[str]) -> int:
    first, *others = (np.fromfile(path, np.float32) for path in paths)
    if not first.size or not np.isfinite(first).all():
        sys.exit(f"compare: {paths[0]} is empty or has numbers that are not finite")
    failed = False
    for path, other in zip(paths[1:], others, strict=True):
        name = Path(path).stem
        if other.shape != first.shape:
            print(f"{name}: {other.size} numbers, {Path(paths[0]).stem} has {first.size}")
            failed = True
            continue
        difference = float(np.abs(other - first).max())
        print(f"{name}: at most {difference:.3f} from {Path(paths[0]).stem}, {first.size} numbers")
        failed |= not difference <= MAX_DIFFERENCE
    if failed:
        print(f"compare: at most {MAX_DIFFERENCE} is allowed", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
