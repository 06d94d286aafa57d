"""How sure a score is: whole groups (people, scans) are drawn again, since their images are alike.

Percentile intervals of the cluster bootstrap (Davison & Hinkley 1997, section 3.8). A draw is a row of
multinomial counts, how often each group was taken; all draws are one matrix product with the group
totals, so nothing is indexed again. With few groups (under about 20) such intervals are too short.
"""

from typing import NamedTuple

import numpy as np

from competition.errors import InputFault
from competition.scoring.metrics import Metric, aggregate, score_from_statistics

_BLOCK = 1 << 22  # numbers of one block of the draws × groups matrix


class Interval(NamedTuple):
    """A score and the bounds it lies between at the level asked for."""

    estimate: float
    low: float
    high: float


class Gain(NamedTuple):
    """after − before, its bounds, and the share of draws in which after is the higher one."""

    gain: float
    low: float
    high: float
    probability: float


def interval(
    values: np.ndarray,
    groups: np.ndarray,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean of scores (N,) or (N, K), NaN not counted, with a bootstrap interval over groups (N,).

    The bounds are NaN with fewer than two groups, and all three where nothing is counted.

    >>> interval(np.array([0.5, 0.7, 0.9, 0.9]), np.array(["ann", "ann", "bob", "eve"])).estimate
    0.75
    """
    totals = _group_totals(_sums_and_counts(values), groups)
    sums = _resampled(totals, draws, seed)
    return Interval(float(_mean(totals.sum(axis=0))), *_bounds(_mean(sums), totals, level))


def paired(
    before: np.ndarray,
    after: np.ndarray,
    groups: np.ndarray,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Gain:
    """Gain of one set of scores over another of the same images, each (N,) or (N, K).

    The same draws of groups serve both, so what is hard for both cancels. A draw without a
    difference counts half towards the probability.
    """
    if np.shape(before) != np.shape(after):
        raise InputFault(
            f"scores before and after are of the same images: shapes {np.shape(before)} and "
            f"{np.shape(after)}"
        )
    columns = np.concatenate([_sums_and_counts(before), _sums_and_counts(after)], axis=1)
    totals = _group_totals(columns, groups)
    sums, whole = _resampled(totals, draws, seed), totals.sum(axis=0)
    gains = _mean(sums[:, 2:]) - _mean(sums[:, :2])
    probability = float(np.mean((gains > 0) + 0.5 * (gains == 0)))
    return Gain(
        float(_mean(whole[2:]) - _mean(whole[:2])), *_bounds(gains, totals, level), probability
    )


def pooled_interval(
    counts: np.ndarray,
    groups: np.ndarray,
    metric: Metric,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """The same for a metric over pixels: counts int64 (N, K, 3) as `metrics.aggregate` takes them."""
    totals = _group_totals(np.reshape(counts, (len(counts), -1)).astype(float), groups)
    sums = _resampled(totals, draws, seed).reshape(-1, *counts.shape[1:])
    scores = score_from_statistics(sums[..., 0], sums[..., 1], sums[..., 2], metric)
    return Interval(aggregate(counts, metric), *_bounds(_mean_of_rows(scores), totals, level))


def _sums_and_counts(values: np.ndarray) -> np.ndarray:
    """Sum and number of the counted scores of each image: float64 (N, 2)."""
    rows = np.asarray(values, dtype=float).reshape(len(values), -1)
    return np.stack([np.nansum(rows, axis=1), np.sum(~np.isnan(rows), axis=1)], axis=1)


def _group_totals(columns: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sums of the rows (N, F) of each group: (G, F)."""
    if len(groups) != len(columns):
        raise InputFault(f"{len(columns)} images have scores and {len(groups)} have a group")
    names, group_of_row = np.unique(np.asarray(groups), return_inverse=True)
    totals = np.zeros((len(names), columns.shape[1]))
    np.add.at(totals, group_of_row, columns)
    return totals


def _resampled(totals: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Sums over as many groups as there are, drawn with replacement: (draws, F)."""
    random = np.random.default_rng(seed)
    groups = len(totals)
    step = max(1, _BLOCK // groups)
    blocks = [
        random.multinomial(groups, np.full(groups, 1 / groups), size=min(step, draws - first))
        @ totals
        for first in range(0, draws, step)
    ]
    return np.concatenate(blocks)


def _mean(sums: np.ndarray) -> np.ndarray:
    """Sum over count of (…, 2); NaN where nothing is counted."""
    total, count = sums[..., 0], sums[..., 1]
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def _mean_of_rows(scores: np.ndarray) -> np.ndarray:
    return _mean(_sums_and_counts(scores))


def _bounds(drawn: np.ndarray, totals: np.ndarray, level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise InputFault(f"an interval at level {level!r}: a number between 0 and 1 is asked for")
    drawn = drawn[~np.isnan(drawn)]
    if len(totals) < 2 or drawn.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
