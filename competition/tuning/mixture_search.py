"""Heads and weights chosen on samples: each kind cross-fitted, kept if it helps, all fits cached.

A mixture for a held-out part must not have seen that part, and one for choosing while another part
is held out must have seen neither: fits are kept by the set of parts that they did without.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from competition.decoding.blend import EXPONENTS, Averaged, averaged_values
from competition.decoding.decisions import StepReport
from competition.decoding.head import Head, HeadKind
from competition.decoding.threshold_sweep import THRESHOLDS
from competition.evaluation.groups import Partition
from competition.evaluation.metric_sums import MetricSums
from competition.evaluation.significance import step_gain
from competition.masks.sampling_grid import logit
from competition.scoring import Metric
from competition.tuning.head_fit import SmoothDice, features_of, fit_heads
from competition.tuning.pixel_samples import ClassSample, Samples
from competition.tuning.thresholds import best
from competition.tuning.weight_fit import WeightKind, best_alone, greedy, on_simplex

Without = frozenset[int]
"""Held-out parts that a fit has not seen."""


MeanKind = Averaged | Literal["power mean"]
"""What is averaged; of "power mean" the exponent is fitted."""

POWER_MEANS = tuple(mean for mean, exponent in EXPONENTS.items() if exponent >= 2)
"""What "power mean" is fitted among, the lowest exponent first."""


@dataclass(frozen=True)
class MixturePlan:
    """Which kind of head, and which kind of weights; None: the identity, equal weights.

    mean: what is averaged, logits or the probabilities that they stand for, and how; cut: whether
    classes are cut at thresholds fitted on the grid; no step does, it is what heads are compared with.
    """

    head: HeadKind | None = None
    weights: WeightKind | None = None
    mean: MeanKind = "logits"
    cut: bool = False


PLAIN = MixturePlan()
MEANS: dict[str, MeanKind] = {
    "mean of probabilities": "probabilities",
    "geometric mean of probabilities": "geometric mean",
    "power mean of probabilities": "power mean",
}
"""Steps that change what is averaged."""


def plans_on(plan: MixturePlan, samples: Samples) -> dict[str, MixturePlan]:
    """The steps by name, each as the plan that it would turn `plan` into.

    One class has no other to be mixed with: a 1×1 head is then its scale and bias, and weights per
    class are those on the simplex.
    """
    several, ensemble = len(samples.classes) > 1, len(samples.members) > 1
    heads: list[HeadKind] = ["scale and bias", "1x1"] if several else ["scale and bias"]
    weights: list[WeightKind] = []
    if ensemble:
        weights += ["best member alone", "greedy weights", "simplex weights"]
        weights += ["weights per class"] if several else []
    steps = {f"head {kind}": replace(plan, head=kind) for kind in heads}
    steps |= {name: replace(plan, weights=name) for name in weights}
    means = {name: replace(plan, mean=mean) for name, mean in MEANS.items()}
    return steps | (means if ensemble else {})


def measured_on_grid(metric_sums: MetricSums) -> MetricSums:
    """The competition's metric where it counts pixels; else Dice stands for it."""
    return metric_sums if metric_sums.metric.counts_pixels else MetricSums(Metric(name="dice"))


@dataclass(frozen=True, eq=False)
class FittedMixture:
    """A fitted plan: heads by member (None: identity), weights float64 (K, M), the logits float64 (K,)
    that classes are cut at, and what is averaged.
    """

    heads: tuple[Head, ...] | None
    weights: np.ndarray
    cuts: np.ndarray
    mean: Averaged = "logits"


