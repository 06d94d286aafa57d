"""Thresholds and empty rules per class, and how each is fitted: minimum area, double threshold.

Fitting looks at a `ThresholdSweep` alone, so that a candidate costs a sum and no decoding.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from competition.decoding.decisions import StepKind
from competition.decoding.threshold_sweep import Rules, ThresholdSweep

_MOST_MINIMA = 40
"""Candidates for a minimum area: so many steps through the predicted areas of a class."""

_DIGITS = 12
"""Scores equal to so many digits are equal; the candidate nearest to doing nothing wins."""


def one_threshold(found: ThresholdSweep, rules: Rules) -> Rules:
    """The threshold that serves all classes best."""
    candidates = _from_half(found)
    choices = [_with_threshold(rules, np.full(found.classes, t)) for t in candidates]
    sums = [found.outcome(choice).sum(axis=0) for choice in choices]
    return choices[best(found.metric_sums.overall(np.stack(sums)))]


def class_thresholds(found: ThresholdSweep, rules: Rules) -> Rules:
    """The best threshold of each class; ties go to the one nearest to 0.5."""
    kept = found.kept(rules)[..., None, None]
    sums = np.where(kept, found.sums, found.empty[:, :, None]).sum(axis=0)
    scores = found.metric_sums.per_class(sums)
    candidates = _from_half(found)
    chosen = [candidates[best(scores[k, candidates])] for k in range(found.classes)]
    return _with_threshold(rules, np.array(chosen))


def minimum_area(found: ThresholdSweep, rules: Rules) -> Rules:
    """The best minimum of each class's own area: too small a prediction is dropped."""
    return _with_drop(found, replace(rules, top=rules.threshold), double=False)


def double_threshold(found: ThresholdSweep, rules: Rules) -> Rules:
    """The best (top, minimum) of each class: a prediction needs enough pixels above `top`."""
    return _with_drop(found, rules, double=True)


THRESHOLD_STEPS: dict[str, Callable[[ThresholdSweep, Rules], Rules]] = {
    "one threshold": one_threshold,
    "class thresholds": class_thresholds,
    "minimum area": minimum_area,
    "double threshold": double_threshold,
}
"""Each fits one kind of rule on top of those already chosen, in the order in which they are judged."""


@dataclass(frozen=True)
class FittedRules:
    """Adopted steps with the rules fitted on all images and, for each held-out part, without it."""

    rules: Rules
    without: Mapping[int, Rules]


class ThresholdFits:
    """Thresholds and empty rules as steps, fitted on all images and without each held-out part.

    Lists of steps that begin alike share the fits of their beginning.
    """

    names = tuple(THRESHOLD_STEPS)
    stage: StepKind = "thresholds"

    def __init__(
        self,
        found: ThresholdSweep,
        parts: np.ndarray,
        *,
        without: Mapping[int, ThresholdSweep] | None = None,
    ) -> None:
        """parts: of the images, (N,); without: for each part the sweep of all images as predicted by
        a mixture that has not seen it; None: nothing was fitted before.
        """
        self.found, self.metric_sums, self.parts = found, found.metric_sums, parts
        self._seen = {
            part: found if without is None else without[part] for part in np.unique(parts).tolist()
        }
        self._others = {part: seen.where(parts != part) for part, seen in self._seen.items()}
        self._known: dict[tuple[tuple[str, ...], int | None], Rules] = {}

    def rules(self, steps: tuple[str, ...], without: int | None = None) -> Rules:
        """Fitted one after the other, on all images or without those of a part."""
        key = steps, without
        if key not in self._known:
            images = self.found if without is None else self._others[without]
            self._known[key] = (
                THRESHOLD_STEPS[steps[-1]](images, self.rules(steps[:-1], without))
                if steps
                else images.plain()
            )
        return self._known[key]

    def fitted(self, steps: tuple[str, ...]) -> FittedRules:
        """The rules of adopted steps."""
        without = {part: self.rules(steps, part) for part in self._seen}
        return FittedRules(self.rules(steps), without)

    def crossed(self, steps: tuple[str, ...]) -> np.ndarray:
        """See `select_steps`."""
        result = np.empty_like(self.found.empty)
        for part, seen in self._seen.items():
            own = self.parts == part
            result[own] = seen.where(own).outcome(self.rules(steps, part))
        return result

    def apparent(self, steps: tuple[str, ...]) -> float:
        """See `select_steps`."""
        return self.metric_sums.value(self.found.outcome(self.rules(steps)))


def _with_threshold(rules: Rules, threshold: np.ndarray) -> Rules:
    return replace(rules, threshold=threshold, top=np.maximum(threshold, rules.top))


def _with_drop(found: ThresholdSweep, rules: Rules, *, double: bool) -> Rules:
    """The (top, minimum) of each class that scores best, the smallest among equals."""
    top, minimum = rules.top.copy(), rules.minimum.copy()
    for k in range(found.classes):
        empty = found.empty[:, k]
        gain = found.sums[:, k, rules.threshold[k]] - empty  # of not dropping the mask of an image
        candidates, sums = [], []
        last = len(found.thresholds) if double else rules.threshold[k] + 1
        for level in range(rules.threshold[k], last):
            areas = found.areas[:, k, level]
            minima = _minima(areas)
            kept = areas >= minima[:, None]
            sums.append(kept.astype(np.float64) @ gain + empty.sum(axis=0))
            candidates += [(level, int(one)) for one in minima]
        scores = found.metric_sums.per_class(np.concatenate(sums)[:, None])[:, 0]
        top[k], minimum[k] = candidates[best(scores)]
    return replace(rules, top=top, minimum=minimum)


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


def _from_half(found: ThresholdSweep) -> np.ndarray:
    """Places of the thresholds, the nearest to 0.5 first."""
    places = np.arange(len(found.thresholds))
    return np.argsort(np.abs(places - found.half), kind="stable")


def best(scores: np.ndarray) -> int:
    """The first of the largest; a class that is never counted (NaN) keeps the first candidate."""
    return int(np.argmax(np.nan_to_num(np.round(scores, _DIGITS), nan=-np.inf)))
