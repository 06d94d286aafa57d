"""The metric of each known competition, with its rule for empty masks, worked out pixel by pixel."""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

import competition
from competition.masks.rle_formats import FORMATS
from competition.masks.runs import Runs
from competition.scoring import (
    Metric,
    aggregate,
    dice_statistics,
    evaluate_volumes,
    score_image,
)
from competition.spec import load_competition

DICE = Metric(name="dice")
NUCLEI = Metric(name="object-precision")
METRICS = {
    "hand-bone": Metric(name="dice", eps=1e-4),
    "pneumothorax": DICE,
    "salt": Metric(name="mean-precision"),
    "steel": DICE,
    "ships": Metric(name="object-f-beta", beta=2.0),
    "clouds": DICE,
    "nuclei": NUCLEI,
    "kidney": DICE,
    "organs": DICE,
    "gi-tract": Metric(name="dice-hausdorff", empty="skip"),
    "contrails": Metric(name="dice", over="pixels"),
    "ink": Metric(name="f-beta", beta=0.5),
    "vessels": Metric(name="surface-dice", tolerance=0.0, empty="zero", dimensions=3),
    "cells": NUCLEI,
    "cars": DICE,
    "folders": DICE,
}
PRESETS = Path(competition.__file__).parent / "presets"
IOUS = [(50 + 5 * step, 100) for step in range(10)]

Masks = list[np.ndarray]  # bool (K, H, W) of each image


def score_of(truths: list[Runs], guesses: list[Runs], metric: Metric) -> float:
    """The score of a set of images; from counts of pixels where they are all it needs."""
    pairs = zip(truths, guesses, strict=True)
    if metric.counts_pixels:
        return aggregate(np.array([np.stack(dice_statistics(*p), axis=1) for p in pairs]), metric)
    return aggregate(np.array([score_image(*pair, metric) for pair in pairs]), metric)


def sets() -> Iterator[tuple[Masks, Masks]]:
    """Truths and predictions of some images: blobs, and each way of being empty."""
    rng = np.random.default_rng(4)

    def blobs() -> np.ndarray:
        smooth = ndimage.gaussian_filter(rng.normal(size=(2, 14, 17)), (0, 2, 2))
        return smooth > 0.15

    nothing = np.zeros((2, 14, 17), bool)
    truth = blobs()
    moved = np.roll(truth, 1, axis=2)
    yield [truth, blobs()], [moved, blobs()]
    yield [truth, nothing], [moved, nothing]
    yield [truth, nothing], [nothing, moved]
    yield [nothing], [nothing]


def planes(truths: Masks, guesses: Masks) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for truth, guess in zip(truths, guesses, strict=True):
        yield from zip(truth, guess, strict=True)


def counted(truth: np.ndarray, guess: np.ndarray) -> tuple[int, int, int]:
    """True positives, false positives, false negatives, one pixel after the other."""
    pairs = list(zip(truth.ravel().tolist(), guess.ravel().tolist(), strict=True))
    return pairs.count((True, True)), pairs.count((False, True)), pairs.count((True, False))


def slow_dice(truths: Masks, guesses: Masks, eps: float = 0.0) -> float:
    scores = []
    for pair in planes(truths, guesses):
        tp, fp, fn = counted(*pair)
        scores.append((2 * tp + eps) / (2 * tp + fp + fn + eps) if tp + fp + fn else 1.0)
    return float(np.mean(scores))


def slow_pooled_dice(truths: Masks, guesses: Masks) -> float:
    """Per class over all pixels of all images, then the mean of the classes."""
    scores = []
    for kind in range(2):
        flat = [np.concatenate([m[kind].ravel() for m in masks]) for masks in (truths, guesses)]
        tp, fp, fn = counted(*flat)
        scores.append(2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0)
    return float(np.mean(scores))


def slow_f_half(truths: Masks, guesses: Masks) -> float:
    scores = []
    for pair in planes(truths, guesses):
        tp, fp, fn = counted(*pair)
        if tp + fp + fn == 0:
            scores.append(1.0)
        elif tp == 0:
            scores.append(0.0)
        else:
            precision, recall = tp / (tp + fp), tp / (tp + fn)
            scores.append(1.25 * precision * recall / (0.25 * precision + recall))
    return float(np.mean(scores))


def slow_salt(truths: Masks, guesses: Masks) -> float:
    scores = []
    for truth, guess in planes(truths, guesses):
        tp, fp, fn = counted(truth, guess)
        if not truth.any():
            scores.append(1.0 if not guess.any() else 0.0)
        else:
            scores.append(np.mean([100 * tp > bar * (tp + fp + fn) for bar, _ in IOUS]))
    return float(np.mean(scores))


