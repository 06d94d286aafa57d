"""How the time from logits to text grows with the size, the classes and the runs of an image."""

import statistics
from dataclasses import dataclass

from benchmarks import usual
from benchmarks.fields import MaskSet, bones
from benchmarks.items import ROWS
from benchmarks.measure import seconds
from competition.masks import encode
from competition.masks.from_logits import runs_from_logits


@dataclass(frozen=True)
class Point:
    """x: what grows; runs: how many the image has; ours, usual: CPU seconds."""

    x: int
    runs: int
    ours: float
    usual: float


Curve = tuple[Point, ...]


def curves(repeats: int) -> dict[str, Curve]:
    """Three curves by the name of their x axis, on bones."""
    sizes = ((grid, bones(8, grid)) for grid in (128, 256, 512, 1024))
    classes = ((count, bones(count)) for count in (1, 4, 16, 32, 64))
    parts = (bones(8, parts=count) for count in (1, 4, 16, 64, 256))
    return {
        "height and width of the image, 8 classes": tuple(
            _point(grid * 4, masks, repeats) for grid, masks in sizes
        ),
        "classes at 2048 x 2048": tuple(_point(count, masks, repeats) for count, masks in classes),
        "runs of 8 classes at 2048 x 2048": tuple(_point(None, masks, repeats) for masks in parts),
    }


def _point(x: int | None, masks: MaskSet, repeats: int) -> Point:
    logits, size = masks.logits, masks.size
    runs = len(runs_from_logits(logits, size))
    ours = seconds(lambda: encode(runs_from_logits(logits, size), ROWS), repeats)
    theirs = seconds(lambda: usual.texts_from_logits(logits, size), repeats)
    return Point(runs if x is None else x, runs, statistics.median(ours), statistics.median(theirs))
