"""How well texts tell which factors a picture shows, and how to say it of many factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from train.clip.clip_models import Clip
from train.clip.prompts import HandWritten, truth_probability
from train.data.samples import UNKNOWN
from train.factors import FACTORS

Figures = dict[str, Any]

FIGURES = ("accuracy", "balanced", "most_frequent")


def factor_figures(
    said: NDArray[np.bool_], factors: NDArray[np.uint8], names: Sequence[str]
) -> Figures:
    """Figures of answers (N, K) against factors (N, K), 255 for unknown.

    ``accuracy`` is the share of right answers, ``balanced`` the mean of both sides' recalls, and
    ``most_frequent`` what always saying the more frequent side gives: per factor, and their means.
    A factor that is known nowhere is left out; one that is always on, or always off, has no
    ``balanced`` (None).
    """
    per: dict[str, dict[str, float | int | None]] = {}
    for k, name in enumerate(names):
        known = factors[:, k] != UNKNOWN
        if not known.any():
            continue
        on = factors[known, k] == 1
        right = on == said[known, k]
        both = bool(on.any() and not on.all())
        balanced = (right[on].mean() + right[~on].mean()) / 2 if both else None
        per[name] = {
            "accuracy": round(float(right.mean()), 4),
            "balanced": None if balanced is None else round(float(balanced), 4),
            "most_frequent": round(float(max(on.mean(), 1 - on.mean())), 4),
            "known": int(known.sum()),
        }
    return {name: _mean(per, name) for name in FIGURES} | {"factors": per}


def _mean(per: dict[str, dict[str, float | int | None]], name: str) -> float | None:
    values = [v for figures in per.values() if (v := figures[name]) is not None]
    return round(float(np.mean(values)), 4) if values else None


@torch.no_grad()
def zero_shot(
    clip: Clip, image: NDArray[np.uint8], factors: NDArray[np.uint8], rows: NDArray[np.int64]
) -> Figures:
    """Whether the hand-written sentence that is nearer to a crop is the true one.

    ``image`` (N, 3, S, S) uint8 and ``factors`` (N, K), of which ``rows`` are looked at.
    """
    positive, negative = HandWritten(clip).features()
    probability = []
    for part in np.array_split(rows, max(1, len(rows) // 64)):
        seen = clip.encode_images(torch.from_numpy(np.ascontiguousarray(image[part])))
        probability.append(truth_probability(seen, positive, negative, clip.temperature).cpu())
    said = torch.cat(probability).numpy() > 0.5
    return factor_figures(said, factors[rows], [f.name for f in FACTORS])