def slow_objects(truths: Masks, guesses: Masks, *, weight: float) -> float:
    """(1 + w) TP / ((1 + w) TP + w FN + FP) of 8-connected parts, mean over IoU bars and images."""
    scores = []
    for pair in planes(truths, guesses):
        parts = [
            [labels == number for number in range(1, count + 1)]
            for labels, count in (ndimage.label(plane, np.ones((3, 3))) for plane in pair)
        ]
        for bar, whole in IOUS:
            hit = [
                (i, j)
                for (i, one), (j, other) in product(enumerate(parts[0]), enumerate(parts[1]))
                if whole * (one & other).sum() > bar * (one | other).sum()
            ]
            tp, fp, fn = len(hit), len(parts[1]) - len(hit), len(parts[0]) - len(hit)
            top = (1 + weight) * tp
            scores.append(top / (top + weight * fn + fp) if tp + fp + fn else 1.0)
    return float(np.mean(scores))


def slow_precision(truths: Masks, guesses: Masks) -> float:
    """TP / (TP + FP + FN)."""
    scores = []
    for pair in planes(truths, guesses):
        labels = [ndimage.label(plane, np.ones((3, 3))) for plane in pair]
        for bar, whole in IOUS:
            tp = sum(
                whole * (one & other).sum() > bar * (one | other).sum()
                for one in (labels[0][0] == k for k in range(1, labels[0][1] + 1))
                for other in (labels[1][0] == k for k in range(1, labels[1][1] + 1))
            )
            every = labels[0][1] + labels[1][1] - tp
            scores.append(tp / every if every else 1.0)
    return float(np.mean(scores))


def slow_mix(truths: Masks, guesses: Masks) -> float:
    """.4 Dice of slices, both empty left out, .6 of 1 − Hausdorff distance over the diagonal."""
    dices = []
    for pair in planes(truths, guesses):
        tp, fp, fn = counted(*pair)
        if tp + fp + fn:
            dices.append(2 * tp / (2 * tp + fp + fn))
    distances = []
    for kind in range(2):
        volumes = [np.stack([mask[kind] for mask in masks]) for masks in (truths, guesses)]
        points = [np.argwhere(volume) for volume in volumes]
        diagonal = float(np.linalg.norm(volumes[0].shape))
        if not len(points[0]) and not len(points[1]):
            distances.append(0.0)
        elif not len(points[0]) or not len(points[1]):
            distances.append(1.0)
        else:
            apart = cdist(*points)
            distances.append(max(apart.min(0).max(), apart.min(1).max()) / diagonal)
    first = np.mean(dices) if dices else np.nan
    return float(0.4 * first + 0.6 * (1 - np.mean(distances)))


def slow_surface(truths: Masks, guesses: Masks) -> float:
    """monai's surface Dice with surface elements, at tolerance 0 in pixels, nothing at both: 0."""
    import torch
    from monai.metrics import compute_surface_dice

    scores = []
    for kind in range(2):
        volumes = [np.stack([mask[kind] for mask in masks]) for masks in (truths, guesses)]
        if not any(volume.any() for volume in volumes):
            scores.append(0.0)
            continue
        tensors = [torch.tensor(volume)[None, None].float() for volume in volumes]
        found = compute_surface_dice(
            *tensors, [0.0], include_background=True, spacing=(1, 1, 1), use_subvoxels=True
        )
        scores.append(float(found))
    return float(np.mean(scores))


SLOW: dict[str, Callable[[Masks, Masks], float]] = {
    **dict.fromkeys(("pneumothorax", "steel", "clouds", "kidney", "organs", "cars"), slow_dice),
    "folders": slow_dice,
    "hand-bone": lambda t, g: slow_dice(t, g, eps=1e-4),
    "salt": slow_salt,
    "ships": lambda t, g: slow_objects(t, g, weight=4.0),
    "nuclei": slow_precision,
    "cells": slow_precision,
    "gi-tract": slow_mix,
    "contrails": slow_pooled_dice,
    "ink": slow_f_half,
    "vessels": slow_surface,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    # monai takes ten seconds to make its table of surface elements
    [pytest.param(name, marks=[pytest.mark.long] * (name == "vessels")) for name in FORMATS],
)
def test_each_competitions_metric_is_that_of_counting_pixel_by_pixel(name: str) -> None:
    for truths, guesses in sets():
        runs = [[Runs.from_dense(mask) for mask in masks] for masks in (truths, guesses)]
        metric = METRICS[name]
        if metric.over_volumes:
            score = evaluate_volumes(*([masks] for masks in runs), metric)
        else:
            score = score_of(*runs, metric)
        assert score == pytest.approx(SLOW[name](truths, guesses), abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("name", ["hand-bone", "salt", "folders"])
def test_the_competition_file_of_a_preset_has_that_metric(name: str) -> None:
    found = load_competition(PRESETS / f"{name}.toml")
    assert found.metric == METRICS[name]
    assert found.submission.format == FORMATS[name]
