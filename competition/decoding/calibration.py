"""Labelled and other pixels by their logit: what reliability, PR and ROC curves are made of.

Pixels are those at the nodes of the logit grid, where nothing is interpolated: a regular sample of
the image, so that a competition of 2048² images and 30 classes is looked through in seconds.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from competition.decoding.blend import Blend, LogitGrid, rows_of
from competition.evaluation.bootstrap import bounds, group_totals, resampled
from competition.inference.quantisation import CLIP
from competition.masks import Runs

BINS = 256
"""Steps of the logit between −CLIP and CLIP."""

CENTRES = np.linspace(-CLIP, CLIP, BINS)
PROBABILITIES = 1 / (1 + np.exp(-CENTRES))


@dataclass(frozen=True, eq=False)
class PixelCounts:
    """int64: by_class (K, 2, BINS) of all images, by_image (N, 2, BINS) of all classes; of the two
    the first counts pixels outside of the class, the second those inside.
    """

    by_class: np.ndarray
    by_image: np.ndarray


def count_pixels(
    together: Blend,
    truth: Callable[[str], Runs],
    images: Iterable[str],
    *,
    ignored: Mapping[str, Runs] = MappingProxyType({}),
) -> PixelCounts:
    """One pass over these images of a blend; ignored: by image the pixels (1, H, W) left out."""
    table = np.stack(
        [_counted(together, image, truth(image), ignored.get(image)) for image in images]
    )
    return PixelCounts(table.sum(axis=0), table.sum(axis=1))


def tradeoff_curves(counts: np.ndarray) -> np.ndarray:
    """float64 (3, K, BINS): precision, recall, false-positive rate where pixels from each bin up are
    taken, from counts (K, 2, BINS); NaN where the share is of nothing.
    """
    taken = counts[..., ::-1].cumsum(axis=-1)[..., ::-1]
    outside, inside = taken[:, 0].astype(float), taken[:, 1].astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack(
            [inside / (inside + outside), inside / inside[:, :1], outside / outside[:, :1]]
        )


def areas_under(curves: np.ndarray) -> np.ndarray:
    """float64 (2, K) under precision over recall, by steps (average precision), and under recall over
    the false-positive rate, by straight lines, of curves (3, K, BINS); NaN where one is undefined.
    """
    precision, recall, false = curves[..., ::-1]  # from the surest bin on
    steps = np.diff(recall, axis=-1, prepend=0)
    aside = np.diff(false, axis=-1, prepend=0)
    before = np.concatenate([np.zeros_like(recall[:, :1]), recall[:, :-1]], axis=-1)
    # Where nothing is taken yet there is no precision, and no step either.
    by_steps = (steps * np.nan_to_num(precision)).sum(axis=-1)
    return np.stack([by_steps, (aside * (recall + before) / 2).sum(axis=-1)])


def bin_of(probability: np.ndarray) -> np.ndarray:
    """The first bin that lies above a threshold, int64."""
    return np.minimum(np.searchsorted(PROBABILITIES, probability, side="right"), BINS - 1)


@dataclass(frozen=True, eq=False)
class Reliability:
    """By bins of predicted probability: its mean, the labelled share with its 95 % interval (B, 2)
    over groups, pixels, and the mean distance of both, weighted by pixels.
    """

    predicted: np.ndarray
    observed: np.ndarray
    intervals: np.ndarray
    pixels: np.ndarray
    error: float


def reliability_of(by_image: np.ndarray, groups: np.ndarray, *, bins: int = 15) -> Reliability:
    """From counts (N, 2, BINS) of images of these groups (N,), in equal steps of probability."""
    place = np.minimum((PROBABILITIES * bins).astype(int), bins - 1)
    by_bin = by_image @ np.eye(bins)[place]  # (N, 2, bins)
    _, totals = group_totals(by_bin, groups)
    counts = totals.sum(axis=0)
    pixels = counts.sum(axis=0)
    mass = np.bincount(place, by_image.sum(axis=(0, 1)) * PROBABILITIES, minlength=bins)
    drawn = resampled(totals, np.random.default_rng(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        predicted, observed = mass / pixels, counts[1] / pixels
        intervals = bounds(drawn[:, 1] / drawn.sum(axis=1)).T
    known = pixels > 0
    error = np.abs(predicted - observed)[known] @ pixels[known] / pixels.sum()
    return Reliability(predicted, observed, intervals, pixels, float(error))


def _counted(together: Blend, image: str, truth: Runs, ignored: Runs | None) -> np.ndarray:
    """int64 (K, 2, BINS) of one image, piece by piece."""
    found = []
    for rows in together.pieces(image):
        grid = together.logit_grid(image, rows)
        hidden = None if ignored is None else rows_of(ignored, rows)
        found.append(_counts(grid, rows_of(truth, rows), hidden))
    return np.sum(found, axis=0)


def _counts(grid: LogitGrid, truth: Runs, ignored: Runs | None) -> np.ndarray:
    """int64 (K, 2, BINS) of one image."""
    rows, columns = (
        _nodes(
            grid.values.shape[1 + axis], grid.region[axis], grid.region[2 + axis], grid.size[axis]
        )
        for axis in (0, 1)
    )
    shown = replace(grid, values=grid.values[:, rows[0]][:, :, columns[0]])
    logits = shown.logits()
    places = np.rint((np.clip(logits, -CLIP, CLIP) + CLIP) * ((BINS - 1) / (2 * CLIP)))
    counted: np.ndarray | slice = slice(None)
    if ignored is not None and len(ignored):
        counted = ~ignored[0].to_dense()[np.ix_(rows[1], columns[1])].ravel()
    table = np.zeros((len(logits), 2, BINS), np.int64)
    for k, plane in enumerate(places.astype(np.int64)):
        inside = truth[k].to_dense()[np.ix_(rows[1], columns[1])].astype(np.int64)
        counts = np.bincount((plane + BINS * inside).ravel()[counted], minlength=2 * BINS)
        table[k] = counts.reshape(2, BINS)
    return table


def _nodes(nodes: int, start: float, length: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which nodes of an axis show the image, and the native pixel under each, int64."""
    centres = (np.arange(nodes) + 0.5 - start) / length
    shown = np.flatnonzero((centres >= 0) & (centres < 1))
    return shown, np.minimum((centres[shown] * size).astype(np.int64), size - 1)
