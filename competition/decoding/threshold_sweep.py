"""Every image at every threshold, measured in one pass: what thresholds and empty rules are fitted on.

A prediction of a class in an image is cut at the class's threshold; it is dropped where the area
above `top` has fewer than `minimum` pixels (in a triplet rule: sure somewhere, then generous).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from competition.decoding.blend import Blend
from competition.errors import InputFault, listed
from competition.evaluation.metric_sums import MetricSums, require_same_shape
from competition.masks import Runs

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Probabilities that thresholds are chosen from; 0.5 must be among them."""

ImageRow = tuple[np.ndarray, ...]
"""Of one image: truth (K,), areas (K, T), sums (K, T, C) and empty (K, C)."""


@dataclass(frozen=True)
class Rules:
    """Per class, int64 (K,): places of `threshold` and `top` in the thresholds of a sweep, `minimum`
    pixels, and the place of its chain (`operation`) in `postprocess.CHAINS`.
    """

    threshold: np.ndarray
    top: np.ndarray
    minimum: np.ndarray
    operation: np.ndarray

    def as_bytes(self) -> bytes:
        """Equal for equal rules."""
        return np.stack([self.threshold, self.top, self.minimum, self.operation]).tobytes()


@dataclass(frozen=True)
class ThresholdSweep:
    """N images × K classes × T thresholds.

    areas: int64 (N, K, T) predicted pixels; sums: float64 (N, K, T, C) what each prediction adds
    to the score; empty: float64 (N, K, C) what an empty prediction would add; truth: int64 (N, K)
    labelled pixels; thresholds: the T probabilities, ascending.
    """

    metric_sums: MetricSums
    images: tuple[str, ...]
    thresholds: tuple[float, ...]
    truth: np.ndarray
    areas: np.ndarray
    sums: np.ndarray
    empty: np.ndarray

    @property
    def classes(self) -> int:
        return self.truth.shape[1]

    @property
    def half(self) -> int:
        """Place of threshold 0.5."""
        return self.thresholds.index(0.5)

    def plain(self) -> Rules:
        """Threshold 0.5 and nothing dropped."""
        half = np.full(self.classes, self.half)
        nothing = np.zeros(self.classes, np.int64)
        return Rules(half, half.copy(), nothing, nothing.copy())

    def kept(self, rules: Rules) -> np.ndarray:
        """Which masks the empty rules leave, bool (N, K)."""
        return self.areas[:, np.arange(self.classes), rules.top] >= rules.minimum

    def outcome(self, rules: Rules) -> np.ndarray:
        """What each image and class adds under thresholds and empty rules, float64 (N, K, C)."""
        chosen = self.sums[:, np.arange(self.classes), rules.threshold]
        return np.where(self.kept(rules)[..., None], chosen, self.empty)

    def curves(self) -> np.ndarray:
        """Score of each class at each threshold over all images, float64 (K, T)."""
        sums = self.sums.sum(axis=0).swapaxes(0, 1)
        return self.metric_sums.sign * self.metric_sums.per_class(sums).T

    def by_image(self) -> np.ndarray:
        """Score of each image at threshold 0.5, float64 (N,)."""
        return self.metric_sums.sign * self.metric_sums.overall(self.sums[:, :, self.half])

    def where(self, chosen: np.ndarray) -> "ThresholdSweep":
        """That of some images; chosen: bool (N,) or int places."""
        places = np.arange(len(self.images))[chosen]
        return replace(
            self,
            images=tuple(self.images[place] for place in places),
            truth=self.truth[places],
            areas=self.areas[places],
            sums=self.sums[places],
            empty=self.empty[places],
        )


def require_labels(images: Collection[str], truth: Mapping[str, Runs]) -> None:
    """InputFault where nothing is predicted, or an image of it has no labels."""
    if not images:
        raise InputFault("predictions of no image; predict again")
    missing = [image for image in images if image not in truth]
    if missing:
        raise InputFault(
            listed([f"image {image!r} is predicted but not labelled" for image in missing])
        )


def assembled(
    metric_sums: MetricSums,
    images: tuple[str, ...],
    rows: Iterable[ImageRow],
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> ThresholdSweep:
    """The sweep of images from one row for each."""
    columns = (np.stack(column) for column in zip(*rows, strict=True))
    return ThresholdSweep(metric_sums, images, thresholds, *columns)


def sweep_image(
    together: Blend,
    image: str,
    labelled: tuple[Runs, Runs | None],
    metric_sums: MetricSums,
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> ImageRow:
    """Decode one image at all thresholds and measure it.

    labelled: its truth (K, H, W) and the pixels (1, H, W) that do not count, None where all do. The
    areas are those of whole predictions: empty rules see them so when there are no labels.
    """
    truth, ignored = labelled
    found = together.runs_at(image, np.asarray(thresholds))
    require_same_shape(image, found[0], truth)
    areas = np.stack([runs.area() for runs in found], axis=1)
    sums = np.stack([metric_sums.of_image(truth, runs, ignored=ignored) for runs in found], axis=1)
    return truth.area(), areas, sums, metric_sums.of_image(truth, Runs.empty(truth.shape))
