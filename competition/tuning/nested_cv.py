"""Nested cross-validation: decided once on all images, and once more without each held-out part.

The reported score of a part is that of decisions made without it, selection of every step included.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from competition.decoding.decisions import StepReport
from competition.decoding.threshold_sweep import Rules, ThresholdSweep
from competition.evaluation.groups import Partition
from competition.evaluation.metric_sums import MetricSums
from competition.evaluation.significance import Gain, step_gain
from competition.tuning.cv_views import CvView, CvViews, FittedPlan, NestedPlans
from competition.tuning.mixture_search import PLAIN, Mixer, select_mixture
from competition.tuning.postprocess_search import OperationFits, OperationSweep, sweep_operations
from competition.tuning.step_selection import adopted_steps, select_steps
from competition.tuning.thresholds import FittedRules, ThresholdFits

Shown = Mapping[int, tuple[FittedPlan, Rules]]
"""How images are decided, by their places: the fitted mixture that shows one, and the rules."""


@dataclass(frozen=True, eq=False)
class NestedChoice:
    """plain, whole: views without anything and through the chosen mixture; rules: fitted on all;
    without: those of the choice made again without each held-out part.

    submitted: what images add as they would be submitted, by decisions that saw them; honest: by the
    choice made without their part; both (N, K, C); shown_submitted, shown_honest: what those are of.
    crossed: each image under the fits of the steps chosen on all images, made without its part;
    crossed_without: the same of the steps chosen without a part, for images outside it.
    """

    plain: CvView
    whole: CvView
    rules: Rules
    without: Mapping[int, Rules]
    steps: list[StepReport]
    submitted: np.ndarray
    honest: np.ndarray
    shown_submitted: Shown
    shown_honest: Shown
    crossed: Shown
    crossed_without: Mapping[int, Shown]


def select_mixtures(mixer: Mixer, partition: Partition) -> tuple[NestedPlans, list[StepReport]]:
    """Heads and weights on the drawn pixels, of all images and without each held-out part."""
    whole, steps = select_mixture(mixer, partition)
    without = {
        part: select_mixture(mixer, partition, frozenset({part}))[0]
        for part in np.unique(partition.parts).tolist()
    }
    return NestedPlans(whole, without), steps


def confirmed(
    views: CvViews, plans: NestedPlans, partition: Partition
) -> tuple[NestedPlans, list[StepReport]]:
    """The plans that gain at native size in the competition's metric; the others become plain."""
    plain = views.plain.sweep
    without, steps = {}, []
    for part, plan in plans.without.items():
        shown = views.view(plan, frozenset({part})).sweep
        gain = _gain_at_native_size(plain, shown, partition, partition.parts != part)
        without[part] = plan if gain.significant else PLAIN
    whole = plans.whole
    if whole != PLAIN:
        everywhere = np.ones(len(partition.parts), bool)
        gain = _gain_at_native_size(plain, views.view(whole).sweep, partition, everywhere)
        after, before = (
            plain.metric_sums.value(found.outcome(found.plain()))
            for found in (views.submitted(whole).sweep, plain)
        )
        apparent = plain.metric_sums.sign * (after - before)
        steps = [StepReport.of("mixture", "heads and weights at native size", apparent, gain)]
        whole = whole if gain.significant else PLAIN
    return NestedPlans(whole, without), steps


def _gain_at_native_size(
    before: ThresholdSweep, after: ThresholdSweep, partition: Partition, chosen: np.ndarray
) -> Gain:
    """At threshold 0.5, on chosen images, bool (N,)."""
    both = before.outcome(before.plain()), after.outcome(after.plain())
    return gain_on(chosen, both, partition, before.metric_sums)


def gain_on(
    chosen: np.ndarray,
    sums: tuple[np.ndarray, np.ndarray],
    partition: Partition,
    metric_sums: MetricSums,
) -> Gain:
    """Of what all images add before and after, each (N, K, C), on chosen ones, bool (N,)."""
    before, after = (one[chosen] for one in sums)
    inner = partition.where(chosen)
    parts = len(np.unique(inner.parts))
    return step_gain(before, after, inner.groups, metric_sums, parts=parts)


