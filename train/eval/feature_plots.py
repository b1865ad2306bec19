"""Pictures of features before and after M, in the plane.

The work of ``python -m train.eval.features``.  Of a twin, features are those of the picture as it
is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.commands import device_of
from train.data.registry import open_dataset
from train.data.samples import UNKNOWN, DataError
from train.data.tables import GazeDataset
from train.eval.probes import spread_of
from train.eval.protocol import ProtocolError, predict
from train.eval.verdicts import LEAST_RANK, MOST_COSINE, probed
from train.factors import FACTORS, factor
from train.gaze.checkpoints import load_model
from train.loop.states import CheckpointError

FEWEST = 50
"""Images from which on t-SNE is used."""
LEAST_SPREAD = 1e-4
"""Root mean square distance of features of length 1 from their mean; below, all are one."""


def placed(x: NDArray[Any], seed: int = 0) -> tuple[NDArray[np.float64], str]:
    """Finite features (N, D) in the plane (N, 2), and by what: t-SNE, or PCA of few.

    Collapsed features are placed by PCA too: t-SNE divides by the spread of what it begins with,
    and ends the process where there is none.
    """
    centered = _centered(x)
    # The largest components keep nearly all of the distances, and t-SNE is much faster on them.
    left, size, _ = np.linalg.svd(centered, full_matrices=False)
    main = left[:, :50] * size[:50]
    if len(x) < FEWEST or main.shape[1] < 2 or _spread(centered) < LEAST_SPREAD:
        main = np.pad(main[:, :2], ((0, 0), (0, max(0, 2 - main.shape[1]))))
        return main, "main components"
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(x) - 1) / 3)
    place = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(main)
    return np.asarray(place, np.float64), "t-SNE"


def told(x: NDArray[Any]) -> str:
    """How much features (N, D) of different images differ; says in words where they do not."""
    figures = spread_of(x)
    cosine, rank = figures["mean_cosine"], figures["effective_rank"]
    said = f"mean cosine {cosine:.3f}, effective rank {rank:.1f}"
    if _spread(_centered(x)) < LEAST_SPREAD:
        return f"collapsed, all images have one feature ({said})"
    if cosine > MOST_COSINE or rank < LEAST_RANK:
        return f"nearly collapsed ({said})"
    return said


def _centered(x: NDArray[Any]) -> NDArray[np.float64]:
    """Features at length 1, without their mean."""
    unit = np.asarray(x, np.float64)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    return np.asarray(unit - unit.mean(0), np.float64)


def _spread(centered: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(centered).sum(1).mean()))


def draw(
    run: Path,
    dataset: GazeDataset,
    out: Path,
    *,
    factors: tuple[str, ...] = (),
    device: str = "cpu",
    workers: int = 0,
) -> list[str]:
    """Write the picture; a column for f and one for f_re, a row for each colouring.

    Returns a sentence about either feature, which stands in the picture as well.  Raises
    :class:`ProtocolError` where fewer than 2 images have finite features.
    """
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
    sentences = []
    for column, (title, x) in enumerate(features.items()):
        if x is None:
            continue
        finite = known & np.isfinite(x).all(1)
        if finite.sum() < 2:
            raise ProtocolError(
                f"{int(finite.sum())} of {len(x)} images have finite features; expected 2 or more: "
                "the run is broken, or the pictures cannot be read"
            )
        place, by = placed(x[finite])
        sentences.append(f"{title}: {told(x[finite])}")
        if finite.sum() < len(x):
            sentences[-1] += f"; {int((~finite).sum())} images without a finite feature left out"
        for row, (shade, values) in enumerate(shades.items()):
            _panel(figure, panels[row, column], place, values[finite], f"{title} ({by})", shade)
    figure.suptitle("\n".join(sentences), fontsize="small")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80, metadata={"Software": None})
    return sentences


def _panel(figure: Any, axes: Any, place: Any, values: Any, title: str, shade: str) -> None:
    seen = np.isfinite(values)
    most = float(np.quantile(np.abs(values[seen]), 0.98)) if seen.any() else 1.0
    low, kind = (-most, "coolwarm") if "°" in shade else (0.0, "viridis")
    dots = axes.scatter(
        *place[seen].T, c=values[seen], s=5, cmap=kind, vmin=low, vmax=max(most, 1e-6)
    )
    axes.set(title=title, xticks=[], yticks=[])
    figure.colorbar(dots, ax=axes, label=shade)


def run(args: argparse.Namespace) -> int:
    """Draw as the command says; returns the exit code."""
    try:
        for name in args.factor:
            factor(name)
        dataset = probed(open_dataset(args.data), args.most)
        chosen = tuple(args.factor)
        sentences = draw(
            args.run,
            dataset,
            args.out,
            factors=chosen,
            device=device_of(args.device),
            workers=args.workers,
        )
    except KeyError as error:
        print(f"error: {error.args[0]}", file=sys.stderr)
        return 2
    except (ProtocolError, CheckpointError, DataError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join([*sentences, f"wrote {args.out}"]))
    return 0
