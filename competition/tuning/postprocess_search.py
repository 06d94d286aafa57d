"""Post-processing chosen per class: what each operation would add, at the thresholds chosen."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from competition.decoding.decisions import StepKind
from competition.decoding.postprocess import (
    CHAINS,
    Chain,
    after_every_chain,
    exclusive_again,
)
from competition.decoding.threshold_sweep import Rules, ThresholdSweep
from competition.evaluation.metric_sums import MetricSums
from competition.masks import Runs
from competition.tuning.cv_views import CvView, CvViews, FittedPlan
from competition.tuning.parallel import over_images
from competition.tuning.thresholds import best

CHAIN_STEPS: dict[str, tuple[Chain, ...]] = {
    "opening or closing": (("opening",), ("closing",)),
    "holes filled": (("holes filled",),),
    "components": tuple(chain for chain in CHAINS if len(chain) == 1 and "component" in chain[0]),
    "opening, components, holes": tuple(chain for chain in CHAINS if len(chain) > 1),
}
"""Steps in the order in which they are judged; a class has one chain, the best of those offered."""


@dataclass(frozen=True, eq=False)
class OperationScores:
    """Images under fixed thresholds and empty rules.

    sums: float64 (N, K, S, C) what each adds after each of `CHAINS`.
    """

    sweep: ThresholdSweep
    rules: Rules
    sums: np.ndarray

    def where(self, chosen: np.ndarray) -> "OperationScores":
        return OperationScores(self.sweep.where(chosen), self.rules, self.sums[chosen])

    def fit(self, steps: Iterable[str]) -> Rules:
        """The rules with the best chain of each class among those that the steps offer."""
        offered = [0, *(CHAINS.index(chain) for step in steps for chain in CHAIN_STEPS[step])]
        kept = self.sweep.kept(self.rules)[..., None, None]
        empty = self.sweep.empty[:, :, None]
        sums = np.where(kept, self.sums[:, :, offered], empty).sum(axis=0)
        scores = self.sweep.metric_sums.per_class(sums.swapaxes(0, 1)).T
        return replace(self.rules, operation=np.array([offered[best(row)] for row in scores]))

    def outcome(self, rules: Rules) -> np.ndarray:
        """What each image and class adds after the operations of the rules, float64 (N, K, C)."""
        chosen = self.sums[:, np.arange(self.sums.shape[1]), rules.operation]
        return np.where(self.sweep.kept(self.rules)[..., None], chosen, self.sweep.empty)


Wanted = list[tuple[CvView, Rules]]

Levels = tuple[tuple[int, ...], ...]
"""For each class the places of thresholds in the grid."""


@dataclass(frozen=True, eq=False)
class OperationSweep:
    """What images add after each chain: by fit and place of the image, float64 (T, S, K, C) at
    the levels of the fit.
    """

    levels: Mapping[FittedPlan, Levels]
    sums: Mapping[tuple[FittedPlan, int], np.ndarray]

    def under(self, view: CvView, rules: Rules) -> OperationScores:
        """All images of a view under rules that were announced before the pass."""
        classes = np.arange(view.sweep.classes)
        rows = []
        for place, fit in enumerate(view.fits):
            levels = self.levels[fit]
            at = [levels[k].index(int(rules.threshold[k])) for k in classes]
            rows.append(self.sums[fit, place][at, :, classes])
        return OperationScores(view.sweep, rules, np.stack(rows))


def sweep_operations(
    views: CvViews, wanted: Wanted, *, advance: Callable[[], None] = lambda: None
) -> OperationSweep:
    """One pass over the images at the thresholds of all wanted views and rules."""
    levels = _levels(wanted)
    data, images = views.data, views.mixer.samples.images
    grid = np.array(wanted[0][0].sweep.thresholds)
    blends = {fit: views.blend(fit) for fit in levels}

    def work(place: int, image: str) -> dict[tuple[FittedPlan, int], np.ndarray]:
        found = {}
        for fit in {view.fits[place] for view, _ in wanted}:
            masks = blends[fit].runs_at(image, grid[_rectangle(levels[fit])])
            found[fit, place] = operation_sums(
                masks,
                data.truth[image],
                data.metric_sums,
                exclusive=data.exclusive,
                ignored=data.ignored.get(image),
            )
        return found

    rows = over_images(work, images, advance=advance)
    return OperationSweep(levels, {key: sums for one in rows for key, sums in one.items()})


def _levels(wanted: Wanted) -> dict[FittedPlan, Levels]:
    """Every threshold of each class that some wanted rules cut a fit's images at."""
    found: dict[FittedPlan, list[set[int]]] = {}
    for view, rules in wanted:
        for fit in set(view.fits):
            sets = found.setdefault(fit, [set() for _ in rules.threshold])
            for own, level in zip(sets, rules.threshold.tolist(), strict=True):
                own.add(level)
    return {fit: tuple(tuple(sorted(own)) for own in sets) for fit, sets in found.items()}


