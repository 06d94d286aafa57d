"""Scores of instances: which predicted object is which true one, and how many are hit.

A predicted object hits a true one where their IoU exceeds the threshold, strictly, as Kaggle's
grader has it. At thresholds from .5 up, objects that do not overlap each other can hit one partner
only, so the matching is theirs; for others pairs are formed from the highest IoU down.
"""

from collections.abc import Sequence

import numpy as np

from competition.masks.intervals import ranges
from competition.masks.objects import Objects
from competition.masks.runs import Runs
from competition.scoring.overlap import exceeds


def shared_pixels(first: Runs, second: Runs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Objects of two stacks (N, H, W) and (M, H, W) that share pixels: indices of each, and pixels.

    Three int64 arrays (pairs,), sorted by the first index, then the second. No image is made: two
    sorted searches find the runs that meet.

    >>> one = Runs.from_dense(np.array([[[1, 1, 0]], [[0, 0, 1]]]))
    >>> two = Runs.from_dense(np.array([[[0, 1, 1]]]))
    >>> shared_pixels(one, two)
    (array([0, 1]), array([0, 0]), array([1, 1]))
    """
    starts, stops, owners = _on_one_plane(first)
    other_starts, other_stops, other_owners = _on_one_plane(second)
    # Where objects overlap, stops are not sorted; their running maximum is, and misses no run.
    begin = np.searchsorted(np.maximum.accumulate(other_stops), starts, side="right")
    end = np.searchsorted(other_starts, stops, side="left")
    counts = np.maximum(end - begin, 0)
    theirs, ours = ranges(begin, counts), np.repeat(np.arange(len(starts)), counts)
    pixels = np.minimum(stops[ours], other_stops[theirs]) - np.maximum(
        starts[ours], other_starts[theirs]
    )
    meets = pixels > 0
    pairs = owners[ours[meets]] * second.classes + other_owners[theirs[meets]]
    pairs, place = np.unique(pairs, return_inverse=True)
    totals = np.zeros(len(pairs), np.int64)
    np.add.at(totals, place, pixels[meets])
    return pairs // max(second.classes, 1), pairs % max(second.classes, 1), totals


def _on_one_plane(stack: Runs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start, stop, object) of every run with all objects laid over each other, by start."""
    area = stack.height * stack.width
    owners = stack.starts // area
    starts, stops = stack.starts - owners * area, stack.stops - owners * area
    order = np.argsort(starts, kind="stable")
    return starts[order], stops[order], owners[order]


def overlapping_objects(objects: Objects) -> list[tuple[int, int, int]]:
    """(object, object, shared pixels) of all pairs of one class that share pixels.

    >>> overlapping_objects(Objects(Runs.full((2, 2, 3)), np.array([0, 0])))
    [(0, 1, 6)]
    """
    first, second, pixels = shared_pixels(objects.runs, objects.runs)
    kept = (first < second) & (objects.classes[first] == objects.classes[second])
    return list(
        zip(first[kept].tolist(), second[kept].tolist(), pixels[kept].tolist(), strict=True)
    )


def hits(truth: Runs, prediction: Runs, thresholds: Sequence[float]) -> np.ndarray:
    """Number of objects matched at each threshold, int64 (T,), of stacks (N, H, W) and (M, H, W)."""
    first, second, shared = shared_pixels(truth, prediction)
    union = truth.area()[first] + prediction.area()[second] - shared
    order = np.argsort(-(shared / union), kind="stable")
    matched: list[int] = []
    free_truth, free_prediction = np.ones(truth.classes, bool), np.ones(prediction.classes, bool)
    # One greedy pass serves all thresholds: at a higher one its pairs are the first of the same.
    for pair in order.tolist():
        if free_truth[first[pair]] and free_prediction[second[pair]]:
            free_truth[first[pair]] = free_prediction[second[pair]] = False
            matched.append(pair)
    return np.array([np.sum(exceeds(shared[matched], union[matched], t)) for t in thresholds])


def object_statistics(
    truth: Objects, prediction: Objects, classes: int, thresholds: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Objects of each class at each threshold, int64 (classes, T): matched, true, predicted.

    They stand to each other as pixels do: TP / (TP + FP + FN) is their IoU, F2 their F-beta.
    """
    hit = np.zeros((classes, len(thresholds)), np.int64)
    for index in range(classes):
        own = [
            objects.runs.select(np.flatnonzero(objects.classes == index))
            for objects in (truth, prediction)
        ]
        hit[index] = hits(*own, thresholds)
    there, found = (
        np.repeat(np.bincount(one.classes, minlength=classes)[:, None], len(thresholds), axis=1)
        for one in (truth, prediction)
    )
    return hit, there, found
