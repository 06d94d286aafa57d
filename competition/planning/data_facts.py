"""What a plan is made from in the data: sizes, classes, empty masks, what an input size can reach."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from competition.data.bands import read_pixels
from competition.data.labels import LabelCache
from competition.data.letterbox import GridSize, Letterbox
from competition.masks import Runs, runs_from_logits
from competition.planning.recognition import ShownImage, told_apart
from competition.scoring.overlap import dice_from_statistics, dice_statistics
from competition.spec import Competition

SIDES = (96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024)
"""Sides of the square inputs that are considered; of another aspect with as many pixels."""
MULTIPLE = 32
"""Of every side: what the encoders shrink by."""
MEASURED_ON = 32
"""Images that a size's ceiling is measured on."""
RARE = 0.6
"""Share of images without any mask from which masks are rare: what matters then is whether there is one
at all.
"""


@dataclass(frozen=True)
class DataFacts:
    """Of the training images. Shares are 0 … 1.

    predicted: images of the test part and of a holdout, which every network predicts. native: median
    height and width; aspects: the 90 % quantile of width / height over its 10 % quantile. empty_masks:
    share of pairs of image and class without a pixel; empty_images: of images without any mask;
    labelled: of pixels that have a class; class_share: of pixels that one class has, on average.
    mirrored: whether every class may be mirrored as it is; turned: whether upside down or by quarters
    too. sizes: input sizes (h, w) that are considered; ceilings: of each, mean Dice of the truth shrunk
    to it and enlarged again, over classes that are there; told_apart: of each, the share of pairs of an
    image with a mask and one without that plain features tell apart, measured where more images than
    `RARE` have no mask, else 1; decode: seconds of wall time to make masks of one image of the largest
    and score them.
    """

    images: int
    predicted: int
    classes: int
    exclusive: bool
    native: GridSize
    aspects: float
    empty_masks: float
    empty_images: float
    labelled: float
    class_share: float
    mirrored: bool
    turned: bool
    sizes: tuple[GridSize, ...]
    ceilings: Mapping[GridSize, float]
    told_apart: Mapping[GridSize, float]
    decode: float


def data_facts(
    competition: Competition, training: pd.DataFrame, predicted: int, labels: LabelCache
) -> DataFacts:
    """training: rows of the catalog, of the images that folds are made of; predicted: how many others
    every network predicts.
    """
    images = training["image"].tolist()
    areas = labels.areas(images).astype(float)
    natives = training[["height", "width"]].to_numpy(float)
    pixels = natives.prod(axis=1)
    median = tuple(int(side) for side in np.median(natives, axis=0))
    native = (median[0], median[1])
    wide = natives[:, 1] / natives[:, 0]
    overlap = labels.shared_areas(images)
    sizes = sizes_for(native)
    ceilings, decode = _ceilings(labels, representative(images, areas), sizes)
    empty = (areas == 0).all(axis=1)
    return DataFacts(
        images=len(images),
        predicted=predicted,
        classes=areas.shape[1],
        exclusive=competition.exclusive,
        native=native,
        aspects=float(np.quantile(wide, 0.9) / np.quantile(wide, 0.1)),
        empty_masks=float((areas == 0).mean()),
        empty_images=float(empty.mean()),
        labelled=float(((areas.sum(axis=1) - overlap) / pixels).mean()),
        class_share=float((areas / pixels[:, None]).mean()),
        mirrored=competition.permutation == tuple(range(areas.shape[1])),
        turned=bool(competition.turns),
        sizes=sizes,
        ceilings=ceilings,
        told_apart=_told_apart(competition, training, labels, empty, sizes),
        decode=decode,
    )


def _told_apart(
    competition: Competition,
    training: pd.DataFrame,
    labels: Mapping[str, Runs],
    empty: np.ndarray,
    sizes: Sequence[GridSize],
) -> dict[GridSize, float]:
    """empty: bool (images of `training`,), whether an image has no mask."""
    if empty.mean() <= RARE or empty.all():
        return dict.fromkeys(sizes, 1.0)
    chosen = [*_evenly(np.flatnonzero(~empty), 32), *_evenly(np.flatnonzero(empty), 64)]
    rows = training.iloc[chosen]
    shown = [
        ShownImage.of(read_pixels(competition.root, path, competition.data), labels[image])
        for image, path in zip(rows["image"], rows["path"], strict=True)
    ]
    return told_apart(shown, sizes)


def _evenly(places: np.ndarray, most: int) -> np.ndarray:
    return places[np.linspace(0, len(places) - 1, min(most, len(places))).astype(int)]


def sizes_for(native: GridSize) -> tuple[GridSize, ...]:
    """Input sizes of the images' aspect, small ones first, up to the first that is not smaller than
    the image.

    >>> sizes_for((120, 240))
    ((64, 128), (96, 192), (128, 224), (128, 256))
    """
    across = (native[1] / native[0]) ** 0.5
    found: dict[GridSize, None] = {}
    for side in SIDES:
        size = (_rounded(side / across), _rounded(side * across))
        found[size] = None
        if size[0] >= native[0] and size[1] >= native[1]:
            break
    return tuple(found)


def _rounded(side: float) -> int:
    return max(MULTIPLE, MULTIPLE * round(side / MULTIPLE))


def representative(images: Sequence[str], areas: np.ndarray) -> list[str]:
    """Images to measure on, evenly over them: in turn one that has each class, rare ones first."""
    chosen: dict[str, None] = {}
    holding = [np.flatnonzero(column) for column in areas.T]
    holding = sorted((rows for rows in holding if len(rows)), key=len)
    for turn in range(MEASURED_ON):
        for rows in holding:
            if len(chosen) < MEASURED_ON:
                place = (2 * turn + 1) * len(rows) // (2 * MEASURED_ON)
                chosen[images[rows[place]]] = None
    return list(chosen)


def _ceilings(
    labels: Mapping[str, Runs], images: Sequence[str], sizes: Sequence[GridSize]
) -> tuple[dict[GridSize, float], float]:
    """Size → ceiling, and seconds an image at the largest of them; 1 where no image has a mask."""
    found, seconds = dict.fromkeys(sizes, 1.0), 0.0
    for size in sizes if images else ():
        scores, seconds = [], 0.0
        for image in images:
            truth = labels[image]
            letterbox = Letterbox.of((truth.height, truth.width), size, "stretch")
            logits = letterbox.covered(truth)
            begun = time.perf_counter()
            reached = runs_from_logits(logits, letterbox.native, 0.5)
            dice = dice_from_statistics(*dice_statistics(truth, reached))
            seconds += (time.perf_counter() - begun) / len(images)
            scores.append(np.where(truth.area() > 0, dice, np.nan))
        found[size] = float(np.nanmean(np.stack(scores)))
    return found, seconds
