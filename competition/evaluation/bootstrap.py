"""The cluster bootstrap: how sure a score is, when images of one group (patient, scan) are alike.

Whole groups are drawn with replacement (Davison & Hinkley 1997, section 3.8). Every score here is a
function of sums over groups, so a draw is a sum of group totals, and all draws are one matrix product.
With few groups (under about 20) the intervals are too short.
"""

import numpy as np

from competition.errors import InputFault

DRAWS, LEVEL = 2000, 0.95
_BLOCK = 1 << 22  # drawn groups at once: bounds the memory where groups are many


def group_totals(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Names of the groups (G,), sorted, and the sums of each one's rows: (N, …) → float64 (G, …)."""
    if len(values) != len(groups):
        raise InputFault(f"{len(values)} images have scores and {len(groups)} have a group")
    names, place = np.unique(groups, return_inverse=True)
    totals = np.zeros((len(names), *values.shape[1:]))
    np.add.at(totals, place, values)
    return names, totals


def resampled(
    totals: np.ndarray, generator: np.random.Generator, *, size: int | None = None
) -> np.ndarray:
    """Sums over `size` groups (by default as many as there are) drawn with replacement.

    totals: (G, …), sums of each group; returns float64 (DRAWS, …). What is compared is stacked along
    a later axis, so that one draw of groups serves both sides.
    """
    count = len(totals)
    size = count if size is None else size
    flat = totals.reshape(count, -1)
    step = max(1, _BLOCK // max(count, size))
    sums = []
    for first in range(0, DRAWS, step):
        rows = min(step, DRAWS - first)
        drawn = generator.integers(0, count, (rows, size)) + np.arange(rows)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        sums.append(times.astype(np.float64) @ flat)
    return np.concatenate(sums).reshape(DRAWS, *totals.shape[1:])


def bounds(drawn: np.ndarray, *, level: float = LEVEL) -> np.ndarray:
    """The percentile interval of draws (D, …): float64 (2, …), NaN where every draw is NaN."""
    shape = drawn.shape[1:]
    drawn = drawn.reshape(len(drawn), -1)
    found = np.full((2, drawn.shape[1]), np.nan)
    known = ~np.isnan(drawn).all(axis=0)
    tails = [(1 - level) / 2, (1 + level) / 2]
    found[:, known] = np.nanquantile(drawn[:, known], tails, axis=0)
    return found.reshape(2, *shape)
