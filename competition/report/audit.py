"""Labels that the out-of-fold networks contradict most: a list to look at, not a verdict.

A pixel contradicts its label where a network that did not train on the image is sure of the other
answer: probability above 0.9 without a label, or below 0.1 with one. The networks' equal mean is asked,
for which nothing was fitted. Contradicted pixels are counted as a share of all that are labelled or
surely predicted, or of the class's median mask where that is larger, so that specks stand last. A
network that is wrong in the same way everywhere contradicts right labels too.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from competition.masks import Runs
from competition.workspace import whole_file

SURELY_NOT, SURELY = 0.1, 0.9
"""Probabilities below and above which a network is sure."""


class AuditCounts(NamedTuple):
    """Pixels of an image by class, each int64 (K,): labelled; predicted at threshold 0.5; common to
    both; added: surely predicted, not labelled; missed: labelled, surely not predicted.
    """

    labelled: np.ndarray
    predicted: np.ndarray
    common: np.ndarray
    added: np.ndarray
    missed: np.ndarray


@dataclass(frozen=True)
class Contradiction:
    """One class of one image. share: 0 to 1, see above; dice: at threshold 0.5, out of fold; counts as
    in `AuditCounts`.
    """

    image: str
    name: str
    share: float
    dice: float
    labelled: int
    added: int
    missed: int

    def what(self) -> str:
        """What the networks say against the label, in words."""
        if not self.labelled:
            return "no label where they are sure of one"
        if not self.dice:
            return "a label where they find none"
        if min(self.added, self.missed) > 0.5 * max(self.added, self.missed):
            return "they find it elsewhere"
        return "they find more" if self.added > self.missed else "they find less"


def audit_counts(
    truth: Runs, possible: Runs, predicted: Runs, sure: Runs, *, ignored: Runs
) -> AuditCounts:
    """truth: labels (K, H, W); the networks' masks at SURELY_NOT, 0.5 and SURELY; ignored: pixels
    (1, H, W) that do not count.
    """
    truth, possible, predicted, sure = (
        one.without(ignored) for one in (truth, possible, predicted, sure)
    )
    return AuditCounts(
        truth.area(),
        predicted.area(),
        (truth & predicted).area(),
        (sure - truth).area(),
        (truth - possible).area(),
    )


def ranked(
    images: Sequence[str], found: Sequence[AuditCounts], classes: Sequence[str]
) -> list[Contradiction]:
    """Every image and class with a contradicted pixel, the most contradicted first; found: by image."""
    labelled, predicted, common, added, missed = (
        np.stack(one).astype(np.float64) for one in zip(*found, strict=True)
    )
    there = np.where(labelled > 0, labelled, np.nan)
    median = np.array([np.nanmedian(c) if (c > 0).any() else 1.0 for c in there.T])
    share = (added + missed) / np.maximum(np.maximum(labelled + added, median), 1)
    dice = np.where(labelled + predicted > 0, 2 * common / np.maximum(labelled + predicted, 1), 1)
    places = np.argwhere(share > 0)
    order = np.lexsort((places[:, 1], places[:, 0], -share[share > 0]))
    return [
        Contradiction(
            images[n],
            classes[k],
            float(share[n, k]),
            float(dice[n, k]),
            int(labelled[n, k]),
            int(added[n, k]),
            int(missed[n, k]),
        )
        for n, k in places[order]
    ]


def write_audit(path: Path, found: Sequence[Contradiction]) -> None:
    """A row an image and class, the most contradicted first."""
    with whole_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ("image", "class", "contradicted", "dice", "labelled", "added", "missed", "what")
        )
        for one in found:
            numbers = f"{one.share:.6f}", f"{one.dice:.6f}", one.labelled, one.added, one.missed
            writer.writerow((one.image, one.name, *numbers, one.what()))


def little_known(counts: Sequence[AuditCounts], classes: Sequence[str]) -> list[str]:
    """Classes with a mean Dice below 0.5 at threshold 0.5, over the images that have them."""
    labelled, predicted, common = (
        np.stack([getattr(one, key) for one in counts]).astype(np.float64)
        for key in ("labelled", "predicted", "common")
    )
    dice = 2 * common / np.maximum(labelled + predicted, 1)
    there = labelled > 0
    mean = (dice * there).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return [classes[k] for k in np.flatnonzero(there.any(axis=0) & (mean < 0.5))]
