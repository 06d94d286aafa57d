"""What every decision is fitted on: counts of each image, class and threshold, gathered in one pass."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from competition.errors import InputFault, listed
from competition.masks import Runs
from competition.tuning.ensemble import Blend
from competition.tuning.measure import Measure

GRID = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Probabilities that thresholds are chosen from; one half must be among them."""


@dataclass(frozen=True)
class Statistics:
    """N images × K classes × T thresholds.

    areas: int64 (N, K, T) predicted pixels; parts: float64 (N, K, T, C) what each prediction adds
    to the score; empty: float64 (N, K, C) what an empty prediction would add; truth: int64 (N, K)
    labelled pixels; thresholds: the T probabilities, ascending.
    """

    measure: Measure
    images: tuple[str, ...]
    thresholds: tuple[float, ...]
    truth: np.ndarray
    areas: np.ndarray
    parts: np.ndarray
    empty: np.ndarray

    @property
    def classes(self) -> int:
        return self.truth.shape[1]

    @property
    def half(self) -> int:
        """Place of the threshold of one half."""
        return self.thresholds.index(0.5)

    def curves(self) -> np.ndarray:
        """Score of each class at each threshold over all images, float64 (K, T)."""
        sums = self.parts.sum(axis=0).swapaxes(0, 1)
        return self.measure.sign * self.measure.per_class(sums).T

    def by_image(self) -> np.ndarray:
        """Score of each image at thresholds of one half, float64 (N,)."""
        return self.measure.sign * self.measure.overall(self.parts[:, :, self.half])

    def where(self, chosen: np.ndarray) -> "Statistics":
        """Those of some images; chosen: bool (N,) or int places."""
        places = np.arange(len(self.images))[chosen]
        return replace(
            self,
            images=tuple(self.images[place] for place in places),
            truth=self.truth[places],
            areas=self.areas[places],
            parts=self.parts[places],
            empty=self.empty[places],
        )


def gather(
    blend: Blend,
    truth: Mapping[str, Runs],
    measure: Measure,
    *,
    thresholds: tuple[float, ...] = GRID,
    advance: Callable[[], None] = lambda: None,
) -> Statistics:
    """One pass over the blend's images at native size; `advance` is called after each."""
    require_labels(blend.images, truth)
    rows = []
    for image in blend.images:
        rows.append(row_of(blend, image, truth[image], measure, thresholds))
        advance()
    return assembled(measure, blend.images, rows, thresholds)


def require_labels(images: Iterable[str], truth: Mapping[str, Runs]) -> None:
    missing = [image for image in images if image not in truth]
    if missing:
        raise InputFault(
            listed([f"image {image!r} is predicted but not labelled" for image in missing])
        )


Row = tuple[np.ndarray, ...]
"""Of one image: truth (K,), areas (K, T), parts (K, T, C) and empty (K, C)."""


def assembled(
    measure: Measure,
    images: tuple[str, ...],
    rows: Iterable[Row],
    thresholds: tuple[float, ...] = GRID,
) -> Statistics:
    """The statistics of images from one row for each."""
    columns = (np.stack(column) for column in zip(*rows, strict=True))
    return Statistics(measure, images, thresholds, *columns)


def row_of(
    blend: Blend,
    image: str,
    truth: Runs,
    measure: Measure,
    thresholds: tuple[float, ...] = GRID,
) -> Row:
    """Decode one image at all thresholds and measure it."""
    found = blend.runs_at(image, np.asarray(thresholds))
    if found[0].shape != truth.shape:
        raise InputFault(
            f"image {image!r}: predicted as {found[0].shape}, labelled as {truth.shape}; "
            "the images or labels have changed: predict again"
        )
    areas = np.stack([runs.area() for runs in found], axis=1)
    parts = np.stack([measure.parts(truth, runs) for runs in found], axis=1)
    return truth.area(), areas, parts, measure.parts(truth, Runs.empty(truth.shape))