@dataclass(frozen=True, eq=False)
class _Thresholded:
    """Thresholds and empty rules selected on `chosen` images; views by part held out."""

    chosen: np.ndarray
    partition: Partition
    whole: CvView
    without: Mapping[int, CvView]
    steps: list[StepReport]
    fitted: FittedRules

    def wanted(self) -> list[tuple[CvView, Rules]]:
        """The rules that operations are fitted under, with the views that they are applied to."""
        crossed = [(self.without[part], rules) for part, rules in self.fitted.without.items()]
        return [(self.whole, self.fitted.rules), *crossed]

    def with_operations(self, found: OperationSweep) -> tuple[list[StepReport], Rules, Shown]:
        """Reports on the post-processing steps, the rules with the adopted operations, and each chosen
        image under such rules fitted without its part.
        """
        whole = found.under(self.whole, self.fitted.rules).where(self.chosen)
        without = {
            part: found.under(self.without[part], rules).where(self.chosen)
            for part, rules in self.fitted.without.items()
        }
        fits = OperationFits(whole, without, self.partition.parts)
        steps = select_steps(fits, self.partition.groups)
        adopted = adopted_steps(steps)
        places = zip(
            np.flatnonzero(self.chosen).tolist(), self.partition.parts.tolist(), strict=True
        )
        crossed = {
            place: (self.without[part].fits[place], fits.rules(adopted, part))
            for place, part in places
        }
        return steps, whole.fit(adopted), crossed


def nested_cross_validation(
    views: CvViews,
    plans: NestedPlans,
    partition: Partition,
    *,
    advance: Callable[[], None] = lambda: None,
) -> NestedChoice:
    """Thresholds, empty rules and post-processing on top of confirmed plans; one more pass."""
    parts = list(plans.without)
    everywhere = np.ones(len(partition.parts), bool)

    # 1. Thresholds for what is submitted: fitted on all images. While they are judged, each held-out
    #    part is seen through mixtures that have not seen it, which is what `views_without` are.
    whole = _thresholded(
        everywhere, partition, views.view(plans.whole), views.views_without(plans.whole, parts)
    )

    # 2. The same once more for every part, as if its images did not exist: plan, thresholds, selection.
    #    Here one view serves all inner parts: it is blind to the outer part and to each image's own.
    without = {}
    for part, plan in plans.without.items():
        view = views.view(plan, frozenset({part}))
        others = partition.parts != part
        without[part] = _thresholded(others, partition, view, dict.fromkeys(parts, view))

    # 3. Post-processing needs masks at the thresholds just fitted: all that any of the choices above
    #    wants is decoded in one pass.
    submitted = views.submitted(plans.whole)
    wanted = [pair for one in (whole, *without.values()) for pair in one.wanted()]
    found = sweep_operations(views, [(submitted, whole.fitted.rules), *wanted], advance=advance)
    steps, rules, crossed = whole.with_operations(found)
    again = {part: one.with_operations(found) for part, one in without.items()}
    rules_without = {part: own for part, (_, own, _) in again.items()}

    # 4. Each image scored by the choice that was made without its part: the nested score.
    honest = np.zeros_like(submitted.sweep.empty)
    for part, own in rules_without.items():
        inside = partition.parts == part
        honest[inside] = found.under(without[part].whole, own).outcome(own)[inside]
    return NestedChoice(
        views.plain,
        whole.whole,
        rules,
        rules_without,
        [*whole.steps, *steps],
        submitted=found.under(submitted, rules).outcome(rules),
        honest=honest,
        shown_submitted={place: (fit, rules) for place, fit in enumerate(submitted.fits)},
        shown_honest={
            place: (without[part].whole.fits[place], rules_without[part])
            for place, part in enumerate(partition.parts.tolist())
        },
        crossed=crossed,
        crossed_without={part: shown for part, (_, _, shown) in again.items()},
    )


def _thresholded(
    chosen: np.ndarray, partition: Partition, whole: CvView, without: Mapping[int, CvView]
) -> _Thresholded:
    """Thresholds and empty rules, selected on some images, bool (N,)."""
    inner = partition.where(chosen)
    seen = {part: view.sweep.where(chosen) for part, view in without.items()}
    fits = ThresholdFits(whole.sweep.where(chosen), inner.parts, without=seen)
    steps = select_steps(fits, inner.groups)
    return _Thresholded(chosen, inner, whole, without, steps, fits.fitted(adopted_steps(steps)))