def _rectangle(levels: Levels) -> np.ndarray:
    """int64 (T, K): the levels of each class, the last repeated where it has fewer than others.

    >>> _rectangle(((9,), (4, 7)))
    array([[9, 4],
           [9, 7]])
    """
    longest = max(map(len, levels))
    return np.array([own + own[-1:] * (longest - len(own)) for own in levels]).T


def operation_sums(
    masks: Sequence[Runs],
    truth: Runs,
    metric_sums: MetricSums,
    *,
    exclusive: bool,
    ignored: Runs | None = None,
) -> np.ndarray:
    """What T masks (K, H, W) of an image add after each chain, float64 (T, S, K, C).

    ignored: pixels (1, H, W) that do not count; operations see the whole masks, as in a submission.
    """
    count, classes = len(masks), truth.classes
    together = Runs.stack([mask for one in masks for mask in one])
    labels = truth.select(list(range(classes)) * count)
    known: dict[Runs, np.ndarray] = {}
    columns = []
    for done in after_every_chain(together).values():
        if exclusive and done != together:
            parts = (done.select(range(t * classes, (t + 1) * classes)) for t in range(count))
            pairs = zip(masks, parts, strict=True)
            done = Runs.stack([mask for pair in pairs for mask in exclusive_again(*pair)])
        if done not in known:
            known[done] = metric_sums.of_image(labels, done, ignored=ignored)
        columns.append(known[done].reshape(count, classes, -1))
    return np.stack(columns, axis=1)


@dataclass(frozen=True, eq=False)
class OperationFits:
    """Post-processing as steps. without: for each held-out part all images under rules fitted
    without it.
    """

    whole: OperationScores
    without: Mapping[int, OperationScores]
    parts: np.ndarray
    names: tuple[str, ...] = tuple(CHAIN_STEPS)
    stage: StepKind = "post-processing"
    _known: dict[tuple[tuple[str, ...], int], Rules] = field(default_factory=dict)

    @property
    def metric_sums(self) -> MetricSums:
        return self.whole.sweep.metric_sums

    def crossed(self, steps: tuple[str, ...]) -> np.ndarray:
        """See `select_steps`."""
        result = np.empty_like(self.whole.sweep.empty)
        for part in np.unique(self.parts).tolist():
            own = self.parts == part
            result[own] = self.without[part].where(own).outcome(self.rules(steps, part))
        return result

    def rules(self, steps: tuple[str, ...], part: int) -> Rules:
        """Fitted on the images outside a part, once for each list of steps."""
        key = steps, part
        if key not in self._known:
            self._known[key] = self.without[part].where(self.parts != part).fit(steps)
        return self._known[key]

    def apparent(self, steps: tuple[str, ...]) -> float:
        """See `select_steps`."""
        return self.metric_sums.value(self.whole.outcome(self.whole.fit(steps)))