@dataclass(frozen=True, eq=False)
class Mixer:
    """Fits plans on samples without some held-out parts, and scores them on others.

    parts: int64 (N,) of the samples' images.
    """

    samples: Samples
    parts: np.ndarray
    metric_sums: MetricSums
    _heads: dict[tuple[HeadKind, Without], tuple[Head, ...]] = field(default_factory=dict)
    _fits: dict[tuple[MixturePlan, Without], FittedMixture] = field(default_factory=dict)
    _crossed: dict[tuple[MixturePlan, Without], np.ndarray] = field(default_factory=dict)

    def others(self, without: Without) -> np.ndarray:
        """Images of no such part, bool (N,)."""
        return ~np.isin(self.parts, list(without))

    def fit(self, plan: MixturePlan, without: Without) -> FittedMixture:
        """The plan fitted on all parts but some; heads, weights and cuts are fitted to the mean of
        logits, whatever is averaged.
        """
        key = plan, without
        if key not in self._fits:
            self._fits[key] = self._fitted(plan, without)
        return self._fits[key]

    def _fitted(self, plan: MixturePlan, without: Without) -> FittedMixture:
        if plan.mean != "logits":
            fitted = self.fit(replace(plan, mean="logits"), without)
            if plan.mean == "power mean":
                return replace(fitted, mean=self._fitted_mean(fitted, without))
            return replace(fitted, mean=plan.mean)
        heads = None if plan.head is None else self._fitted_heads(plan.head, without)
        weights = self._fitted_weights(plan, heads, without)
        fitted = FittedMixture(heads, weights, np.zeros(len(weights)))
        return self._with_cuts(fitted, without) if plan.cut else fitted

    def outcome(self, plan: MixturePlan, without: Without, chosen: np.ndarray) -> np.ndarray:
        """What chosen images, bool (N,), add under the plan fitted without parts: (n, K, C)."""
        fitted = self.fit(plan, without)
        return self._outcome(fitted, self._logits(fitted, chosen), chosen)

    def _logits(self, fitted: FittedMixture, chosen: np.ndarray) -> list[np.ndarray]:
        """Of each class the members' logits at the drawn pixels of chosen images, float32 (M, P)."""
        return [
            member_logits(sample.where(chosen), k, fitted.heads)
            for k, sample in enumerate(self.samples.classes)
        ]

    def _outcome(
        self, fitted: FittedMixture, logits: list[np.ndarray], chosen: np.ndarray
    ) -> np.ndarray:
        decided = []
        for own, weights, cut in zip(logits, fitted.weights, fitted.cuts, strict=True):
            values, level = (averaged_values(one, fitted.mean) for one in (own, cut))
            decided.append(weights.astype(np.float32) @ values > level)
        return self._added(decided, chosen)

    def crossed(self, plan: MixturePlan, without: Without) -> np.ndarray:
        """What images outside `without` add under the plan fitted without their part too, (n, K, C)."""
        key = plan, without
        if key not in self._crossed:
            others = self.others(without)
            found = {
                int(part): self.outcome(plan, without | {int(part)}, self.parts == part)
                for part in np.unique(self.parts[others])
            }
            result = np.zeros((len(others), *next(iter(found.values())).shape[1:]))
            for part, added in found.items():
                result[self.parts == part] = added
            self._crossed[key] = result[others]
        return self._crossed[key]

    def report(
        self,
        name: str,
        plans: tuple[MixturePlan, MixturePlan],
        partition: Partition,
        without: Without = frozenset(),
    ) -> StepReport:
        """What the second plan gains over the first."""
        others = self.others(without)
        count = len(np.unique(partition.parts[others]))
        before, after = (self.crossed(plan, without) for plan in plans)
        gain = step_gain(before, after, partition.groups[others], self.metric_sums, parts=count)
        apparent = [self.outcome(plan, without, others).sum(axis=0) for plan in plans]
        before, after = (float(self.metric_sums.overall(sums)) for sums in apparent)
        return StepReport.of("mixture", name, after - before, gain)

    def _fitted_heads(self, kind: HeadKind, without: Without) -> tuple[Head, ...]:
        key = kind, without
        if key not in self._heads:
            self._heads[key] = fit_heads(kind, self.samples, self.others(without))
        return self._heads[key]

    def _fitted_mean(self, fitted: FittedMixture, without: Without) -> Averaged:
        """The power mean that scores best on all parts but some, the lowest exponent of equals."""
        chosen = self.others(without)
        logits = self._logits(fitted, chosen)

        def score(mean: Averaged) -> float:
            added = self._outcome(replace(fitted, mean=mean), logits, chosen).sum(axis=0)
            return float(np.nan_to_num(self.metric_sums.overall(added), nan=-np.inf))

        return max(POWER_MEANS, key=score)

    def _fitted_weights(
        self, plan: MixturePlan, heads: tuple[Head, ...] | None, without: Without
    ) -> np.ndarray:
        members, classes = len(self.samples.members), len(self.samples.classes)
        if plan.weights is None:
            return np.full((classes, members), 1 / members)
        chosen = self.others(without)
        samples = [sample.where(chosen) for sample in self.samples.classes]
        logits = [member_logits(sample, k, heads) for k, sample in enumerate(samples)]
        if plan.weights in ("best member alone", "greedy weights"):

            def score(weights: np.ndarray) -> float:
                decided = [weights.astype(np.float32) @ found > 0 for found in logits]
                added = self._added(decided, chosen).sum(axis=0)
                return float(self.metric_sums.overall(added))

            fit = greedy if plan.weights == "greedy weights" else best_alone
            return np.tile(fit(score, members), (classes, 1))
        problems = [
            SmoothDice.of(sample, found, sample.decided, self.samples.counts(-1, k))
            for k, (sample, found) in enumerate(zip(samples, logits, strict=True))
        ]
        if plan.weights == "simplex weights":
            return np.tile(on_simplex(problems), (classes, 1))
        return np.stack([on_simplex([problem]) for problem in problems])

    def _with_cuts(self, fitted: FittedMixture, without: Without) -> FittedMixture:
        """The best threshold of each class on the grid; ties go to the one nearest to 0.5."""
        chosen = self.others(without)
        levels = logit(np.array(sorted(THRESHOLDS, key=lambda level: abs(level - 0.5))))
        cuts = []
        for k, sample in enumerate(self.samples.classes):
            part = sample.where(chosen)
            found = fitted.weights[k].astype(np.float32) @ member_logits(part, k, fitted.heads)
            counts = [self.samples.counts_after(k, part, found > level) for level in levels]
            labelled, predicted, common = np.stack(counts, axis=-1)[:, chosen]
            added = self.metric_sums.from_counts(common, labelled, predicted).sum(axis=0)
            cuts.append(levels[best(self.metric_sums.per_class(added))])
        return replace(fitted, cuts=np.array(cuts))

    def _added(self, decided: list[np.ndarray], chosen: np.ndarray) -> np.ndarray:
        """What chosen images add, (n, K, C), under a decision at the drawn pixels of each class."""
        samples = [sample.where(chosen) for sample in self.samples.classes]
        counts = [
            self.samples.counts_after(k, *pair)
            for k, pair in enumerate(zip(samples, decided, strict=True))
        ]
        labelled, predicted, common = np.stack(counts, axis=-1)[:, chosen]
        return self.metric_sums.from_counts(common, labelled, predicted)


