"""Post-processing of decided masks, one operation a class: components, holes, opening and closing."""

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

Operation = Literal[
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

OPERATIONS: tuple[Operation, ...] = get_args(Operation)


def postprocessed(masks: Runs, operation: Operation, *, scale: float = 1.0) -> Runs:
    """All classes of (K, H, W) after one operation; scale: pixels of these masks a native pixel."""
    match operation:
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
            return remove_small(masks, max(1, round(_least_area(operation) * scale)))


def _least_area(operation: Operation) -> int:
    return int(operation.removeprefix("components from "))


def after_every_operation(masks: Runs) -> dict[Operation, Runs]:
    """All classes of (K, H, W) after each of `OPERATIONS`.

    The components are looked for once: where they are large enough, or one a class, the operations
    on components change nothing and are not run.
    """
    objects = components(masks)
    areas, alone = objects.runs.area(), np.bincount(objects.classes, minlength=1).max() <= 1
    same = {
        operation
        for operation in OPERATIONS
        if (operation == "largest component" and alone)
        or (operation.startswith("components from") and (areas >= _least_area(operation)).all())
    }
    return {one: masks if one in same else postprocessed(masks, one) for one in OPERATIONS}


def postprocessed_each(masks: Runs, operations: Sequence[Operation], *, scale: float = 1.0) -> Runs:
    """Each class of (K, H, W) after an operation of its own."""
    result: list[Runs] = list(masks)
    for operation in set(operations) - {"as it is"}:
        classes = [k for k, own in enumerate(operations) if own == operation]
        done = postprocessed(masks.select(classes), operation, scale=scale)
        for k, mask in zip(classes, done, strict=True):
            result[k] = mask
    return Runs.stack(result)


def exclusive_again(before: Runs, after: Runs) -> Runs:
    """Exclusive classes made so again: a pixel stays with the class that had it before; one that
    several classes newly claim goes to the first of them.
    """
    taken = before.any_mask()
    result = []
    for own, mask in zip(before, after, strict=True):
        free = (mask & own) | (mask - taken)
        result.append(free)
        taken = taken | free
    return Runs.stack(result)


def area_scale(size: tuple[int, int] | None, native: tuple[int, int]) -> float:
    """Pixels at `size` (None: native) for one native pixel."""
    return 1.0 if size is None else float(np.prod(size) / np.prod(native))
