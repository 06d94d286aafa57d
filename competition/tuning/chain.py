"""Thresholds and empty rules: each step fitted on other folds, kept if it helps, reported honestly.

Three numbers answer three questions. *Apparent*: how rules score on the images that they were
fitted on (too good). *Gain* of a step: fitted on the other parts, scored on its own; this decides.
*Cross-fitted* score of the chain: the whole choice, acceptance included, is made again without the
images that it is scored on; this is what to expect.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from competition.errors import InputFault, listed
from competition.tuning.acceptance import Verdict, judge
from competition.tuning.statistics import Statistics
from competition.tuning.thresholds import STEPS, Rules, outcome, plain

Stage = Literal["mixture", "rules", "shapes"]

PARTS = 5
"""Parts by group where the predictions are of fewer than three folds."""


@dataclass(frozen=True)
class Sides:
    """groups: which images are alike; parts: which are held back together; folds; each (N,)."""

    groups: np.ndarray
    parts: np.ndarray
    folds: np.ndarray

    def where(self, chosen: np.ndarray) -> "Sides":
        """Those of some images; chosen: bool (N,)."""
        return Sides(self.groups[chosen], self.parts[chosen], self.folds[chosen])


@dataclass(frozen=True)
class Judged:
    """A step with its apparent gain and the verdict on its cross-fitted one.

    stage: what it belongs to; gains of "mixture" are in Dice on the grid of the logits where the
    competition's metric does not count pixels, and else in the metric on that grid.
    """

    name: str
    apparent_gain: float
    verdict: Verdict
    stage: Stage = "rules"


@dataclass(frozen=True)
class Fitted:
    """Adopted steps with the rules fitted on all images and, for each part, without it."""

    steps: tuple[str, ...]
    rules: Rules
    crossed: Mapping[int, Rules]


def sides_of(images: Iterable[str], folds: pd.DataFrame) -> Sides:
    """Groups, folds and parts of images, from columns image, group, fold.

    The parts are the folds; with fewer than three of them, groups dealt to `PARTS` parts, so that
    what is left can be parted again.
    """
    rows = folds.set_index("image")
    missing = [image for image in images if image not in rows.index]
    if missing:
        raise InputFault(listed([f"image {image!r} is predicted but in no fold" for image in missing]))
    chosen = rows.loc[list(images)]
    groups, fold = chosen["group"].to_numpy(str), chosen["fold"].to_numpy(np.int64)
    names, place = np.unique(groups, return_inverse=True)
    if len(names) < 3:
        raise InputFault(f"tuning holds groups back in turn and needs 3 or more; found {len(names)}")
    if len(np.unique(fold)) >= 3:
        return Sides(groups, fold, fold)
    dealt = np.random.default_rng(0).permutation(len(names)) % PARTS
    return Sides(groups, dealt[place], fold)


def fit(steps: Iterable[str], statistics: Statistics) -> Rules:
    """The rules of these steps, fitted one after the other."""
    rules = plain(statistics)
    for step in steps:
        rules = STEPS[step](statistics, rules)
    return rules


def cross_fitted(
    steps: tuple[str, ...],
    statistics: Statistics,
    parts: np.ndarray,
    *,
    without: Mapping[int, Statistics] | None = None,
) -> np.ndarray:
    """What each image adds to the score under rules fitted without its part, (N, K, C).

    without: for each part the statistics of all images as predicted by a mixture that has not seen
    it; None: nothing was fitted before.
    """
    result = np.empty_like(statistics.empty)
    for part in np.unique(parts):
        seen = statistics if without is None else without[int(part)]
        rules = fit(steps, seen.where(parts != part))
        result[parts == part] = outcome(seen.where(parts == part), rules)
    return result


def choose(
    statistics: Statistics, sides: Sides, *, without: Mapping[int, Statistics] | None = None
) -> list[Judged]:
    """Every step in its order, judged on top of those adopted before it."""
    adopted: tuple[str, ...] = ()
    options = {} if without is None else {"without": without}
    before = cross_fitted(adopted, statistics, sides.parts, **options)
    count = len(np.unique(sides.parts))
    judged = []
    for name in STEPS:
        after = cross_fitted((*adopted, name), statistics, sides.parts, **options)
        verdict = judge(before, after, sides.groups, statistics.measure, parts=count)
        judged.append(Judged(name, _apparent_gain(adopted, name, statistics), verdict))
        if verdict.adopted:
            adopted, before = (*adopted, name), after
    return judged


def adopted_steps(judged: Iterable[Judged]) -> tuple[str, ...]:
    return tuple(step.name for step in judged if step.verdict.adopted)


def fitted(
    steps: tuple[str, ...],
    statistics: Statistics,
    parts: np.ndarray,
    *,
    without: Mapping[int, Statistics] | None = None,
) -> Fitted:
    """The rules of adopted steps; `without` as for `cross_fitted`."""
    crossed = {}
    for part in np.unique(parts).tolist():
        seen = statistics if without is None else without[part]
        crossed[part] = fit(steps, seen.where(parts != part))
    return Fitted(steps, fit(steps, statistics), crossed)


def apparent(steps: Iterable[str], statistics: Statistics) -> float:
    """The score on the images that the rules are fitted on."""
    return statistics.measure.score(outcome(statistics, fit(steps, statistics)))


def _apparent_gain(adopted: tuple[str, ...], name: str, statistics: Statistics) -> float:
    """How much better the score gets, also where less is better."""
    change = apparent((*adopted, name), statistics) - apparent(adopted, statistics)
    return statistics.measure.sign * change
