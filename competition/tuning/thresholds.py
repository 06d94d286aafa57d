"""Decision rules per class and how each is fitted: thresholds, minimum area, double threshold.

A prediction of a class in an image is cut at the class's threshold; it is dropped where the area
above `top` has fewer than `minimum` pixels (in a triplet rule: sure somewhere, then generous).
Fitting looks at `Statistics` alone, so that a candidate costs a sum and no decoding.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from competition.tuning.statistics import Statistics

_MOST_MINIMA = 40
"""Candidates for a minimum area: so many steps through the predicted areas of a class."""

_DIGITS = 12
"""Scores equal to so many digits are equal; the candidate nearest to doing nothing wins."""


@dataclass(frozen=True)
class Rules:
    """Per class, int64 (K,): places in the grid of `threshold` and `top`, `minimum` pixels, and the
    place of its shape in `shapes.SHAPES`.
    """

    threshold: np.ndarray
    top: np.ndarray
    minimum: np.ndarray
    shape: np.ndarray


Step = Callable[[Statistics, Rules], Rules]
"""Fits one kind of rule on top of those already chosen."""


def plain(statistics: Statistics) -> Rules:
    """A threshold of one half and nothing dropped."""
    half = np.full(statistics.classes, statistics.half)
    nothing = np.zeros(statistics.classes, np.int64)
    return Rules(half, half.copy(), nothing, nothing.copy())


def outcome(statistics: Statistics, rules: Rules) -> np.ndarray:
    """What each image and class adds under the thresholds and empty rules, float64 (N, K, C)."""
    kinds = np.arange(statistics.classes)
    kept = statistics.areas[:, kinds, rules.top] >= rules.minimum
    chosen = statistics.parts[:, kinds, rules.threshold]
    return np.where(kept[..., None], chosen, statistics.empty)


def one_threshold(statistics: Statistics, rules: Rules) -> Rules:
    """The threshold that serves all classes best."""
    candidates = _from_half(statistics)
    choices = [_with_threshold(rules, np.full(statistics.classes, t)) for t in candidates]
    sums = [outcome(statistics, choice).sum(axis=0) for choice in choices]
    return choices[best(statistics.measure.overall(np.stack(sums)))]


def class_thresholds(statistics: Statistics, rules: Rules) -> Rules:
    """The best threshold of each class; ties go to the one nearest to one half."""
    kinds = np.arange(statistics.classes)
    kept = statistics.areas[:, kinds, rules.top] >= rules.minimum
    wide = kept[..., None, None]
    sums = np.where(wide, statistics.parts, statistics.empty[:, :, None]).sum(axis=0)
    scores = statistics.measure.per_class(sums)
    candidates = _from_half(statistics)
    chosen = [candidates[best(scores[kind, candidates])] for kind in kinds]
    return _with_threshold(rules, np.array(chosen))


def minimum_area(statistics: Statistics, rules: Rules) -> Rules:
    """The best minimum of each class's own area: too small a prediction is dropped."""
    return _with_drop(statistics, replace(rules, top=rules.threshold), double=False)


def double_threshold(statistics: Statistics, rules: Rules) -> Rules:
    """The best (top, minimum) of each class: a prediction needs enough pixels above `top`."""
    return _with_drop(statistics, rules, double=True)


STEPS: dict[str, Step] = {
    "one threshold": one_threshold,
    "class thresholds": class_thresholds,
    "minimum area": minimum_area,
    "double threshold": double_threshold,
}
"""The chain, in the order in which its steps are fitted and judged."""


def _with_threshold(rules: Rules, threshold: np.ndarray) -> Rules:
    return replace(rules, threshold=threshold, top=np.maximum(threshold, rules.top))


def _with_drop(statistics: Statistics, rules: Rules, *, double: bool) -> Rules:
    top, minimum = rules.top.copy(), rules.minimum.copy()
    for kind in range(statistics.classes):
        last = len(statistics.thresholds) if double else rules.threshold[kind] + 1
        tops = range(rules.threshold[kind], last)
        top[kind], minimum[kind] = _best_drop(statistics, kind, rules.threshold[kind], tops)
    return replace(rules, top=top, minimum=minimum)


def _best_drop(statistics: Statistics, kind: int, threshold: int, tops: range) -> tuple[int, int]:
    """The (top, minimum) of one class that scores best, the smallest among equals."""
    empty = statistics.empty[:, kind]
    gain = statistics.parts[:, kind, threshold] - empty
    candidates, sums = [], []
    for top in tops:
        areas = statistics.areas[:, kind, top]
        minima = _minima(areas)
        kept = areas >= minima[:, None]
        sums.append(kept.astype(np.float64) @ gain + empty.sum(axis=0))
        candidates += [(top, int(minimum)) for minimum in minima]
    scores = statistics.measure.per_class(np.concatenate(sums)[:, None])[:, 0]
    return candidates[best(scores)]


def _minima(areas: np.ndarray) -> np.ndarray:
    """0 and the middles between neighbouring positive areas, thinned out: int64, ascending.

    >>> _minima(np.array([0, 0, 4, 10, 10, 40]))
    array([ 0,  7, 25])
    """
    found = np.unique(areas[areas > 0])
    middles = (found[1:] + found[:-1] + 1) // 2
    if len(middles) > _MOST_MINIMA:
        places = np.linspace(0, len(middles) - 1, _MOST_MINIMA).round().astype(np.int64)
        middles = middles[places]
    return np.concatenate([np.zeros(1, np.int64), middles])


def _from_half(statistics: Statistics) -> np.ndarray:
    """Places of the grid, the nearest to one half first."""
    places = np.arange(len(statistics.thresholds))
    return np.argsort(np.abs(places - statistics.half), kind="stable")


def best(scores: np.ndarray) -> int:
    """The first of the largest; a class that is never counted (NaN) keeps the first candidate."""
    return int(np.argmax(np.nan_to_num(np.round(scores, _DIGITS), nan=-np.inf)))
