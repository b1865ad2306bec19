"""Is the variety worth it?  ``python -m train.probe --facekit DIR --frozen DIR --out DIR``.

Trains the same small gaze network for the same number of steps on crops of three domains, with more
and more of the renderer switched on, and measures it on the other domains of the frozen evaluation
set, which have everything on.  The network sees the eye band at half its resolution, so that
minutes on a CPU are enough for it to learn.  Resumes where it was stopped; prints and writes a
table.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from train.crops import GAZE
from train.evaluation import binned, network_rows
from train.gaze import losses, normalized
from train.loop import LoopOptions, load_average, train
from train.networks import Block, conv
from train.synth.products import NORMALIZATION
from train.synth.shards import read_shard
from train.synth.write import WriteOptions, write_shards

SOURCES = ("lab", "laptop", "phone")
STAGES = {
    "geometry only": "-appearance-world-sensor",
    "+ appearance": "-world-sensor",
    "+ world": "-sensor",
    "+ sensor (all)": "",
}
SEED = 31
BATCH = 64
BAND_TOP = round(NORMALIZATION.center_px[1] - GAZE.center_px[1])
"""The gaze network's band starts at this row of the 224×224 crop."""


class ProbeNetwork(nn.Module):
    """Gaze from the eye band at half resolution (3, 48, 112); about 1.4 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(3, 32, 2),
            Block(32, 64),
            Block(64, 128),
            Block(128, 192),
            conv(192, 64, size=1),
            nn.Flatten(),
            nn.Linear(64 * 3 * 7, 128),
            nn.ReLU(inplace=True),
        )
        self.gaze = nn.Linear(128, 2)
        self.sigma = nn.Linear(128, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """``image`` (N, 3, 96, 224) or (N, 3, 48, 112), normalised."""
        if image.shape[-1] == GAZE.size_px[0]:
            image = F.avg_pool2d(image, 2)
        feature = self.body(image)
        log_sigma = self.sigma(feature.detach()).squeeze(-1) - 1.5
        return {"pitch_yaw": self.gaze(feature), "log_sigma": log_sigma}


def folder_of(out: Path, stage: str) -> Path:
    """Where a stage's crops and network are kept."""
    return out / "".join(c if c.isalnum() else "_" for c in stage).strip("_")


def bands(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Eye bands at half resolution (N, 48, 112, 3) and gaze (N, 2) of shards of crops."""
    images, labels = [], []
    for shard in sorted(folder.glob("shard-*.tar")):
        for sample in read_shard(shard):
            band = sample.rgb[BAND_TOP : BAND_TOP + GAZE.size_px[1]]
            half = GAZE.size_px[0] // 2, GAZE.size_px[1] // 2
            images.append(cv2.resize(band, half, interpolation=cv2.INTER_AREA))
            labels.append(sample.labels["crop_gaze_pitch_yaw_rad"])
    return np.stack(images), np.array(labels, np.float32)


def fit(job: tuple[Path, int]) -> None:
    """Train one network on one core."""
    folder, steps = job
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    images, labels = (torch.from_numpy(x) for x in bands(folder / "crops"))

    def batch_of(generator: torch.Generator) -> tuple[Tensor, ...]:
        """Mirrored or not, and nothing more: augmentation would stand in for what is measured."""
        pick = torch.randint(len(images), (BATCH,), generator=generator)
        flip = torch.rand(BATCH, generator=generator) < 0.5
        x, gaze = images[pick], labels[pick].clone()
        x = torch.where(flip.view(-1, 1, 1, 1), x.flip(2), x)
        gaze[flip, 1] *= -1
        return normalized(x), gaze

    options = LoopOptions(out=folder / "run", steps=steps, batch=BATCH, seed=SEED, threads=1)
    train(ProbeNetwork(), batch_of, losses, options)


def measure(folder: Path, frozen: Path, limit: int | None) -> dict[str, Any]:
    """Mean error on the other domains, and by domain."""
    network = ProbeNetwork()
    load_average(network, folder / "run")
    network.eval()

    def predict(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            out = network(normalized(torch.from_numpy(crops)))
        return np.hstack([out["pitch_yaw"].numpy(), out["log_sigma"].reshape(-1, 1).numpy()])

    rows = network_rows(frozen, GAZE, predict, limit=limit)
    others = [row for row in rows if row["domain"] not in SOURCES]
    seen = [row for row in others if row["eyes"] == "visible"]
    return {
        "others_deg": float(np.mean([row["gaze"] for row in others])),
        "others_visible_eyes_deg": float(np.mean([row["gaze"] for row in seen])),
        "sources_deg": float(np.mean([r["gaze"] for r in rows if r["domain"] in SOURCES])),
        "by_domain": {k: v[0] for k, v in binned(rows, "gaze")["domain"].items()},
        "crops": len(others),
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown."""
    domains = sorted(next(iter(results.values()))["by_domain"])
    head = ["training pictures", "other domains", "visible eyes", "own domains", *domains]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for stage, r in results.items():
        cells = [r["others_deg"], r["others_visible_eyes_deg"], r["sources_deg"]]
        cells += [r["by_domain"][d] for d in domains]
        lines.append(f"| {stage} | " + " | ".join(f"{c:.1f}°" for c in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m train.probe", description=__doc__)
    parser.add_argument("--facekit", type=Path, default=os.environ.get("CLIPGAZE_FACEKIT"))
    parser.add_argument("--frozen", type=Path, required=True, help="the frozen evaluation set")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2400, help="crops per network")
    parser.add_argument("--steps", type=int, default=1500, help=f"of {BATCH} crops")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=int, help="measure on the first pictures only")
    args = parser.parse_args()
    if args.facekit is None:
        parser.error("give --facekit DIR or set CLIPGAZE_FACEKIT")
    for stage, suffix in STAGES.items():
        domains = tuple(f"{name}{suffix}" for name in SOURCES)
        crops = folder_of(args.out, stage) / "crops"
        write_shards(
            WriteOptions(
                facekit=Path(args.facekit),
                out=crops,
                product="crops",
                count=args.count,
                domains=domains,
                seed=SEED,
                workers=args.workers,
                shard_size=min(600, args.count),
            )
        )
    jobs = [(folder_of(args.out, stage), args.steps) for stage in STAGES]
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
        pool.map(fit, jobs, chunksize=1)
    torch.set_num_threads(args.workers)
    results = {s: measure(folder_of(args.out, s), args.frozen, args.limit) for s in STAGES}
    print(table(results))
    report = {
        "results": results,
        "sources": SOURCES,
        "crops_per_network": args.count,
        "image_steps": args.steps * BATCH,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
    }
    (args.out / "probe.json").write_text(json.dumps(report, indent=1) + "\n")
    (args.out / "probe.md").write_text(table(results) + "\n")


if __name__ == "__main__":
    main()
