"""Objects of a mask, and scores of instances: which predicted object is which true one.

A predicted object hits a true one where their IoU exceeds the threshold, strictly, as Kaggle's
grader has it. At thresholds from .5 up, objects that do not overlap each other can hit one partner
only, so the matching is theirs; for others pairs are formed from the highest IoU down.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from competition.masks.intervals import ranges
from competition.masks.morphology import boundary, components, erode
from competition.masks.objects import Objects
from competition.masks.runs import Runs
from competition.scoring.overlap import exceeds
from competition.settings import Settings


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


class ObjectRule(Settings):
    """The `[objects]` table of a competition file."""

    connectivity: Literal[4, 8] = Field(
        8, description="pixels of a component meet at edges (4), or at edges and corners (8)"
    )
    radius: int = Field(
        0,
        ge=0,
        description="necks up to twice as wide (in pixels) are cut; 0: all do",
    )
    minimum_area: int = Field(0, ge=0, description="objects of fewer pixels are left out")


CONNECTED_COMPONENTS = ObjectRule()


def objects_of(runs: Runs, rule: ObjectRule) -> Objects:
    """The objects of each class of Runs (K, H, W) or (H, W), by class and then by first pixel.

    >>> balls, bar = np.array([[1, 1, 1, 0, 0, 1, 1, 1]] * 3), np.arange(3) == 1
    >>> dumbbell = Runs.from_dense(balls | bar[:, None])
    >>> len(objects_of(dumbbell, ObjectRule())), len(objects_of(dumbbell, ObjectRule(radius=1)))
    (1, 2)
    """
    objects = components(runs, rule.connectivity)
    if rule.radius:
        objects = _cut(objects, rule)
    return objects.select(np.flatnonzero(objects.runs.area() >= rule.minimum_area))


def _cut(whole: Objects, rule: ObjectRule) -> Objects:
    """Components that hold several cores become one object each core, at narrow necks.

    As a watershed on distances would cut: what an erosion leaves are the cores, and a pixel belongs
    to the nearest core of its component. Only pixels outside the cores are looked at one by one.
    """
    eroded = erode(whole.runs, rule.radius)
    cores = components(eroded, rule.connectivity)  # their classes are the components
    several = np.bincount(cores.classes, minlength=len(whole)) > 1
    if not several.any():
        return whole
    kept = whole.select(np.flatnonzero(~several))
    cores = cores.select(np.flatnonzero(several[cores.classes]))
    grown = _grown(cores, whole.runs)
    stack = Runs.stack([*kept.runs, *grown])
    return _ordered(Objects(stack, np.concatenate([kept.classes, whole.classes[cores.classes]])))


def _grown(cores: Objects, whole: Runs) -> Runs:
    """Each core with the pixels of its component that are nearest to it: Runs (cores, H, W)."""
    from scipy.spatial import KDTree

    own = whole.select(np.unique(cores.classes))
    place = np.searchsorted(np.unique(cores.classes), cores.classes)
    rims = own - Objects(cores.runs, place).to_classes(own.classes)
    edges = boundary(cores.runs)
    edge_core = np.repeat(np.arange(len(cores)), np.diff(_pixels_before(edges)))
    points = _points(edges), _points(rims)
    far = 2.0 * (whole.height + whole.width)  # another component is never nearer
    points[0][:, 0] = far * place[edge_core]
    points[1][:, 0] *= far
    nearest = edge_core[KDTree(points[0]).query(points[1])[1]]
    offsets = ranges(rims.starts, rims.stops - rims.starts) % rims.plane + nearest * rims.plane
    starts = np.concatenate([cores.runs.starts, offsets])
    stops = np.concatenate([cores.runs.stops, offsets + 1])
    return Runs.from_unsorted(starts, stops, cores.runs.shape)


def _pixels_before(stack: Runs) -> np.ndarray:
    """How many pixels lie before each class, int64 (K + 1,)."""
    return np.concatenate([[0], np.cumsum(stack.area())])


def _points(stack: Runs) -> np.ndarray:
    """(class, row, column) of every pixel, float64 (N, 3)."""
    offsets = ranges(stack.starts, stack.stops - stack.starts)
    return np.stack(np.unravel_index(offsets, stack.shape), axis=1).astype(float)


def _ordered(objects: Objects) -> Objects:
    """By class, then by first pixel."""
    firsts = objects.runs.starts[objects.runs.class_bounds()[:-1]] % objects.runs.plane
    return objects.select(np.lexsort((firsts, objects.classes)))
