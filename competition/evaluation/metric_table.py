"""Metrics side by side, whatever the competition's own is: of each class, and their means."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from competition.evaluation.borders import found_borders, roughness
from competition.masks import Runs
from competition.scoring import Metric, dice_statistics, score_image
from competition.scoring.overlap import frequency_weighted
from competition.workspace import whole_file

_BY_IMAGE = {"Dice": "dice", "IoU": "iou", "HD95": "hausdorff-95"}
COLUMNS = (*_BY_IMAGE, "precision", "recall", "roughness", "area under PR", "area under ROC")
CLASS_MEANS = ("mean over classes", "weighted by labelled pixels")


class ImageMetrics(NamedTuple):
    """scores: float64 (3, K) Dice, IoU and HD95, NaN where a class is neither labelled nor predicted;
    pixels: int64 (3, K) common, labelled, predicted; borders: float64 (3, K), see `found_borders`;
    confusion: int64 (K + 1, K + 1), see `ClassMetrics`.
    """

    scores: np.ndarray
    pixels: np.ndarray
    borders: np.ndarray
    confusion: np.ndarray


def image_metrics(
    truth: Runs, prediction: Runs, *, spacing: tuple[float, float] = (1.0, 1.0), ignored: Runs
) -> ImageMetrics:
    """Of masks (K, H, W); spacing: mm of a pixel down and across; ignored: pixels (1, H, W) that do
    not count.
    """
    truth, prediction = truth.without(ignored), prediction.without(ignored)
    metrics = [Metric(name=name, empty="skip") for name in _BY_IMAGE.values()]
    scores = [score_image(truth, prediction, metric, spacing=spacing) for metric in metrics]
    pixels = np.stack(dice_statistics(truth, prediction))
    borders = found_borders(truth, prediction, scores[0])
    return ImageMetrics(np.stack(scores), pixels, borders, _confusion(truth, prediction, ignored))


def _confusion(truth: Runs, prediction: Runs, ignored: Runs) -> np.ndarray:
    labelled, predicted = (_with_no_class(masks, ignored) for masks in (truth, prediction))
    count = labelled.classes
    rows = (labelled.select([k] * count) & predicted for k in range(count))
    return np.stack([row.area() for row in rows])


def _with_no_class(masks: Runs, ignored: Runs) -> Runs:
    """The pixels that count and have no class, behind the classes: (K + 1, H, W)."""
    nothing = Runs.stack([~masks.any_mask()]).without(ignored)
    return Runs.stack([*masks, *nothing])


@dataclass(frozen=True, eq=False)
class ClassMetrics:
    """Of many images, by class.

    images: int64 (K,) in which it is labelled; pixels: int64 (K,) labelled; values: float64 (6, K) of
    the first six `COLUMNS`, NaN where there is nothing to measure: means over the images in which a
    class is labelled or predicted, shares of all pixels, and `roughness`. borders: float64 (3, K), the
    sum of `found_borders`. confusion: int64 (K + 1, K + 1) pixels
    that are labelled as the row says and predicted as the column does, no class being the last of
    both. Where classes overlap, a pixel counts once for each pair of them.
    """

    images: np.ndarray
    pixels: np.ndarray
    values: np.ndarray
    borders: np.ndarray
    confusion: np.ndarray

    @classmethod
    def of(cls, found: Iterable[ImageMetrics]) -> "ClassMetrics":
        scores, pixels, borders, confusion = (np.stack(one) for one in zip(*found, strict=True))
        counted = ~np.isnan(scores)
        common, labelled, predicted = pixels.sum(axis=0)
        with np.errstate(invalid="ignore"):
            means = np.where(counted, scores, 0).sum(axis=0) / counted.sum(axis=0)
            shares = common / predicted, common / labelled
        return cls(
            (pixels[:, 1] > 0).sum(axis=0),
            labelled,
            np.concatenate([means, shares, [roughness(borders.sum(axis=0))]]),
            borders.sum(axis=0),
            confusion.sum(axis=0),
        )


def write_metric_table(
    path: Path,
    made: Mapping[str, ClassMetrics],
    areas: Mapping[str, np.ndarray],
    classes: Sequence[str],
) -> None:
    """A csv: for each way that masks were made, a row a class and one for each of `CLASS_MEANS`.

    areas: float64 (2, K) under PR and ROC curves, by the way that masks were made. A cell is empty
    where nothing can be measured.
    """
    with whole_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("masks", "class", "images", "pixels", *COLUMNS))
        for way, found in made.items():
            values = np.concatenate([found.values, areas[way]])
            for k, name in enumerate(classes):
                counts = found.images[k], found.pixels[k]
                writer.writerow((way, name, *counts, *map(_cell, values[:, k])))
            for name, row in zip(CLASS_MEANS, _means(values, found.pixels), strict=True):
                writer.writerow((way, name, "", found.pixels.sum(), *map(_cell, row)))


def _means(values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """float64 (2, C) of values (C, K), over what can be measured."""
    nothing = [np.isnan(row).all() or not pixels[~np.isnan(row)].sum() for row in values]
    pairs = [
        (np.nan, np.nan) if none else (np.nanmean(row), frequency_weighted(row, pixels))
        for none, row in zip(nothing, values, strict=True)
    ]
    return np.transpose(pairs)


def _cell(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6f}"
