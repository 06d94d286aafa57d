"""Out-of-fold predictions and labels → `Decisions`, in three passes over the images.

The first draws pixels, on which heads and weights are chosen, and measures thresholds of the plain
mean at native size; the second does that for the chosen mixtures, if there are any; the third
measures shapes at the chosen thresholds.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from competition.masks import Runs
from competition.spec import Competition
from competition.tuning.chain import Judged, Sides, sides_of
from competition.tuning.choice import Choice, choose_all, choose_plans, confirm
from competition.tuning.decisions import (
    ClassRule,
    Decisions,
    MemberWeight,
    StepReport,
    score_of,
)
from competition.tuning.ensemble import LastRead, Reader
from competition.tuning.evidence import PLAIN_KEY, Source, gather_evidence, mixture_of, plain_row
from competition.tuning.groups import GroupSums
from competition.tuning.measure import Measure
from competition.tuning.mixing import Mixer, compared, measured_on_grid
from competition.tuning.mixture import Mixture
from competition.tuning.samples import draw_beside
from competition.tuning.shapes import SHAPES
from competition.tuning.statistics import Statistics
from competition.tuning.thresholds import Rules, outcome, plain
from competition.tuning.weighing import Ensemble

Advance = Callable[[], None]

PASSES = 3
"""How often the images are gone through."""


class Tuned(NamedTuple):
    """What was decided and what it rests on.

    before, after: sums of each group at thresholds of one half, and under the choice made without
    it.
    """

    decisions: Decisions
    statistics: Statistics
    before: GroupSums
    after: GroupSums


@threadpool_limits.wrap(limits=1)  # thousands of small products: BLAS threads wait for each other
def tune(
    members: Mapping[str, Reader],
    truth: Mapping[str, Runs],
    folds: pd.DataFrame,
    competition: Competition,
    *,
    ensemble: Ensemble,
    advance: Advance = lambda: None,
) -> Tuned:
    """Decide everything from out-of-fold predictions.

    members: out-of-fold predictions by name, all of the same images; truth: masks (K, H, W) by
    image; folds: columns image, group, fold; ensemble: the members' scores. `advance` is called
    `PASSES` times an image.
    """
    ensemble.require_members(members)
    readers = {name: LastRead(reader) for name, reader in members.items()}
    source = Source(readers, truth, Measure.of(competition), competition.exclusive)
    samples, plain_ones = draw_beside(plain_row(source), readers, truth, advance=advance)
    known = {(PLAIN_KEY, place): row for place, row in enumerate(plain_ones)}
    sides = sides_of(samples.images, folds)
    mixer = Mixer(samples, sides.parts, measured_on_grid(source.measure))
    plans, judged = choose_plans(mixer, sides)
    alone = compared(mixer, sides)
    evidence = gather_evidence(source, mixer, plans, known=known, advance=advance)
    plans, verdicts = confirm(evidence, plans, sides)
    choice = choose_all(evidence, plans, sides, advance=advance)
    mixture = mixture_of(mixer, (plans.whole, frozenset()))
    scored = tuple(
        member.model_copy(update={"weight": mixture.share(member.name)})
        for member in ensemble.members
    )
    steps = [*judged, *verdicts, *choice.judged]
    decisions = decisions_from(choice, sides, steps, scored, mixture, competition.classes)
    decisions = decisions.model_copy(update={"compared": tuple(map(_report, alone))})
    plain_statistics = choice.plain.statistics
    both = outcome(plain_statistics, plain(plain_statistics)), choice.honest
    sums = (GroupSums.of(parts, sides.groups) for parts in both)
    return Tuned(decisions, choice.whole.statistics, *sums)


def decisions_from(
    choice: Choice,
    sides: Sides,
    steps: list[Judged],
    members: tuple[MemberWeight, ...],
    mixture: Mixture,
    classes: tuple[str, ...],
) -> Decisions:
    """The file of a choice that is made."""
    statistics, before = choice.whole.statistics, choice.plain.statistics
    labelled = statistics.truth > 0
    measure = statistics.measure
    return Decisions(
        images=len(statistics.images),
        groups=len(np.unique(sides.groups)),
        parts=len(np.unique(sides.parts)),
        folds=tuple(int(fold) for fold in np.unique(sides.folds)),
        members=members,
        mixture=mixture,
        steps=tuple(_report(step) for step in steps),
        plain=score_of(measure, outcome(before, plain(before)), sides.groups),
        apparent=measure.score(choice.final),
        cross_fitted=score_of(measure, choice.honest, sides.groups),
        present=_partial_score(statistics, choice.honest, labelled),
        absent=_partial_score(statistics, choice.honest, ~labelled),
        rules=_by_class(choice.rules, statistics, classes),
    )


def _report(step: Judged) -> StepReport:
    verdict = step.verdict
    return StepReport(
        stage=step.stage,
        name=step.name,
        adopted=verdict.adopted,
        apparent_gain=step.apparent_gain,
        gain=verdict.gain,
        low=verdict.low,
        high=verdict.high,
        probability=verdict.probability,
        p_value=verdict.p_value,
    )


def _partial_score(statistics: Statistics, parts: np.ndarray, chosen: np.ndarray) -> float | None:
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
            shape=SHAPES[rules.shape[kind]],
        )
        for kind, name in enumerate(classes)
    }
