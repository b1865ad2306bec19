"""What features tell, by linear probes on people that the probe has not seen.

A probe that is fitted to the images it is tested on, or to the same people, would find anything;
and features can be made to tell nothing by being constant.  So people are split, features are
standardised (a factor that is only made faint is still there), and the spread of the features and
the gaze that they tell are measured beside the factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk.geometry import angles_from_vector, vector_from_angles
from train.data.samples import UNKNOWN
from train.eval.protocol import errors_deg, spearman
from train.factors import FACTORS

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]
Figures = dict[str, Any]

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Of the ridge, relative to the variance of a standardised feature; chosen among people that the
probe is fitted on."""
FEWEST = 10
"""Images that either side of a factor needs, to fit on and to test on."""
PAIRS = 20_000


class ProbeError(ValueError):
    """Data that cannot be probed; says what there is and what is expected."""


@dataclass(frozen=True, slots=True)
class Split:
    """Rows by people: to fit on, to choose the ridge's strength by (some of these), to test."""

    fit: Rows
    choose: Rows
    test: Rows


def split_people(person: NDArray[np.int64], seed: int = 0) -> Split:
    """Half of the people to test on; of the other half, a third to choose by."""
    people = np.unique(person)
    if len(people) < 4:
        raise ProbeError(
            f"probes need at least 4 people, to test on others; there are {len(people)}"
        )
    order = np.random.default_rng([seed, 53]).permutation(people)
    half = len(people) // 2
    choosing = max(half // 3, 1)
    fit = np.isin(person, order[:half])
    return Split(fit, np.isin(person, order[:choosing]), ~fit)


def standardised(x: NDArray[Any], fit: Rows) -> Floats:
    """Features (N, D) with mean 0 and variance 1 over the rows to fit on, and a column of ones."""
    x = np.asarray(x, np.float64)
    deviation = x[fit].std(0)
    # Units that are constant but for rounding carry nothing.
    live = deviation > 1e-6 * max(float(np.abs(x[fit]).max()), 1e-12)
    scaled = (x - x[fit].mean(0)) / np.where(live, deviation, 1.0) * live
    return np.hstack([scaled, np.ones((len(x), 1))])


def ridges(x: Floats, y: Floats, strengths: Sequence[float]) -> list[Floats]:
    """Weights (D, M) of y (N, M) for each strength; the last column of x is not shrunk."""
    gram, right = x.T @ x, x.T @ y
    out = []
    for strength in strengths:
        shrink = np.full(len(gram), strength * len(x))
        shrink[-1] = 1e-9
        weights = np.linalg.solve(gram + np.diag(shrink), right)
        out.append(np.asarray(weights, np.float64))
    return out


def gaze_probe(x: NDArray[Any], gaze: NDArray[Any], split: Split) -> float:
    """Mean error in degrees, on people to test on, of gaze told linearly by features (N, D)."""
    x, target = standardised(x, split.fit), vector_from_angles(gaze)

    def error(weights: Floats, rows: Rows) -> float:
        said = angles_from_vector(x[rows] @ weights)
        return float(np.mean(errors_deg(said, np.asarray(gaze)[rows])))

    first = split.fit & ~split.choose
    tried = [error(w, split.choose) for w in ridges(x[first], target[first], STRENGTHS)]
    best = STRENGTHS[int(np.argmin(tried))]
    return error(ridges(x[split.fit], target[split.fit], [best])[0], split.test)


def factor_probe(
    x: NDArray[Any], factors: NDArray[np.uint8], split: Split, names: Sequence[str] | None = None
) -> Figures:
    """Balanced accuracy of factors (N, K) told linearly by features (N, D): each, and their mean.

    Factors with fewer than :data:`FEWEST` images of a side among those to fit on, to choose by or
    to test on are left out.  0.5 is what a constant answer has.
    """
    names = [f.name for f in FACTORS] if names is None else list(names)
    x = standardised(x, split.fit)
    each: dict[str, float] = {}
    for k, name in enumerate(names):
        known = factors[:, k] != UNKNOWN
        on = factors[:, k] == 1
        parts = [rows & known for rows in (split.fit & ~split.choose, split.choose, split.test)]
        if min(int((p & side).sum()) for p in parts for side in (on, ~on)) < FEWEST:
            continue
        each[name] = _one_factor(x, on, parts)
    dimension = {f.name: f.dimension for f in FACTORS}
    kinds: dict[str, list[float]] = {}
    for name, value in each.items():
        kinds.setdefault(dimension.get(name, "other"), []).append(value)
    return {
        "balanced": float(np.mean(list(each.values()))) if each else None,
        "dimensions": {kind: float(np.mean(values)) for kind, values in kinds.items()},
        "factors": each,
    }


def _one_factor(x: Floats, on: Rows, parts: Sequence[Rows]) -> float:
    first, choose, test = parts
    fit = first | choose
    sides = np.where(on, 1.0, -1.0)[:, None]

    def balanced(weights: Floats, fitted: Rows, rows: Rows) -> float:
        score = (x @ weights)[:, 0]
        # Half-way between both sides' means, so that a rare side counts as much.
        middle = 0.5 * (score[fitted & on].mean() + score[fitted & ~on].mean())
        right = (score > middle) == on
        return float(0.5 * (right[rows & on].mean() + right[rows & ~on].mean()))

    tried = [balanced(w, first, choose) for w in ridges(x[first], sides[first], STRENGTHS)]
    best = STRENGTHS[int(np.argmax(tried))]
    return balanced(ridges(x[fit], sides[fit], [best])[0], fit, test)


def spread_of(x: NDArray[Any]) -> dict[str, float]:
    """How much features (N, D) of different images differ.

    ``mean_cosine`` is the mean cosine over pairs (1: one constant direction), ``effective_rank``
    exp of the entropy of the covariance's eigenvalues, as shares (1: they vary along one line).
    """
    x = np.asarray(x, np.float64)
    if len(x) < 2:
        raise ProbeError(f"the spread of {len(x)} feature; expected at least 2")
    length = np.linalg.norm(x, axis=1, keepdims=True)
    unit = x / np.maximum(length, 1e-12)
    total = float(np.square(unit.sum(0)).sum())
    own = float(np.square(unit).sum())
    values = np.clip(np.linalg.eigvalsh(np.cov(x.T).reshape(x.shape[1], -1)), 0, None)
    share = values / max(float(values.sum()), 1e-30)
    share = share[share > 0]
    rank = float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0
    return {"mean_cosine": (total - own) / (len(x) * (len(x) - 1)), "effective_rank": rank}


def order_of(x: NDArray[Any], gaze: NDArray[Any], seed: int = 0) -> float | None:
    """Spearman's correlation between the cosines of gazes and those of features, over pairs."""
    rng = np.random.default_rng([seed, 59])
    first, second = rng.integers(0, len(x), (2, PAIRS))
    first, second = first[first != second], second[first != second]
    unit = np.asarray(x, np.float64)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    vectors = vector_from_angles(gaze)
    labels = (vectors[first] * vectors[second]).sum(1)
    return spearman(labels, (unit[first] * unit[second]).sum(1))
