"""Draw features before and after M: ``python -m train.eval.features --run R --data D --out PNG``.

t-SNE of f and f_re (cosine distances), coloured by the yaw and the pitch of gaze: where features
are of gaze, colours run smoothly.  With few images the two main components are drawn instead.
``--factor glasses`` adds a row coloured by a factor.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from train.data.samples import DataError
from train.data.tables import UNKNOWN, GazeDataset
from train.eval.claims import probed
from train.eval.protocol import ProtocolError, predict
from train.factors import FACTORS, factor
from train.gaze.checkpoints import CheckpointError, load_model

FEWEST = 50
"""Images from which on t-SNE is used."""


def placed(x: NDArray[Any], seed: int = 0) -> tuple[NDArray[np.float64], str]:
    """Features (N, D) in the plane (N, 2), and by what: t-SNE, or PCA of few."""
    unit = np.asarray(x, np.float64)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    centered = unit - unit.mean(0)
    # The largest components keep nearly all of the distances, and t-SNE is much faster on them.
    left, size, _ = np.linalg.svd(centered, full_matrices=False)
    main = left[:, :50] * size[:50]
    if len(x) < FEWEST or main.shape[1] < 2:
        main = np.pad(main[:, :2], ((0, 0), (0, max(0, 2 - main.shape[1]))))
        return main, "main components"
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(x) - 1) / 3)
    place = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(main)
    return np.asarray(place, np.float64), "t-SNE"


def draw(
    run: Path,
    dataset: GazeDataset,
    out: Path,
    *,
    factors: tuple[str, ...] = (),
    device: str = "cpu",
    workers: int = 0,
) -> None:
    """Write the picture; a column for f and one for f_re, a row for each colouring."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    said = predict(load_model(run), dataset, device=device, workers=workers, features=True)
    labels = dataset.labels()
    known = np.isfinite(said.gaze).all(1)
    gaze = np.degrees(labels["gaze"])
    shades: dict[str, NDArray[Any]] = {"yaw [°]": gaze[:, 1], "pitch [°]": gaze[:, 0]}
    for name in factors:
        column = labels["factors"][:, [f.name for f in FACTORS].index(name)]
        shades[name] = np.where(column == UNKNOWN, np.nan, column.astype(float))
    features = {"f, before M": said.f, "f_re, after M": said.f_re}
    figure = Figure(figsize=(9, 3.9 * len(shades)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(shades), 2, squeeze=False)
    for column, (title, x) in enumerate(features.items()):
        if x is None:
            continue
        place, by = placed(x[known])
        for row, (shade, values) in enumerate(shades.items()):
            _panel(figure, panels[row, column], place, values[known], f"{title} ({by})", shade)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80, metadata={"Software": None})


def _panel(figure: Any, axes: Any, place: Any, values: Any, title: str, shade: str) -> None:
    seen = np.isfinite(values)
    most = float(np.quantile(np.abs(values[seen]), 0.98)) if seen.any() else 1.0
    low, kind = (-most, "coolwarm") if "°" in shade else (0.0, "viridis")
    dots = axes.scatter(
        *place[seen].T, c=values[seen], s=5, cmap=kind, vmin=low, vmax=max(most, 1e-6)
    )
    axes.set(title=title, xticks=[], yticks=[])
    figure.colorbar(dots, ax=axes, label=shade)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m train.eval.features", description=__doc__)
    add = parser.add_argument
    add("--run", type=Path, required=True, help="--out of train.gaze.fit")
    add("--data", required=True, nargs="+", metavar="NAME:PATH")
    add("--out", type=Path, required=True, help="picture.png")
    add("--factor", nargs="*", default=[], help="names of train/factors.py")
    add("--most", type=int, default=2000, help="images that are drawn")
    add("--workers", type=int, default=2)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(arguments)
    from train.data.registry import open_dataset

    try:
        for name in args.factor:
            factor(name)
        dataset = probed(open_dataset(args.data), args.most)
        chosen = tuple(args.factor)
        draw(args.run, dataset, args.out, factors=chosen, device=args.device, workers=args.workers)
    except KeyError as error:
        print(f"error: {error.args[0]}", file=sys.stderr)
        return 2
    except (ProtocolError, CheckpointError, DataError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
