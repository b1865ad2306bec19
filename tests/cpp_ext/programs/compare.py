"""What builds of kernels.cpp wrote, beside the first of them:  compare.py LIMIT FILE FILE...

Fails where two numbers lie further apart than LIMIT (grey levels, or pixels of boxes).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def main(limit: float, paths: list[str]) -> int:
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
        print(f"{name}: at most {difference:.4f} from {Path(paths[0]).stem}, {first.size} numbers")
        failed |= not difference <= limit
    if failed:
        print(f"compare: at most {limit} is allowed", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
