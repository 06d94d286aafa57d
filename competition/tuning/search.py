"""Out-of-fold predictions and labels → `Decisions`, in three passes over the images.

The first draws pixels, on which heads and weights are chosen, and sweeps thresholds of the plain mean
at native size; the second does that for the chosen mixtures, if there are any; the third measures
post-processing at the chosen thresholds. Where the metric sees volumes, a fourth scores the whole
choice on them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from competition.decoding.blend import LastRead, Reader
from competition.decoding.decisions import Decisions, Mixture, StepReport, class_rules
from competition.decoding.ensemble import MemberScores, plain_sums
from competition.decoding.threshold_sweep import ImageRow, Rules, ThresholdSweep, assembled
from competition.evaluation.groups import GroupSums, Partition, partition_of
from competition.evaluation.metric_sums import MetricSums, Slices
from competition.masks import Runs
from competition.scoring import Metric
from competition.spec import Competition
from competition.tuning.cv_views import PLAIN_FIT, OutOfFold, gather_views, mixture_of
from competition.tuning.mixture_search import Mixer, heads_alone, measured_on_grid
from competition.tuning.nested_cv import confirmed, nested_cross_validation, select_mixtures
from competition.tuning.pixel_samples import Samples, draw_beside
from competition.tuning.volume_judgement import Judged, judged_on_volumes

PASSES = 3
"""How often the images are gone through; once more where the metric sees volumes."""


def passes_over(metric: Metric) -> int:
    return PASSES + metric.over_volumes


class Tuned(NamedTuple):
    """What was decided and what it rests on.

    before, after: sums of each group at threshold 0.5, and under the choice made without it.
    """

    decisions: Decisions
    sweep: ThresholdSweep
    before: GroupSums
    after: GroupSums


@threadpool_limits.wrap(limits=1)  # thousands of small products: BLAS threads wait for each other
def search_decisions(
    members: Mapping[str, Reader],
    truth: Mapping[str, Runs],
    folds: pd.DataFrame,
    competition: Competition,
    *,
    ensemble: MemberScores,
    slices: Slices = MappingProxyType({}),
    ignored: Mapping[str, Runs] = MappingProxyType({}),
    advance: Callable[[], None] = lambda: None,
) -> Tuned:
    """Decide everything from out-of-fold predictions.

    members: out-of-fold predictions by name, all of the same images; truth: masks (K, H, W) by
    image; folds: columns image, group, fold; ensemble: the members' scores; slices: for metrics of
    volumes; ignored: by image the pixels (1, H, W) that do not count. `advance` is called
    `passes_over(metric)` times an image.
    """
    ensemble.require_members(members)
    readers = {name: LastRead(reader) for name, reader in members.items()}
    metric_sums = MetricSums.of(competition, slices)
    data = OutOfFold(readers, truth, metric_sums.of_slices, competition.exclusive, ignored)
    samples, plain_rows = draw_beside(
        data.plain_row(), readers, truth, ignored=ignored, advance=advance
    )
    partition = partition_of(samples.images, folds)
    search = _searched if len(np.unique(partition.parts)) > 1 else _left_out
    chosen = search(_FirstPass(data, samples, plain_rows, partition, metric_sums, advance))
    found, judged, groups = chosen.sweep, chosen.judged, partition.groups
    labelled = found.truth > 0
    decisions = Decisions(
        images=len(found.images),
        groups=len(np.unique(groups)),
        parts=len(np.unique(partition.parts)),
        folds=tuple(int(fold) for fold in np.unique(partition.folds)),
        members=tuple(
            member.model_copy(update={"weight": chosen.mixture.weight(member.name)})
            for member in ensemble.members
        ),
        mixture=chosen.mixture,
        steps=tuple(chosen.steps),
        compared=tuple(chosen.compared),
        plain=metric_sums.score(judged.plain, groups),
        empty=ensemble.empty,
        apparent=metric_sums.value(judged.submitted),
        cross_fitted=metric_sums.score(judged.honest, groups),
        present=_score_over(labelled, judged.honest, metric_sums),
        absent=_score_over(~labelled, judged.honest, metric_sums),
        rules=class_rules(chosen.rules, found.thresholds, competition.classes),
    )
    before, after = (GroupSums.of(sums, groups) for sums in (judged.plain, judged.honest))
    return Tuned(decisions, found, before, after)


class _FirstPass(NamedTuple):
    """What is decoded, and what the first pass drew of it: samples of pixels, and a row an image."""

    data: OutOfFold
    samples: Samples
    plain_rows: Sequence[ImageRow]
    partition: Partition
    metric_sums: MetricSums
    advance: Callable[[], None]


class _Chosen(NamedTuple):
    """What was chosen: the mixture, rules for what it predicts, and how images score."""

    mixture: Mixture
    rules: Rules
    sweep: ThresholdSweep
    judged: Judged
    steps: Sequence[StepReport]
    compared: Sequence[StepReport]


def _searched(first: _FirstPass) -> _Chosen:
    """Everything that is offered."""
    data, samples, plain_rows, partition, metric_sums, advance = first
    known = {(PLAIN_FIT, place): row for place, row in enumerate(plain_rows)}
    mixer = Mixer(samples, partition.parts, measured_on_grid(data.metric_sums))
    plans, steps = select_mixtures(mixer, partition)
    alone = heads_alone(mixer, partition)
    views = gather_views(data, mixer, plans, known=known, advance=advance)
    plans, confirmations = confirmed(views, plans, partition)
    choice = nested_cross_validation(views, plans, partition, advance=advance)
    if metric_sums.metric.over_volumes:
        judged = judged_on_volumes(choice, views, metric_sums, partition, advance=advance)
    else:
        plain = choice.plain.sweep.outcome(choice.plain.sweep.plain())
        judged = Judged(True, [], plain, choice.submitted, choice.honest)
    steps = [*steps, *confirmations, *choice.steps, *judged.steps]
    if not judged.adopted:
        sweep = choice.plain.sweep
        return _Chosen(mixture_of(mixer, PLAIN_FIT), sweep.plain(), sweep, judged, steps, alone)
    mixture = mixture_of(mixer, (plans.whole, frozenset()))
    return _Chosen(mixture, choice.rules, choice.whole.sweep, judged, steps, alone)


def _left_out(first: _FirstPass) -> _Chosen:
    """Nothing is decided where too few groups could be held out."""
    data, metric_sums = first.data, first.metric_sums
    mixture = Mixture.equal(data.readers)
    together = mixture.blended(data.readers, exclusive=data.exclusive)
    sums = plain_sums(
        together, data.truth, metric_sums, ignored=data.ignored, advance=first.advance
    )
    for _ in range((passes_over(metric_sums.metric) - 2) * len(first.partition.groups)):
        first.advance()
    sweep = assembled(data.metric_sums, first.samples.images, first.plain_rows)
    return _Chosen(mixture, sweep.plain(), sweep, Judged(False, [], sums, sums, sums), [], [])


def _score_over(chosen: np.ndarray, sums: np.ndarray, metric_sums: MetricSums) -> float | None:
    """The mean over some image × class pairs, chosen bool (N, K); None where there is none."""
    if not metric_sums.by_mask or not chosen.any():
        return None
    score = metric_sums.value(sums * chosen[..., None])
    return None if math.isnan(score) else score
