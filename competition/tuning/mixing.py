"""Heads and weights chosen on samples: each kind cross-fitted, kept if it helps, all sets cached.

A mixture for a held-back part must not have seen that part, and one for choosing while another part
is held back must have seen neither: fits are kept by the set of parts that they did without.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import expit

from competition.masks.levels import logit
from competition.scoring import Metric
from competition.tuning.acceptance import judge
from competition.tuning.chain import Judged, Sides
from competition.tuning.ensemble import Mean
from competition.tuning.head import Head, Kind
from competition.tuning.head_fit import features_of, fit_heads, problem_of
from competition.tuning.measure import Measure
from competition.tuning.samples import ClassSample, Samples
from competition.tuning.statistics import GRID as THRESHOLDS
from competition.tuning.thresholds import best
from competition.tuning.weight_fit import Weighing, greedy, on_simplex

Parts = frozenset[int]


@dataclass(frozen=True)
class Plan:
    """Which kind of head, and which kind of weights; None: the identity, equal weights.

    mean: what is averaged, logits or the probabilities that they stand for; cut: whether classes are
    cut at thresholds fitted on the grid; no step does, it is what heads are compared with.
    """

    head: Kind | None = None
    weights: Weighing | None = None
    mean: Mean = "logits"
    cut: bool = False


PLAIN = Plan()


def plans_on(plan: Plan, samples: Samples) -> dict[str, Plan]:
    """The steps by name, each as the plan that it would turn `plan` into.

    One class has no other to be mixed with: a 1×1 head is then its scale and bias.
    """
    heads: list[Kind] = ["scale and bias"]
    heads += ["1x1"] if len(samples.classes) > 1 else []
    heads += ["3x3"] if samples.one_grid else []
    steps = {f"head {kind}": replace(plan, head=kind) for kind in heads}
    steps |= {name: replace(plan, weights=name) for name in weighings(samples)}
    means = {"mean of probabilities": replace(plan, mean="probabilities")}
    return steps | (means if len(samples.members) > 1 else {})


def weighings(samples: Samples) -> tuple[Weighing, ...]:
    """None with one member; with one class, weights per class are those on the simplex."""
    if len(samples.members) == 1:
        return ()
    every: tuple[Weighing, ...] = ("greedy weights", "simplex weights", "weights per class")
    return every if len(samples.classes) > 1 else every[:2]


def measured_on_grid(measure: Measure) -> Measure:
    """The competition's metric where it counts pixels; else Dice stands for it."""
    return measure if measure.metric.counts_pixels else Measure(Metric(name="dice"))


@dataclass(frozen=True, eq=False)
class Mixed:
    """A fitted plan: heads by member (None: identity), shares float64 (K, M), and the logits float64
    (K,) that classes are cut at.
    """

    heads: tuple[Head, ...] | None
    shares: np.ndarray
    cuts: np.ndarray


@dataclass(frozen=True, eq=False)
class Mixer:
    """Fits plans on samples without some parts, and scores them on others.

    parts: int64 (N,) of the samples' images.
    """

    samples: Samples
    parts: np.ndarray
    measure: Measure
    _heads: dict[tuple[Kind, Parts], tuple[Head, ...]] = field(default_factory=dict)
    _fits: dict[tuple[Plan, Parts], Mixed] = field(default_factory=dict)

    def fit(self, plan: Plan, without: Parts) -> Mixed:
        """The plan fitted on all parts but some; what is averaged makes no difference to it."""
        plan = replace(plan, mean="logits")
        key = plan, without
        if key not in self._fits:
            heads = None if plan.head is None else self._fitted_heads(plan.head, without)
            shares = self._fitted_shares(plan, heads, without)
            mixed = Mixed(heads, shares, np.zeros(len(shares)))
            self._fits[key] = self._with_cuts(mixed, without) if plan.cut else mixed
        return self._fits[key]

    def outcome(self, plan: Plan, without: Parts, chosen: np.ndarray) -> np.ndarray:
        """What chosen images, bool (N,), add under the plan fitted without parts: (n, K, C)."""
        mixed = self.fit(plan, without)
        columns = []
        for place, sample in enumerate(self.samples.classes):
            part = sample.where(chosen)
            logits, cut = member_logits(part, place, mixed.heads), mixed.cuts[place]
            if plan.mean == "probabilities":
                logits, cut = expit(logits), expit(cut)
            decided = mixed.shares[place].astype(np.float32) @ logits > cut
            columns.append(counts_after(self.samples, place, part, decided)[:, chosen])
        labelled, predicted, common = np.stack(columns, axis=-1)
        return self.measure.from_counts(common, labelled, predicted)

    def without(self, parts: Iterable[int]) -> np.ndarray:
        """Images of no such part, bool (N,)."""
        return ~np.isin(self.parts, list(parts))

    def _fitted_heads(self, kind: Kind, without: Parts) -> tuple[Head, ...]:
        key = kind, without
        if key not in self._heads:
            self._heads[key] = fit_heads(kind, self.samples, self.without(without))
        return self._heads[key]

    def _fitted_shares(
        self, plan: Plan, heads: tuple[Head, ...] | None, without: Parts
    ) -> np.ndarray:
        members, classes = len(self.samples.members), len(self.samples.classes)
        if plan.weights is None:
            return np.full((classes, members), 1 / members)
        chosen = self.without(without)
        parts = [sample.where(chosen) for sample in self.samples.classes]
        logits = [member_logits(part, place, heads) for place, part in enumerate(parts)]
        if plan.weights == "greedy weights":
            shares = greedy(lambda s: self._score(parts, logits, s, chosen), members)
            return np.tile(shares, (classes, 1))
        problems = [
            problem_of(part, found, part.decided, self.samples.counts(-1, place))
            for place, (part, found) in enumerate(zip(parts, logits, strict=True))
        ]
        if plan.weights == "simplex weights":
            return np.tile(on_simplex(problems), (classes, 1))
        return np.stack([on_simplex([problem]) for problem in problems])

    def _with_cuts(self, mixed: Mixed, without: Parts) -> Mixed:
        """The best threshold of each class on the grid; ties go to the one nearest to one half."""
        chosen = self.without(without)
        levels = logit(np.array(sorted(THRESHOLDS, key=lambda level: abs(level - 0.5))))
        cuts = []
        for place, sample in enumerate(self.samples.classes):
            part = sample.where(chosen)
            found = mixed.shares[place].astype(np.float32) @ member_logits(part, place, mixed.heads)
            counts = [counts_after(self.samples, place, part, found > level) for level in levels]
            labelled, predicted, common = np.stack(counts, axis=-1)[:, chosen]
            added = self.measure.from_counts(common, labelled, predicted).sum(axis=0)
            cuts.append(levels[best(self.measure.per_class(added))])
        return replace(mixed, cuts=np.array(cuts))

    def _score(
        self,
        parts: list[ClassSample],
        logits: list[np.ndarray],
        shares: np.ndarray,
        chosen: np.ndarray,
    ) -> float:
        counts = [
            counts_after(self.samples, place, part, shares.astype(np.float32) @ found > 0)
            for place, (part, found) in enumerate(zip(parts, logits, strict=True))
        ]
        labelled, predicted, common = np.stack(counts, axis=-1)[:, chosen]
        added = self.measure.from_counts(common, labelled, predicted)
        return float(self.measure.overall(added.sum(axis=0)))


