"""Borders of predicted masks beside those of the labels: rough ones, and ones as coarse as the logits.

Only masks that were found are looked at, those of a Dice of `FOUND` and more: of others more than the
border is wrong.
"""

from collections.abc import Sequence

import numpy as np

from competition.data.letterbox import GridSize, Letterbox
from competition.masks import Runs
from competition.masks.geometry import shift
from competition.scoring import dice_from_statistics, dice_statistics

FOUND = 0.5
"""Least Dice of a mask that was found."""

_FEWEST, _NAMED = 10, 4
"""Found masks without which nothing is said, and classes that are named."""

_ROUGH = 1.5
"""So many times as long as the labelled ones are rough borders. Of the same shape they are 1."""

_SHARE, _LEAST = 0.5, 0.01
"""Of the Dice that found masks lose, the share that the size alone would lose, and its least."""


def border_lengths(masks: Runs) -> np.ndarray:
    """int64 (K,): sides of pixels between a mask (K, H, W) and what is outside it or the image.

    >>> border_lengths(Runs.from_dense(np.array([[[1, 1, 0], [1, 1, 1]]])))
    array([10])
    """
    rows, _, _ = masks.segments()
    across = np.bincount(rows // masks.height, minlength=masks.classes)
    below = (masks & shift(masks, 1, 0)).area()
    return 2 * (across + masks.area() - below)


def found_borders(truth: Runs, prediction: Runs, dice: np.ndarray) -> np.ndarray:
    """float64 (3, K) of masks (K, H, W) with these Dice (K,): 1 where a mask was found, the length of
    its labelled border, and of its predicted one at the labelled area; else 0.

    A mask of another area and the same shape has a border of another length, by the root of the areas.
    """
    found = dice >= FOUND
    same_area = np.sqrt(truth.area() / np.maximum(prediction.area(), 1))
    lengths = found, border_lengths(truth), border_lengths(prediction) * same_area
    return np.where(found, np.stack(lengths), 0.0)


def roughness(borders: np.ndarray) -> np.ndarray:
    """Predicted over labelled length of `found_borders` (3, K), float64 (K,); NaN for no border."""
    with np.errstate(invalid="ignore"):
        return borders[2] / borders[1]


def rough_text(borders: np.ndarray, classes: Sequence[str]) -> str:
    """Which classes have rough borders, and what helps; "" for none. borders: the sum of
    `found_borders` over images, (3, K).
    """
    rough = roughness(borders)
    shown = [
        f"{classes[k]!r} ({rough[k]:.2f} times, {borders[0, k]:.0f} masks)"
        for k in np.argsort(-np.nan_to_num(rough))
        if rough[k] >= _ROUGH and borders[0, k] >= _FEWEST
    ]
    if not shown:
        return ""
    more = f" and {len(shown) - _NAMED} more classes" if len(shown) > _NAMED else ""
    return (
        f"rough borders: as decided, masks of {', '.join(shown[:_NAMED])}{more} have longer borders "
        "than the labels at equal area, by specks, holes or ragged edges: more views or members in "
        "[ensemble] average away what is random of it"
    )


def dice_at(grid: GridSize, truth: Runs, ignored: Runs) -> np.ndarray:
    """float64 (K,): Dice of labels (K, H, W) that were shrunk to a grid and enlarged again, NaN where
    there are none; pixels of `ignored` (1, H, W) do not count.
    """
    present = np.flatnonzero(truth.area())
    result = np.full(truth.classes, np.nan)
    if not len(present):
        return result
    labelled, native = truth.select(present), (truth.height, truth.width)
    reached = labelled  # of a grid as fine as the image, such as that of tiles
    if grid[0] < native[0] or grid[1] < native[1]:
        reached = Letterbox(native, grid, grid).reached(labelled)
    pair = labelled.without(ignored), reached.without(ignored)
    result[present] = dice_from_statistics(*dice_statistics(*pair), empty="skip")
    return result


def coarse_text(dice: np.ndarray, reached: np.ndarray, grid: GridSize) -> str:
    """That the size of the logits loses most of what found masks lose; "" where it does not.

    dice: float64 (N, K) of predictions; reached: of `dice_at` on the same images; grid: that of one.
    """
    found = (dice >= FOUND) & ~np.isnan(reached)
    if found.sum() < _FEWEST:
        return ""
    lost, by_size = 1 - dice[found].mean(), 1 - reached[found].mean()
    if by_size < max(_LEAST, _SHARE * lost):
        return ""
    return (
        f"coarse borders: {found.sum()} found masks of {len(dice)} images lose {lost:.3f} of Dice; "
        f"the labels themselves lose {by_size:.3f} where they are shrunk to the {grid[0]} × {grid[1]} "
        "of the logits and enlarged again. Raise size in the recipe (sampling.crop keeps its steps "
        "cheap), or take a network whose logits are finer"
    )