def member_logits(sample: ClassSample, k: int, heads: tuple[Head, ...] | None) -> np.ndarray:
    """Each member's logit of class k at the drawn pixels, after its head: float32 (M, P)."""
    if heads is None:
        own = slice(k, k + 1)
        return np.stack([sample.logits(m, own)[0] for m in range(len(sample.codes))])
    rows = [head.row(k).astype(np.float32) for head in heads]
    seen = [sample.logits(m, features_of(head.kind, k)) for m, head in enumerate(heads)]
    return np.stack([row[:-1] @ logits + row[-1] for row, logits in zip(rows, seen, strict=True)])


def select_mixture(
    mixer: Mixer, partition: Partition, without: Without = frozenset()
) -> tuple[MixturePlan, list[StepReport]]:
    """Every step in its order, judged on the grid on top of those adopted before it."""
    plan, reports = PLAIN, []
    for name in plans_on(plan, mixer.samples):
        step = plans_on(plan, mixer.samples)[name]
        reports.append(mixer.report(name, (plan, step), partition, without))
        plan = step if reports[-1].adopted else plan
    return plan, reports


def heads_alone(mixer: Mixer, partition: Partition) -> list[StepReport]:
    """Class thresholds and each head alone, over threshold 0.5 and the identity: one table for all."""
    plans = {"class thresholds": MixturePlan(cut=True)}
    plans |= {name: plan for name, plan in plans_on(PLAIN, mixer.samples).items() if plan.head}
    return [mixer.report(f"{name} alone", (PLAIN, plan), partition) for name, plan in plans.items()]
