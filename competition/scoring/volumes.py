"""Scores of scans: the slices of a volume, in order, are one object in three dimensions."""

from collections.abc import Sequence

import numpy as np

from competition.errors import InputFault
from competition.masks.runs import Runs
from competition.scoring.metrics import Metric, aggregate, score_class, score_image


def score_volume(
    truth: Sequence[Runs],
    prediction: Sequence[Runs],
    metric: Metric,
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
) -> np.ndarray:
    """Score of each class of one volume, given as its slices (K, H, W) in order: float64 (K,).

    `spacing`: mm from slice to slice, down and across. For "dice-hausdorff" this is its second
    part alone, 1 − Hausdorff distance / diagonal, 1 where truth and prediction are both empty.
    """
    sizes = {(mask.classes, mask.height, mask.width) for mask in (*truth, *prediction)}
    if len(truth) != len(prediction) or len(sizes) != 1:
        raise InputFault(
            f"a volume of {len(truth)} true and {len(prediction)} predicted slices of shapes "
            f"{sorted(sizes)}; the same number of slices of one shape is asked for"
        )
    scores = []
    for index in range(truth[0].classes):
        pair = [Runs.stack([mask[index] for mask in slices]) for slices in (truth, prediction)]
        scores.append(score_class(*pair, metric, spacing=spacing))
    return np.array(scores)


def evaluate_volumes(
    truths: Sequence[Sequence[Runs]],
    predictions: Sequence[Sequence[Runs]],
    metric: Metric,
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
) -> float:
    """The score of a set of volumes, each a sequence of slices (K, H, W) in order."""
    pairs = list(zip(truths, predictions, strict=True))
    volumes = np.array([score_volume(*pair, metric, spacing=spacing) for pair in pairs])
    share = metric.rule.slice_share
    if not share:
        return aggregate(volumes, metric)
    slices = np.array(
        [
            score_image(*pair, metric.of_slices)
            for volume in pairs
            for pair in zip(*volume, strict=True)
        ]
    )
    return share * aggregate(slices, metric.of_slices) + (1 - share) * float(volumes.mean())
