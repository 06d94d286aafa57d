"""Every image as a mixture shows it that has not seen it: threshold sweeps for nested cross-validation.

An image is only ever seen through a mixture that was not fitted on it and, while a part is held out,
through one that was not fitted on that part either. Such a *view* of all images takes one fit for each
pair of parts. Where no head and no weights are adopted, all views are the same plain one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from competition.decoding.blend import Blend, Reader
from competition.decoding.decisions import Mixture
from competition.decoding.threshold_sweep import (
    ImageRow,
    ThresholdSweep,
    assembled,
    require_labels,
    sweep_image,
)
from competition.evaluation.metric_sums import MetricSums
from competition.masks import Runs
from competition.tuning.mixture_search import PLAIN, Mixer, MixturePlan, Without
from competition.tuning.parallel import over_images

FittedPlan = tuple[MixturePlan, Without]
"""Names a fitted mixture: its plan, and the held-out parts that it has not seen."""

PLAIN_FIT: FittedPlan = (PLAIN, frozenset())
Rows = Mapping[tuple[FittedPlan, int], ImageRow]
"""Of a fitted mixture and the place of an image."""


@dataclass(frozen=True, eq=False)
class CvView:
    """The sweep of all images, each through the fitted mixture that `fits` names."""

    fits: tuple[FittedPlan, ...]
    sweep: ThresholdSweep


@dataclass(frozen=True)
class NestedPlans:
    """The plan chosen on all images, and, for each held-out part, the one chosen without it."""

    whole: MixturePlan
    without: Mapping[int, MixturePlan]


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What is decoded and measured: members' predictions by name, labels by image, the metric,
    whether classes exclude each other, and by image the pixels (1, H, W) that do not count.
    """

    readers: Mapping[str, Reader]
    truth: Mapping[str, Runs]
    metric_sums: MetricSums
    exclusive: bool
    ignored: Mapping[str, Runs] = field(default_factory=dict)

    def row(self, together: Blend, image: str) -> ImageRow:
        """The sweep of one image by a blend."""
        labelled = self.truth[image], self.ignored.get(image)
        return sweep_image(together, image, labelled, self.metric_sums)

    def plain_row(self) -> Callable[[str], ImageRow]:
        """Sweeps an image, members with equal weights: for a pass that reads it anyway."""
        together = Mixture.equal(self.readers).blended(self.readers, exclusive=self.exclusive)
        return lambda image: self.row(together, image)


@dataclass(frozen=True, eq=False)
class CvViews:
    """Rows of images under fitted mixtures, gathered once; views put them together."""

    data: OutOfFold
    mixer: Mixer
    rows: Rows
    _blends: dict[FittedPlan, Blend] = field(default_factory=dict)

    @property
    def plain(self) -> CvView:
        """Equal weights, no heads."""
        return self._view((PLAIN_FIT,) * len(self.mixer.parts))

    def view(self, plan: MixturePlan, without: Without = frozenset()) -> CvView:
        """All images, each through the plan fitted without `without` and its own part."""
        return self._view(_fits(plan, self.mixer.parts, without))

    def submitted(self, plan: MixturePlan) -> CvView:
        """All images through the plan fitted on all of them: what is submitted."""
        return self._view((_fit(plan, frozenset()),) * len(self.mixer.parts))

    def views_without(self, plan: MixturePlan, parts: Sequence[int]) -> dict[int, CvView]:
        """For each held-out part the view that has not seen it."""
        if plan == PLAIN:
            return dict.fromkeys(parts, self.plain)
        return {part: self.view(plan, frozenset({part})) for part in parts}

    def blend(self, fit: FittedPlan) -> Blend:
        if fit not in self._blends:
            self._blends[fit] = _blend_of(self.mixer, fit, self.data)
        return self._blends[fit]

    def _view(self, fits: tuple[FittedPlan, ...]) -> CvView:
        rows = [self.rows[fit, place] for place, fit in enumerate(fits)]
        return CvView(fits, assembled(self.data.metric_sums, self.mixer.samples.images, rows))


def gather_views(
    data: OutOfFold,
    mixer: Mixer,
    plans: NestedPlans,
    *,
    known: Rows = MappingProxyType({}),
    advance: Callable[[], None] = lambda: None,
) -> CvViews:
    """One pass over the images at native size; what is `known` is not measured again."""
    images = mixer.samples.images
    require_labels(images, data.truth)
    wanted = wanted_fits(plans, mixer.parts)
    blends = {fit: _blend_of(mixer, fit, data) for fit in set().union(*wanted)}

    def work(place: int, image: str) -> dict[tuple[FittedPlan, int], ImageRow]:
        return {
            (fit, place): data.row(blends[fit], image)
            for fit in wanted[place]
            if (fit, place) not in known
        }

    rows = over_images(work, images, advance=advance)
    gathered = {key: row for one in rows for key, row in one.items()}
    return CvViews(data, mixer, {**known, **gathered}, blends)


def mixture_of(mixer: Mixer, fit: FittedPlan) -> Mixture:
    """The mixture that a fit names, as it is written down."""
    fitted = mixer.fit(*fit)
    return Mixture.of(mixer.samples.members, fitted.weights, fitted.heads, mean=fitted.mean)


def wanted_fits(plans: NestedPlans, parts: np.ndarray) -> list[set[FittedPlan]]:
    """For each image the fits that some view shows it through."""
    lists = [
        (PLAIN_FIT,) * len(parts),
        (_fit(plans.whole, frozenset()),) * len(parts),
        _fits(plans.whole, parts, frozenset()),
        *(_fits(plans.whole, parts, frozenset({part})) for part in plans.without),
        *(_fits(plan, parts, frozenset({part})) for part, plan in plans.without.items()),
    ]
    return [set(fits) for fits in zip(*lists, strict=True)]


def _fits(plan: MixturePlan, parts: np.ndarray, without: Without) -> tuple[FittedPlan, ...]:
    return tuple(_fit(plan, without | {int(part)}) for part in parts)


def _fit(plan: MixturePlan, without: Without) -> FittedPlan:
    return PLAIN_FIT if plan == PLAIN else (plan, without)


def _blend_of(mixer: Mixer, fit: FittedPlan, data: OutOfFold) -> Blend:
    return mixture_of(mixer, fit).blended(data.readers, exclusive=data.exclusive)
