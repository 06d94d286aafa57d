"""The leaderboard's score, on runs: `Metric` says which, `score_image` and `aggregate` compute it.

An image's score is one number a class, NaN where the metric skips it. A mean over images and
classes counts every number once; a metric over pixels adds the counts of all images first.
`volumes.py` does the same for metrics that see the slices of a scan as one volume.
"""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from competition.errors import InputFault
from competition.masks.morphology import components
from competition.masks.objects import Objects
from competition.masks.runs import Runs
from competition.scoring.objects import object_statistics
from competition.scoring.overlap import (
    EMPTY_SCORE,
    dice_from_statistics,
    dice_statistics,
    f_beta_from_statistics,
    iou_from_statistics,
    mean_precision_from_statistics,
)
from competition.scoring.splitting import CONNECTED_PARTS, ObjectRule, objects_of
from competition.scoring.surfaces import hausdorff_95, surface_dice

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)

_FIELDS_OF = {
    "dice": {"empty", "over", "eps"},
    "iou": {"empty", "over", "eps"},
    "f-beta": {"empty", "over", "eps", "beta"},
    "mean-precision": {"empty", "thresholds"},
    "object-precision": {"empty", "thresholds"},
    "object-f-beta": {"empty", "thresholds", "beta"},
    "surface-dice": {"empty", "tolerance", "dimensions"},
    "hausdorff-95": {"empty", "dimensions"},
    "dice-hausdorff": {"empty"},
}
_NEEDED = {"beta", "tolerance"}


