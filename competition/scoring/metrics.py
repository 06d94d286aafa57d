"""The leaderboard's score, on runs: `METRICS` has one rule a metric, `Metric` says which one counts.

An image's score is one number a class, NaN where the metric skips it. A mean over images and
classes counts every number once; a metric over pixels adds the counts of all images first.
`volumes.py` does the same for metrics that see the slices of a scan as one volume.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from competition.errors import InputFault, nearest
from competition.masks.morphology import components
from competition.masks.objects import Objects
from competition.masks.runs import Runs
from competition.scoring.objects import (
    CONNECTED_COMPONENTS,
    ObjectRule,
    object_statistics,
    objects_of,
)
from competition.scoring.overlap import (
    EMPTY_SCORE,
    dice_from_statistics,
    dice_statistics,
    f_beta_from_statistics,
    iou_from_statistics,
    mean_precision_from_statistics,
)
from competition.scoring.surfaces import diagonal, hausdorff, hausdorff_95, surface_dice
from competition.settings import Settings

IOU_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


class Metric(Settings):
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

    name: str
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
        IOU_THRESHOLDS, min_length=1, description="an IoU above each of these counts as a hit"
    )
    tolerance: float | None = Field(None, ge=0, description="mm (pixels where no spacing is known)")
    dimensions: Literal[2, 3] = Field(2, description="3: the slices of a scan are one volume")

    @field_validator("name")
    @classmethod
    def _name_is_known(cls, name: str) -> str:
        if name not in METRICS:
            raise ValueError(
                f"no such metric; {nearest(name, METRICS, all_by='docs/competition-file.md')}"
            )
        return name

    @model_validator(mode="after")
    def _options_are_those_of_the_metric(self) -> Self:
        fields = type(self).model_fields
        unused = [
            key
            for key in fields
            if key not in {"name", *self.rule.options} and getattr(self, key) != fields[key].default
        ]
        if unused:
            used = sorted(self.rule.options)
            raise ValueError(f"{self.name!r} does not use {unused}; it uses {used}")
        missing = [key for key in sorted(self.rule.needs) if getattr(self, key) is None]
        if missing:
            raise ValueError(f"{self.name!r} needs {missing}")
        return self

    @property
    def rule(self) -> "Rule":
        return METRICS[self.name]

    @property
    def counts_pixels(self) -> bool:
        """Whether the three counts of `overlap.dice_statistics` are all it needs."""
        return self.rule.counted == "pixels"

    @property
    def over_volumes(self) -> bool:
        """Whether it sees the slices of a scan as one volume: `volumes.evaluate_volumes`."""
        return self.rule.slice_share > 0 or self.dimensions == 3

    @property
    def of_slices(self) -> "Metric":
        """What stands in for it where single slices are measured; itself unless it sees volumes."""
        if self.rule.slice_share:
            return Metric(name="dice", empty=self.empty)
        return self.model_copy(update={"dimensions": 2})

    @property
    def higher_is_better(self) -> bool:
        return self.rule.higher_is_better


@dataclass(frozen=True)
class Rule:
    """One metric, all that the package knows of it: a new one is one more entry of `METRICS`.

    options: fields of `Metric` that it uses; needs: those that must be given.
    counted, from_counts: what its three counts (intersection, truth, prediction) are of, and the
    score of counts of any equal shape; or from_masks: the score of one class from its masks, in an
    image (H, W) or a volume (slices, H, W), with the spacing in mm along each axis.
    slice_share: of a score of volumes, the share that the mean Dice of its slices has.
    softened: options of the loss term that is its differentiable form, None where there is none.
    """

    options: frozenset[str]
    needs: frozenset[str] = frozenset()
    counted: Literal["pixels", "objects"] | None = None
    from_counts: Callable[[Metric, np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None
    from_masks: Callable[[Metric, Runs, Runs, Sequence[float]], float] | None = None
    higher_is_better: bool = True
    slice_share: float = 0.0
    softened: Callable[[Metric], dict[str, Any]] | None = None


def _with_options(score: Callable[..., np.ndarray], *options: str) -> Callable[..., np.ndarray]:
    """A score of counts, with these fields of the metric."""
    return lambda metric, *counts: score(*counts, **{o: getattr(metric, o) for o in options})


_dice = _with_options(dice_from_statistics, "eps", "empty")
_iou = _with_options(iou_from_statistics, "eps", "empty")
_f_beta = _with_options(f_beta_from_statistics, "beta", "eps", "empty")
_mean_precision = _with_options(mean_precision_from_statistics, "thresholds", "empty")


def _surface_dice(metric: Metric, truth: Runs, prediction: Runs, spacing: Sequence[float]) -> float:
    assert metric.tolerance is not None  # this metric needs it
    score = surface_dice(truth, prediction, tolerance=metric.tolerance, spacing=spacing)
    return EMPTY_SCORE[metric.empty] if np.isnan(score) else score


def _hausdorff_95(metric: Metric, truth: Runs, prediction: Runs, spacing: Sequence[float]) -> float:
    if not len(truth) and not len(prediction):
        return 0.0 if metric.empty != "skip" else np.nan
    return hausdorff_95(truth, prediction, spacing)


def _hausdorff_share(
    metric: Metric, truth: Runs, prediction: Runs, spacing: Sequence[float]
) -> float:
    """1 − Hausdorff distance / diagonal of the volume; 1 where both masks are empty."""
    return 1 - hausdorff(truth, prediction, spacing) / diagonal(truth.shape, spacing)


def _tversky_of(metric: Metric) -> dict[str, Any]:
    assert metric.beta is not None  # the metric needs it
    false_positives = 1 / (1 + metric.beta**2)
    return {"name": "tversky", "alpha": false_positives, "beta": 1 - false_positives}


_OVERLAP = frozenset({"empty", "over", "eps"})
_OBJECTS = frozenset({"empty", "thresholds"})
_BETA = frozenset({"beta"})
METRICS: dict[str, Rule] = {
    "dice": Rule(
        _OVERLAP, counted="pixels", from_counts=_dice, softened=lambda metric: {"name": "dice"}
    ),
    "iou": Rule(
        _OVERLAP, counted="pixels", from_counts=_iou, softened=lambda metric: {"name": "jaccard"}
    ),
    "f-beta": Rule(
        _OVERLAP | _BETA, _BETA, counted="pixels", from_counts=_f_beta, softened=_tversky_of
    ),
    "mean-precision": Rule(_OBJECTS, counted="pixels", from_counts=_mean_precision),
    "object-precision": Rule(_OBJECTS, counted="objects", from_counts=_iou),
    "object-f-beta": Rule(_OBJECTS | _BETA, _BETA, counted="objects", from_counts=_f_beta),
    "surface-dice": Rule(
        frozenset({"empty", "tolerance", "dimensions"}),
        frozenset({"tolerance"}),
        from_masks=_surface_dice,
    ),
    "hausdorff-95": Rule(
        frozenset({"empty", "dimensions"}), from_masks=_hausdorff_95, higher_is_better=False
    ),
    "dice-hausdorff": Rule(frozenset({"empty"}), from_masks=_hausdorff_share, slice_share=0.4),
}


def score_image(
    truth: Runs,
    prediction: Runs,
    metric: Metric,
    *,
    spacing: Sequence[float] = (1.0, 1.0),
    objects: ObjectRule = CONNECTED_COMPONENTS,
) -> np.ndarray:
    """Score of each class of one image, float64 (K,); NaN where the metric skips it.

    For metrics of objects the rule says how the predicted mask becomes objects; those of the truth
    are its connected components, and where objects that touch are known apart, use `score_objects`.
    `spacing`: mm of a pixel down and across.

    >>> truth = Runs.from_dense(np.array([[[1, 1, 0]], [[0, 0, 0]]]))
    >>> score_image(truth, Runs.from_dense(np.array([[[0, 1, 1]], [[0, 0, 0]]])), Metric(name="dice"))
    array([0.5, 1. ])
    """
    if metric.over_volumes:
        raise InputFault(f"{metric.name!r} scores volumes, not images: use evaluate_volumes")
    if metric.rule.counted == "objects":
        true = components(truth, objects.connectivity)
        return score_objects(true, objects_of(prediction, objects), truth.classes, metric)
    if metric.rule.counted == "pixels":
        return score_from_statistics(*dice_statistics(truth, prediction), metric)
    pairs = zip(truth, prediction, strict=True)
    return np.array([score_class(*pair, metric, spacing=spacing) for pair in pairs])


def score_objects(truth: Objects, prediction: Objects, classes: int, metric: Metric) -> np.ndarray:
    """Score of each class of one image from its objects, float64 (classes,)."""
    counts = object_statistics(truth, prediction, classes, metric.thresholds)
    return score_from_statistics(*counts, metric).mean(axis=1)


def score_class(
    truth: Runs, prediction: Runs, metric: Metric, *, spacing: Sequence[float]
) -> float:
    """A score of surfaces of one class, over (H, W) or a volume (slices, H, W)."""
    assert metric.rule.from_masks is not None  # metrics that count are scored from their counts
    return metric.rule.from_masks(metric, truth, prediction, spacing)


def score_from_statistics(
    intersection: np.ndarray, truth: np.ndarray, prediction: np.ndarray, metric: Metric
) -> np.ndarray:
    """Scores from counts of pixels (or of objects), int64 of any equal shape."""
    if metric.rule.from_counts is None:
        raise InputFault(f"{metric.name!r} cannot be computed from counts of pixels")
    return metric.rule.from_counts(metric, intersection, truth, prediction)


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
