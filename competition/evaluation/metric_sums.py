"""The competition's metric as sums: what an image adds, and the score of what was added.

A mean over images adds (score, 1), or (0, 0) where the metric skips the image; a metric over pooled
pixels adds its counts. A metric of volumes adds at the first slice of each what the whole volume scores.
Either way the score of any set of images is a function of one sum, so a threshold sweep, a fold and a
bootstrap draw are all sums of the same rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import pandas as pd

from competition.errors import InputFault, listed
from competition.evaluation.bootstrap import bounds, group_totals, resampled
from competition.masks import Runs
from competition.scoring import (
    CONNECTED_COMPONENTS,
    Metric,
    ObjectRule,
    dice_statistics,
    score_from_statistics,
    score_image,
    score_volume,
)
from competition.settings import Settings
from competition.spec import Competition


class Score(Settings):
    """A score with its 95 % bootstrap interval over groups (None with fewer than two groups)."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        between = "" if self.low is None else f" ({self.low:.4f} to {self.high:.4f})"
        return f"{self.value:.4f}{between}"


Slice = tuple[str, int]
"""The volume of an image, and its place there."""

Slices = Mapping[str, Slice]
"""By image."""

Masks = Callable[[str], Runs]
"""Of an image, (K, H, W)."""


def slices_of(rows: pd.DataFrame) -> Slices:
    """The slices among images of a catalog, by its columns image, volume and slice."""
    columns = (rows["image"].tolist(), rows["volume"].tolist(), rows["slice"].tolist())
    return {image: (volume, place) for image, volume, place in zip(*columns, strict=True) if volume}


def volume_of(image: str, slices: Slices) -> str:
    """The volume that an image is a slice of, or the image itself where it stands alone."""
    return slices[image][0] if image in slices else image


def require_same_shape(image: str, predicted: Runs, labelled: Runs) -> None:
    """InputFault where they are not of the same classes and pixels."""
    if predicted.shape != labelled.shape:
        raise InputFault(
            f"image {image!r}: predicted as {predicted.shape}, labelled as {labelled.shape}; "
            "the images or labels have changed: predict again"
        )