class Metric(BaseModel):
    """How the organisers score: the `[metric]` table of a competition file.

    dice, iou, f-beta: of the pixels, `eps` added above and below the fraction.
    mean-precision: share of `thresholds` that the IoU of the mask exceeds (TGS salt).
    object-precision, object-f-beta: TP / (TP + FP + FN) or F-beta of matched objects, mean over
    `thresholds` (nuclei, cells; ships).
    surface-dice: share of the surface within `tolerance` mm (vessels).
    hausdorff-95: 95th percentile of the distance between outlines in mm; lower is better.
    dice-hausdorff: .4 mean Dice of slices + .6 mean of 1 − 3-D Hausdorff distance / diagonal of
    the volume (UW-Madison).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal[
        "dice",
        "iou",
        "f-beta",
        "mean-precision",
        "object-precision",
        "object-f-beta",
        "surface-dice",
        "hausdorff-95",
        "dice-hausdorff",
    ]
    empty: Literal["one", "zero", "skip"] = Field(
        "one",
        description="score where truth and prediction are both empty; skip: not counted. "
        "A distance is then 0, whatever stands here, unless it is skipped",
    )
    over: Literal["image-class", "pixels"] = Field(
        "image-class", description="mean over images and classes, or counts of all pixels pooled"
    )
    eps: float = Field(0.0, ge=0, description="added above and below the fraction, in pixels")
    beta: float | None = Field(None, gt=0, description="weight of recall against precision")
    thresholds: tuple[float, ...] = Field(
        THRESHOLDS, min_length=1, description="an IoU above each of these counts as a hit"
    )
    tolerance: float | None = Field(None, ge=0, description="mm (pixels where no spacing is known)")
    dimensions: Literal[2, 3] = Field(2, description="3: the slices of a scan are one volume")

    @model_validator(mode="after")
    def _fields_are_those_of_the_metric(self) -> Self:
        used, fields = _FIELDS_OF[self.name], type(self).model_fields
        unused = [
            key
            for key in fields
            if key not in {"name", *used} and getattr(self, key) != fields[key].default
        ]
        if unused:
            raise ValueError(f"{self.name!r} does not use {unused}; it uses {sorted(used)}")
        missing = [key for key in sorted(_NEEDED & used) if getattr(self, key) is None]
        if missing:
            raise ValueError(f"{self.name!r} needs {missing}")
        return self

    @property
    def counts_pixels(self) -> bool:
        """Whether the three counts of `overlap.dice_statistics` are all it needs."""
        return self.name in ("dice", "iou", "f-beta", "mean-precision")

    @property
    def over_volumes(self) -> bool:
        """Whether it sees the slices of a scan as one volume: `volumes.evaluate_volumes`."""
        return self.name == "dice-hausdorff" or self.dimensions == 3

    @property
    def higher_is_better(self) -> bool:
        return self.name != "hausdorff-95"


def score_image(
    truth: Runs,
    prediction: Runs,
    metric: Metric,
    *,
    spacing: Sequence[float] = (1.0, 1.0),
    objects: ObjectRule = CONNECTED_PARTS,
) -> np.ndarray:
    """Score of each class of one image, float64 (K,); NaN where the metric skips it.

    For metrics of objects the rule says how the predicted mask becomes objects; those of the truth
    are its connected parts, and where objects that touch are known apart, use `score_objects`.
    `spacing`: mm of a pixel down and across.

    >>> truth = Runs.from_dense(np.array([[[1, 1, 0]], [[0, 0, 0]]]))
    >>> score_image(truth, Runs.from_dense(np.array([[[0, 1, 1]], [[0, 0, 0]]])), Metric(name="dice"))
    array([0.5, 1. ])
    """
    if metric.over_volumes:
        raise InputFault(f"{metric.name!r} scores volumes, not images: use evaluate_volumes")
    if metric.name in ("object-precision", "object-f-beta"):
        true = components(truth, objects.connectivity)
        return score_objects(true, objects_of(prediction, objects), truth.classes, metric)
    if metric.counts_pixels:
        return score_from_statistics(*dice_statistics(truth, prediction), metric)
    pairs = zip(truth, prediction, strict=True)
    return np.array([surface_score(*pair, metric, spacing=spacing) for pair in pairs])


def score_objects(truth: Objects, prediction: Objects, classes: int, metric: Metric) -> np.ndarray:
    """Score of each class of one image from its objects, float64 (classes,)."""
    counts = object_statistics(truth, prediction, classes, metric.thresholds)
    return score_from_statistics(*counts, metric).mean(axis=1)


def surface_score(
    truth: Runs, prediction: Runs, metric: Metric, *, spacing: Sequence[float]
) -> float:
    """Surface Dice or HD95 of one class, over (H, W) or a volume (slices, H, W)."""
    if metric.name == "hausdorff-95":
        nothing = 0.0 if metric.empty != "skip" else np.nan
        both_empty = not len(truth) and not len(prediction)
        return nothing if both_empty else hausdorff_95(truth, prediction, spacing)
    assert metric.tolerance is not None  # this metric needs it
    score = surface_dice(truth, prediction, tolerance=metric.tolerance, spacing=spacing)
    return EMPTY_SCORE[metric.empty] if np.isnan(score) else score


def score_from_statistics(
    intersection: np.ndarray, truth: np.ndarray, prediction: np.ndarray, metric: Metric
) -> np.ndarray:
    """Scores from counts of pixels (or of objects), int64 of any equal shape."""
    counts = intersection, truth, prediction
    match metric.name:
        case "dice":
            return dice_from_statistics(*counts, eps=metric.eps, empty=metric.empty)
        case "iou" | "object-precision":
            return iou_from_statistics(*counts, eps=metric.eps, empty=metric.empty)
        case "f-beta" | "object-f-beta":
            assert metric.beta is not None  # these metrics need it
            return f_beta_from_statistics(
                *counts, beta=metric.beta, eps=metric.eps, empty=metric.empty
            )
        case "mean-precision":
            return mean_precision_from_statistics(
                *counts, thresholds=metric.thresholds, empty=metric.empty
            )
    raise InputFault(f"{metric.name!r} cannot be computed from counts of pixels")


def aggregate(per_image: np.ndarray, metric: Metric) -> float:
    """The score of a set of images, from scores (N, K) or pixel counts (N, K, 3) of each.

    Counts are (intersection, truth, prediction); a metric over pixels needs them. The mean is over
    all images and classes at once; NaN if everything is skipped.

    >>> aggregate(np.array([[1.0, 0.5], [np.nan, 0.0]]), Metric(name="dice", empty="skip"))
    0.5
    """
    if per_image.ndim == 3:
        counts = per_image.sum(axis=0) if metric.over == "pixels" else per_image
        scores = score_from_statistics(counts[..., 0], counts[..., 1], counts[..., 2], metric)
    elif metric.over == "pixels":
        raise InputFault(
            f"{metric.name!r} over pixels is no mean of scores: pass the pixel counts (N, K, 3)"
        )
    else:
        scores = per_image
    counted = scores[~np.isnan(scores)]
    return float(counted.mean()) if counted.size else float("nan")


def evaluate(
    truths: Sequence[Runs],
    predictions: Sequence[Runs],
    metric: Metric,
    *,
    spacing: Sequence[float] = (1.0, 1.0),
) -> float:
    """The score of a set of images, of any sizes, with the same classes."""
    pairs = zip(truths, predictions, strict=True)
    if metric.counts_pixels:
        return aggregate(
            np.array([np.stack(dice_statistics(*pair), axis=1) for pair in pairs]), metric
        )
    return aggregate(
        np.array([score_image(*pair, metric, spacing=spacing) for pair in pairs]), metric
    )
