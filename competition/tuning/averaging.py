"""By how much the mean of the folds' networks is better than one of them, without a test label.

Out of fold one network predicts each image; the submission is the mean over folds. For a squared
error the gain of a mean over its members is exactly their mean distance from it (the ambiguity
decomposition, Krogh & Vedelsby 1995), which needs no labels. Other scores gain some *rate* of that
distance. So: the distance of the folds' masks from the mean's is measured on test images with the
competition's own metric, and the rate on labelled images, where several members (recipes) and their
mean are known both against each other and against the truth. With one member the rate is `USUAL`.
Folds differ otherwise than recipes do; `TRANSFER` is what that adds to the rate's standard error.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from competition.masks import Runs
from competition.tuning.groups import GroupSums
from competition.tuning.measure import Measure

DRAWS = 1000

Masks = Callable[[str], Runs]
"""Image → masks (K, H, W)."""


@dataclass(frozen=True)
class Rate:
    """Gain in score per distance from the mean, with its standard error."""

    value: float
    error: float


USUAL = Rate(0.1, 0.1)
"""Where one member says nothing about it; see docs/tuning.md for where it was measured."""

TRANSFER = 0.08
"""Standard deviation of the folds' rate from the members' one; measured in the same place."""


@dataclass(frozen=True)
class Shift:
    """Expected score of the mean over folds less that of one network, with its standard error."""

    value: float
    error: float


NO_SHIFT = Shift(0.0, 0.0)
"""One fold: the network that was scored is the one that predicts the test images."""


@dataclass(frozen=True, eq=False)
class Compared:
    """What images add to the score of S single predictions and of their mean, float64
    (N, 1 + S, K, C), the mean first; `apart` against the mean as if it were the truth, `scored`
    against the truth.
    """

    apart: np.ndarray
    scored: np.ndarray | None = None


def compare(
    images: Iterable[str],
    mean: Masks,
    singles: Sequence[Masks],
    measure: Measure,
    *,
    truth: Callable[[str], Runs] | None = None,
) -> Compared:
    """Decode images by the mean and by each single prediction; without `truth`, apart only."""
    apart, scored = [], []
    for image in images:
        masks = [mean(image), *(single(image) for single in singles)]
        apart.append([measure.parts(masks[0], one) for one in masks])
        if truth is not None:
            scored.append([measure.parts(truth(image), one) for one in masks])
    return Compared(np.array(apart), None if truth is None else np.array(scored))


def rate_of(compared: Compared, groups: np.ndarray, measure: Measure) -> Rate:
    """The rate of members of equal weights, from labelled images of these groups (N,).

    Its error is that of a bootstrap over groups. A distance of nothing says nothing: `USUAL`.
    """
    assert compared.scored is not None
    apart, scored = (
        GroupSums.of(rows.reshape(len(rows), -1, rows.shape[-1]), groups).parts.reshape(
            -1, *rows.shape[1:]
        )
        for rows in (compared.apart, compared.scored)
    )
    count = len(apart)
    distance = _mean_less(apart.sum(axis=0)[None], measure)[0]
    if count < 2 or not distance > 1e-9:
        return USUAL
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    gains, distances = (
        _mean_less(np.tensordot(drawn.astype(float), sums, axes=1), measure)
        for sums in (scored, apart)
    )
    gain = _mean_less(scored.sum(axis=0)[None], measure)[0]
    ratios = gains[distances > 1e-9] / distances[distances > 1e-9]
    return Rate(float(gain / distance), math.hypot(float(np.nanstd(ratios)), TRANSFER))


def shift_of(compared: Compared, rate: Rate, measure: Measure) -> Shift:
    """The shift of folds whose test masks are compared, at a rate."""
    distance = _mean_less(compared.apart.sum(axis=0)[None], measure)[0]
    return Shift(measure.sign * float(distance) * rate.value, float(distance) * rate.error)


def _mean_less(sums: np.ndarray, measure: Measure) -> np.ndarray:
    """Score of the mean less the average score of the singles, from sums (D, 1 + S, K, C): (D,)."""
    scores = measure.overall(sums)
    return scores[:, 0] - scores[:, 1:].mean(axis=1)
