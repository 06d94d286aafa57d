"""How a predicted mask becomes objects: its connected parts, cut at narrow necks where asked.

A part is cut as a watershed on distances would: what an erosion leaves are the cores, and a pixel
belongs to the nearest core of its part. Only pixels outside the cores are looked at one by one.
"""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from competition.masks.intervals import ranges
from competition.masks.morphology import boundary, components, erode
from competition.masks.objects import Objects
from competition.masks.runs import Runs


class ObjectRule(BaseModel):
    """The `[objects]` table of a competition file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connectivity: Literal[4, 8] = Field(
        8, description="pixels of a part meet at edges (4), or at edges and corners (8)"
    )
    radius: int = Field(
        0,
        ge=0,
        description="necks up to twice as wide (in pixels) hold no parts together; 0: all do",
    )
    minimum_area: int = Field(0, ge=0, description="objects of fewer pixels are left out")


CONNECTED_PARTS = ObjectRule()


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
    """Parts that hold several cores become one object each core."""
    cores = components(
        erode(whole.runs, rule.radius), rule.connectivity
    )  # its classes are the parts
    several = np.bincount(cores.classes, minlength=len(whole)) > 1
    if not several.any():
        return whole
    kept = whole.select(np.flatnonzero(~several))
    cores = cores.select(np.flatnonzero(several[cores.classes]))
    grown = _grown(cores, whole.runs)
    stack = Runs.stack([*kept.runs, *grown])
    return _ordered(Objects(stack, np.concatenate([kept.classes, whole.classes[cores.classes]])))


def _grown(cores: Objects, parts: Runs) -> Runs:
    """Each core with the pixels of its part that are nearest to it: Runs (cores, H, W)."""
    from scipy.spatial import KDTree

    own = parts.select(np.unique(cores.classes))
    place = np.searchsorted(np.unique(cores.classes), cores.classes)
    rims = own - Objects(cores.runs, place).to_classes(own.classes)
    edges = boundary(cores.runs)
    edge_core = np.repeat(np.arange(len(cores)), np.diff(_pixels_before(edges)))
    points = _points(edges), _points(rims)
    far = 2.0 * (parts.height + parts.width)  # another part is never nearer
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
