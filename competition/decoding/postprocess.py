"""Post-processing of decided masks: for each class a chain of operations, one after the other."""

from collections.abc import Sequence
from functools import cache
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

Chain = tuple[Operation, ...]
"""Operations in their order; none: masks as they are."""

_SIZES: Chain = tuple(one for one in get_args(Operation) if one.startswith("components from "))

CHAINS: tuple[Chain, ...] = (
    (),
    *((operation,) for operation in get_args(Operation)),
    *(("opening", size, "holes filled") for size in _SIZES),
)
"""Those that are tried. The long ones take thin bridges away, then what hung on them, then holes."""


def postprocessed(masks: Runs, chain: Chain, *, scale: float = 1.0) -> Runs:
    """All classes of (K, H, W) after a chain; scale: pixels of these masks a native pixel."""
    for operation in chain:
        masks = _after(masks, operation, scale)
    return masks


def _after(masks: Runs, operation: Operation, scale: float = 1.0) -> Runs:
    match operation:
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


def after_every_chain(masks: Runs) -> dict[Chain, Runs]:
    """All classes of (K, H, W) after each of `CHAINS`.

    What chains begin with is computed once, and so are the components there: where they are large
    enough, or one a class, the operations on components change nothing and are not run.
    """

    @cache
    def objects(before: Runs) -> tuple[int, bool]:
        found = components(before)
        smallest = int(found.runs.area().min(initial=before.shape[-1] * before.shape[-2]))
        return smallest, bool(np.bincount(found.classes, minlength=1).max() <= 1)

    @cache
    def after(before: Runs, operation: Operation) -> Runs:
        if "component" in operation:
            smallest, alone = objects(before)
            same = alone if operation == "largest component" else smallest >= _least_area(operation)
            if same:
                return before
        return _after(before, operation)

    found = {}
    for chain in CHAINS:
        done = masks
        for operation in chain:
            done = after(done, operation)
        found[chain] = done
    return found


def postprocessed_each(masks: Runs, chains: Sequence[Chain], *, scale: float = 1.0) -> Runs:
    """Each class of (K, H, W) after a chain of its own."""
    result: list[Runs] = list(masks)
    for chain in set(chains) - {()}:
        classes = [k for k, own in enumerate(chains) if own == chain]
        done = postprocessed(masks.select(classes), chain, scale=scale)
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