@dataclass(frozen=True)
class MetricSums:
    """What images add to the score of `metric`, and the score of such sums.

    spacing: mm of a pixel down and across, and slice_spacing from slice to slice, for metrics of
    distances; objects: how a predicted mask becomes objects, for metrics of those; slices: which
    images are one volume, for metrics of those. In sums more is always better: where the metric is
    a distance they hold it with its sign turned. Shape letters: N images, K classes, C numbers that
    are added up (2 for a mean, 3 for pooled pixels, 4 for a mean of slices and one of volumes).
    """

    metric: Metric
    spacing: tuple[float, float] = (1.0, 1.0)
    objects: ObjectRule = CONNECTED_COMPONENTS
    slices: Slices = field(default_factory=dict)
    slice_spacing: float = 1.0

    @classmethod
    def of(cls, competition: Competition, slices: Slices = MappingProxyType({})) -> "MetricSums":
        data = competition.data
        return cls(
            competition.metric,
            data.spacing or (1.0, 1.0),
            competition.objects,
            slices,
            data.slice_spacing or 1.0,
        )

    @property
    def of_slices(self) -> "MetricSums":
        """What stands in for it where single slices are measured; itself unless it sees volumes."""
        if not self.metric.over_volumes:
            return self
        return replace(self, metric=self.metric.of_slices)

    @property
    def pooled(self) -> bool:
        return self.metric.over == "pixels"

    @property
    def by_mask(self) -> bool:
        """Whether the score is a mean over the masks of images, each by itself."""
        return not self.pooled and not self.metric.over_volumes

    @property
    def sign(self) -> int:
        return 1 if self.metric.higher_is_better else -1

    def of_image(self, truth: Runs, prediction: Runs, *, ignored: Runs | None = None) -> np.ndarray:
        """What one image adds, float64 (K, C): see `from_counts`. Not for metrics of volumes.

        ignored: pixels (1, H, W) that do not count: they are taken away from both masks before
        anything is counted, matched or measured.
        """
        if ignored is not None:
            truth, prediction = truth.without(ignored), prediction.without(ignored)
        if self.metric.counts_pixels:
            return self.from_counts(*dice_statistics(truth, prediction))
        options = {"spacing": self.spacing, "objects": self.objects}
        return self.from_scores(score_image(truth, prediction, self.metric, **options))

    def of_images(
        self,
        images: Sequence[str],
        truth: Masks | None,
        predictions: Callable[[str], Sequence[Runs]],
        *,
        ignored: Mapping[str, Runs] = MappingProxyType({}),
        advance: Callable[[], None] = lambda: None,
    ) -> np.ndarray:
        """What images add under each of M predictions, float64 (N, M, K, C).

        truth: None stands for the first prediction. ignored: by image, as in `of_image`. Masks are
        asked for once an image, for a metric of volumes volume by volume; `advance` is called after
        each image.
        """

        def masks_of(image: str) -> tuple[Runs, list[Runs]]:
            found = list(predictions(image))
            label = found[0] if truth is None else truth(image)
            left_out = ignored.get(image)
            for one in found:
                require_same_shape(image, one, label)
            advance()
            if left_out is None:
                return label, found
            return label.without(left_out), [one.without(left_out) for one in found]

        if not self.metric.over_volumes:
            pairs = (masks_of(image) for image in images)
            return np.stack(
                [[self.of_image(label, one) for one in found] for label, found in pairs]
            )
        added: dict[str, np.ndarray] = {}
        for volume in self._volumes(images):
            labels, found = zip(*map(masks_of, volume), strict=True)
            by_prediction = [self._of_volume(labels, masks) for masks in zip(*found, strict=True)]
            added |= dict(zip(volume, np.stack(by_prediction, axis=1), strict=True))
        return np.stack([added[image] for image in images])

    def _volumes(self, images: Sequence[str]) -> list[list[str]]:
        """The images of each volume, in order; InputFault where a volume is not here as a whole."""
        alone = [image for image in images if image not in self.slices]
        if alone:
            raise InputFault(
                listed(
                    [
                        f"image {image!r} is in no volume, and {self.metric.name!r} scores volumes; "
                        "volume in [data] says what they are"
                        for image in alone
                    ]
                )
            )
        whole: dict[str, dict[int, str]] = {self.slices[image][0]: {} for image in images}
        for image, (volume, place) in self.slices.items():
            if volume in whole:
                whole[volume][place] = image
        here = set(images)
        torn = []
        for volume, members in sorted(whole.items()):
            found = len(here.intersection(members.values()))
            if found < len(members):
                torn.append(
                    f"volume {volume!r}: {found} of its {len(members)} slices are here; "
                    f"{self.metric.name!r} scores whole volumes"
                )
        if torn:
            raise InputFault(listed(torn))
        return [[members[place] for place in sorted(members)] for members in whole.values()]

    def _of_volume(self, truth: Sequence[Runs], prediction: Sequence[Runs]) -> np.ndarray:
        """What the slices of one volume add, float64 (D, K, C): the first one all of the volume's."""
        spacing = (self.slice_spacing, *self.spacing)
        scores = np.full((len(truth), truth[0].classes), np.nan)
        scores[0] = score_volume(truth, prediction, self.metric, spacing=spacing)
        volumes = self.from_scores(scores)
        if not self.metric.rule.slice_share:
            return volumes
        pairs = zip(truth, prediction, strict=True)
        return np.concatenate(
            [[self.of_slices.of_image(*pair) for pair in pairs], volumes], axis=-1
        )

    def from_scores(self, scores: np.ndarray) -> np.ndarray:
        """What images of these scores (...) add, NaN where the metric skips one: (..., 2)."""
        counted = ~np.isnan(scores)
        return np.stack([np.where(counted, self.sign * scores, 0.0), counted], axis=-1)

    def from_counts(
        self, intersection: np.ndarray, truth: np.ndarray, predicted: np.ndarray
    ) -> np.ndarray:
        """What images add, float64 (..., 2) or, pooled, (..., 3), from counts of equal shape (...).

        >>> dice = MetricSums(Metric(name="dice"))
        >>> dice.from_counts(np.array([1, 0]), np.array([2, 0]), np.array([2, 0]))
        array([[0.5, 1. ],
               [1. , 1. ]])
        """
        if self.pooled:
            return np.stack([intersection, truth, predicted], axis=-1).astype(np.float64)
        return self.from_scores(score_from_statistics(intersection, truth, predicted, self.metric))

    def per_class(self, sums: np.ndarray) -> np.ndarray:
        """Score of each class from sums (..., K, C), more is better; NaN where nothing is counted."""
        if self.pooled:
            return score_from_statistics(sums[..., 0], sums[..., 1], sums[..., 2], self.metric)
        return self._mean(sums)

    def overall(self, sums: np.ndarray) -> np.ndarray:
        """The score from sums (..., K, C), more is better: a mean over all counted, or over classes."""
        if self.pooled:
            classes = self.per_class(sums)
            counted = ~np.isnan(classes)
            return _ratio(np.where(counted, classes, 0.0).sum(axis=-1), counted.sum(axis=-1))
        return self._mean(sums.sum(axis=-2))

    def _mean(self, sums: np.ndarray) -> np.ndarray:
        """Of sums (..., C): what was added over how often, of slices and of volumes by their shares."""
        volumes = _ratio(sums[..., -2], sums[..., -1])
        share = self.metric.rule.slice_share
        return (
            share * _ratio(sums[..., 0], sums[..., 1]) + (1 - share) * volumes if share else volumes
        )

    def value(self, sums: np.ndarray) -> float:
        """The score of images from their sums (N, K, C), as the metric has it."""
        return self.sign * float(self.overall(sums.sum(axis=0)))

    def score(self, sums: np.ndarray, groups: np.ndarray) -> Score:
        """The score of images (N, K, C) with its bootstrap interval over groups (N,)."""
        _, totals = group_totals(sums, groups)
        low = high = np.nan
        if len(totals) > 1:
            drawn = self.sign * self.overall(resampled(totals, np.random.default_rng(0)))
            low, high = bounds(drawn).tolist()
        if np.isnan(low):
            return Score(value=self.value(sums), low=None, high=None)
        return Score(value=self.value(sums), low=low, high=high)


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.asarray(total, np.float64) / count
