"""Post-processing of decided masks, one shape a class: components, holes, opening and closing."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from competition.masks import Runs
from competition.masks.morphology import (
    closing,
    components,
    fill_holes,
    largest,
    opening,
    remove_small,
)

Shape = Literal[
    "as it is",
    "opening",
    "closing",
    "holes filled",
    "largest component",
    "components from 12",
    "components from 50",
    "components from 200",
    "components from 800",
]
"""Openings and closings are of 3 × 3 pixels; components are 8-connected and from so many native
pixels on (50 is usual; the others are a factor of four apart)."""

SHAPES: tuple[Shape, ...] = get_args(Shape)


def shaped(masks: Runs, shape: Shape, *, scale: float = 1.0) -> Runs:
    """All classes of (K, H, W) in one shape; scale: pixels of these masks a native pixel."""
    match shape:
        case "as it is":
            return masks
        case "opening":
            return opening(masks)
        case "closing":
            return closing(masks)
        case "holes filled":
            return fill_holes(masks)
        case "largest component":
            return largest(masks)
        case _:
            return remove_small(masks, max(1, round(_pixels(shape) * scale)))


def _pixels(shape: Shape) -> int:
    return int(shape.removeprefix("components from "))


def in_every_shape(masks: Runs) -> dict[Shape, Runs]:
    """All classes of (K, H, W) in each of `SHAPES`; the components are looked for only once."""
    objects = components(masks)
    areas, alone = objects.runs.area(), np.bincount(objects.classes, minlength=1).max() <= 1
    same = {
        shape
        for shape in SHAPES
        if (shape == "largest component" and alone)
        or (shape.startswith("components from") and (areas >= _pixels(shape)).all())
    }
    return {shape: masks if shape in same else shaped(masks, shape) for shape in SHAPES}


def shaped_each(masks: Runs, shapes: Sequence[Shape], *, scale: float = 1.0) -> Runs:
    """Each class of (K, H, W) in a shape of its own."""
    result: list[Runs] = list(masks)
    for shape in set(shapes) - {"as it is"}:
        places = [place for place, own in enumerate(shapes) if own == shape]
        for place, mask in zip(
            places, shaped(masks.select(places), shape, scale=scale), strict=True
        ):
            result[place] = mask
    return Runs.stack(result)


def resolved(before: Runs, after: Runs) -> Runs:
    """Exclusive classes made so again: a pixel stays with the class that had it before `after` was
    shaped; one that several classes newly claim goes to the first of them.
    """
    taken = before.any_mask()
    result = []
    for own, mask in zip(before, after, strict=True):
        free = (mask & own) | (mask - taken)
        result.append(free)
        taken = taken | free
    return Runs.stack(result)


def areas_scale(size: tuple[int, int] | None, native: tuple[int, int]) -> float:
    """Pixels at `size` (None: native) for one native pixel."""
    return 1.0 if size is None else float(np.prod(size) / np.prod(native))
