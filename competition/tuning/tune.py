"""Out-of-fold predictions and labels → `Decisions`."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from competition.masks import Runs
from competition.spec import Competition
from competition.tuning.chain import (
    Judged,
    Sides,
    adopted_steps,
    apparent,
    choose,
    fit,
    honest,
    sides_of,
)
from competition.tuning.decisions import (
    ClassRule,
    Decisions,
    MemberWeight,
    StepReport,
    score_of,
)
from competition.tuning.ensemble import Reader
from competition.tuning.measure import Measure
from competition.tuning.statistics import Statistics, gather
from competition.tuning.thresholds import Rules, outcome, plain
from competition.tuning.weighing import Ensemble

Advance = Callable[[], None]


def tune(
    members: Mapping[str, Reader],
    truth: Mapping[str, Runs],
    folds: pd.DataFrame,
    competition: Competition,
    *,
    ensemble: Ensemble,
    advance: Advance = lambda: None,
) -> tuple[Decisions, Statistics]:
    """Decide thresholds and empty rules from out-of-fold predictions; also what they rest on.

    members: out-of-fold predictions by name, all of the same images; truth: masks (K, H, W) by
    image; folds: columns image, group, fold; ensemble: the members' weights. `advance` is called
    once an image.
    """
    together = ensemble.blended(members, exclusive=competition.exclusive)
    statistics = gather(together, truth, Measure.of(competition), advance=advance)
    sides = sides_of(statistics.images, folds)
    return decisions_from(statistics, sides, ensemble.members, competition.classes), statistics


def decisions_from(
    statistics: Statistics,
    sides: Sides,
    members: tuple[MemberWeight, ...],
    classes: tuple[str, ...],
) -> Decisions:
    """The chain run on statistics that are gathered already."""
    judged = choose(statistics, sides)
    kept = adopted_steps(judged)
    expected = honest(statistics, sides)
    before = outcome(statistics, plain(statistics))
    labelled = statistics.truth > 0
    return Decisions(
        images=len(statistics.images),
        groups=len(np.unique(sides.groups)),
        folds=tuple(int(fold) for fold in np.unique(sides.folds)),
        members=members,
        steps=tuple(_report(step) for step in judged),
        plain=score_of(statistics.measure, before, sides.groups),
        apparent=apparent(kept, statistics),
        cross_fitted=score_of(statistics.measure, expected, sides.groups),
        present=_partial_score(statistics, expected, labelled),
        absent=_partial_score(statistics, expected, ~labelled),
        rules=_by_class(fit(kept, statistics), statistics, classes),
    )


def _report(step: Judged) -> StepReport:
    verdict = step.verdict
    return StepReport(
        name=step.name, adopted=verdict.adopted, apparent_gain=step.apparent_gain,
        gain=verdict.gain, low=verdict.low, high=verdict.high,
        probability=verdict.probability, p_value=verdict.p_value,
    )


def _partial_score(
    statistics: Statistics, parts: np.ndarray, chosen: np.ndarray
) -> float | None:
    """The mean over some image × class pairs, chosen bool (N, K)."""
    if statistics.measure.pooled or not chosen.any():
        return None
    score = statistics.measure.score(parts * chosen[..., None])
    return None if math.isnan(score) else score


def _by_class(
    rules: Rules, statistics: Statistics, classes: tuple[str, ...]
) -> dict[str, ClassRule]:
    grid = statistics.thresholds
    return {
        name: ClassRule(
            threshold=grid[rules.threshold[kind]],
            top=grid[rules.top[kind]] if rules.minimum[kind] else grid[rules.threshold[kind]],
            minimum_area=int(rules.minimum[kind]),
        )
        for kind, name in enumerate(classes)
    }