def member_logits(part: ClassSample, place: int, heads: tuple[Head, ...] | None) -> np.ndarray:
    """Each member's logit of class `place` at the drawn pixels, after its head: float32 (M, P)."""
    if heads is None:
        return np.stack(
            [part.logits(m, slice(place, place + 1))[0] for m in range(len(part.codes))]
        )
    return np.stack([_after(part, place, head, m) for m, head in enumerate(heads)])


def _after(part: ClassSample, place: int, head: Head, member: int) -> np.ndarray:
    row = head.row(place).astype(np.float32)
    return row[:-1] @ features_of(head.kind, part, member, place) + row[-1]


def counts_after(
    samples: Samples, place: int, part: ClassSample, decided: np.ndarray
) -> np.ndarray:
    """Labelled, predicted and common pixels of class `place` in all images: float64 (3, N).

    decided: bool (P,) the new decision at the drawn pixels of `part`.
    """
    labelled, predicted, common = samples.counts(-1, place)
    change = part.weight * (decided.astype(np.int8) - part.decided)
    images = len(samples.images)
    predicted = predicted + np.bincount(part.image, change, images)
    common = common + np.bincount(part.image, change * part.truth, images)
    predicted, common = np.maximum(np.rint(predicted), 0), np.maximum(np.rint(common), 0)
    return np.stack([labelled, predicted, np.minimum(common, np.minimum(predicted, labelled))])


def cross_fitted(mixer: Mixer, plan: Plan, without: Parts) -> np.ndarray:
    """What each image outside `without` adds under the plan fitted without its part too, (n, K, C)."""
    others = mixer.without(without)
    found = {
        int(part): mixer.outcome(plan, without | {int(part)}, mixer.parts == part)
        for part in np.unique(mixer.parts[others])
    }
    result = np.zeros((len(others), *next(iter(found.values())).shape[1:]))
    for part, added in found.items():
        result[mixer.parts == part] = added
    return result[others]


def choose(mixer: Mixer, sides: Sides, without: Parts = frozenset()) -> tuple[Plan, list[Judged]]:
    """Every step in its order, judged on the grid on top of those adopted before it."""
    others = mixer.without(without)
    count = len(np.unique(sides.parts[others]))
    plan, judged = PLAIN, []
    before = cross_fitted(mixer, plan, without)
    for name in plans_on(plan, mixer.samples):
        step = plans_on(plan, mixer.samples)[name]
        after = cross_fitted(mixer, step, without)
        verdict = judge(before, after, sides.groups[others], mixer.measure, parts=count)
        gain = _apparent_gain(mixer, plan, step, without)
        judged.append(Judged(name, gain, verdict, "mixture"))
        if verdict.adopted:
            plan, before = step, after
    return plan, judged


def _apparent_gain(mixer: Mixer, before: Plan, after: Plan, without: Parts) -> float:
    chosen = mixer.without(without)
    sums = [mixer.outcome(plan, without, chosen).sum(axis=0) for plan in (before, after)]
    return float(mixer.measure.overall(sums[1]) - mixer.measure.overall(sums[0]))


def compared(mixer: Mixer, sides: Sides) -> list[Judged]:
    """Thresholds and each head alone, over one half and the identity: one table for all of them."""
    plans = {"class thresholds": Plan(cut=True)} | {
        name: plan for name, plan in plans_on(PLAIN, mixer.samples).items() if plan.head
    }
    count = len(np.unique(sides.parts))
    before = cross_fitted(mixer, PLAIN, frozenset())
    judged = []
    for name, plan in plans.items():
        after = cross_fitted(mixer, plan, frozenset())
        verdict = judge(before, after, sides.groups, mixer.measure, parts=count)
        gain = _apparent_gain(mixer, PLAIN, plan, frozenset())
        judged.append(Judged(f"{name} alone", gain, verdict, "mixture"))
    return judged
