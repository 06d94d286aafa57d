"""Groups (patients, scans, folders): which images belong together, and what each group adds to a score.

Intervals, rankings and tables rest on the sums of groups, never on single images.
"""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from competition.data.csv_text import read_csv_text
from competition.errors import InputFault, listed
from competition.evaluation.bootstrap import bounds, group_totals, resampled
from competition.evaluation.metric_sums import MetricSums
from competition.workspace import whole_file

LEAST_GROUPS = 3
"""Tuning holds groups out in turn, and splits what is left again."""

PARTS = 5
"""Held-out parts where the predictions are of fewer than three folds."""

_COLUMNS = {
    2: ("sum", "count"),
    3: ("intersection", "truth", "predicted"),
    4: ("slices sum", "slices", "volumes sum", "volumes"),
}
"""Names of the C numbers that `MetricSums.of_images` has for an image and class."""


@dataclass(frozen=True)
class Partition:
    """groups: which images belong together; parts: which are held out together; folds; each (N,)."""

    groups: np.ndarray
    parts: np.ndarray
    folds: np.ndarray

    def where(self, chosen: np.ndarray) -> "Partition":
        """That of some images; chosen: bool (N,)."""
        return Partition(self.groups[chosen], self.parts[chosen], self.folds[chosen])


def partition_of(images: Iterable[str], folds: pd.DataFrame) -> Partition:
    """Groups, held-out parts and folds of images, from columns image, group, fold.

    The parts are the folds; with fewer than three of them, groups dealt to `PARTS` parts, so that
    what is left can be split again. With fewer than `LEAST_GROUPS` groups nothing can: one part.
    """
    groups, fold = groups_and_folds(images, folds)
    names, place = np.unique(groups, return_inverse=True)
    if len(names) < LEAST_GROUPS:
        return Partition(groups, np.zeros(len(groups), np.int64), fold)
    if len(np.unique(fold)) >= 3:
        return Partition(groups, fold, fold)
    dealt = np.random.default_rng(0).permutation(len(names)) % PARTS
    return Partition(groups, dealt[place], fold)


def groups_and_folds(images: Iterable[str], folds: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The group, text (N,), and the fold, int64 (N,), of images; InputFault for those in no fold."""
    rows = folds.set_index("image")
    missing = [image for image in images if image not in rows.index]
    if missing:
        raise InputFault(
            listed([f"image {image!r} is predicted but in no fold" for image in missing])
        )
    chosen = rows.loc[list(images)]
    return chosen["group"].to_numpy(str), chosen["fold"].to_numpy(np.int64)


@dataclass(frozen=True, eq=False)
class GroupSums:
    """names: the G groups, sorted; images: int64 (G,); sums: float64 (G, K, C), over each group's
    images of `MetricSums.of_images`.
    """

    names: tuple[str, ...]
    images: np.ndarray
    sums: np.ndarray

    @classmethod
    def of(cls, sums: np.ndarray, groups: np.ndarray) -> "GroupSums":
        """From images' sums (N, K, C) and groups (N,)."""
        groups = np.asarray(groups, str)
        names, totals = group_totals(sums, groups)
        return cls(tuple(names.tolist()), np.unique(groups, return_counts=True)[1], totals)

    def class_intervals(self, metric_sums: MetricSums) -> np.ndarray:
        """95 % bootstrap interval over groups of each class's score, float64 (K, 2)."""
        drawn = resampled(self.sums, np.random.default_rng(0))
        return bounds(metric_sums.sign * metric_sums.per_class(drawn)).T

    def scores(self, metric_sums: MetricSums) -> np.ndarray:
        """The score of each group, float64 (G,); NaN where nothing of it is counted."""
        return metric_sums.sign * metric_sums.overall(self.sums)


def write_group_sums(path: Path, sums: GroupSums, classes: Sequence[str]) -> None:
    """A row a group and class: group, images, class and what its images add up to."""
    with whole_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("group", "images", "class", *_COLUMNS[sums.sums.shape[2]]))
        for name, images, rows in zip(sums.names, sums.images.tolist(), sums.sums, strict=True):
            for label, row in zip(classes, rows.tolist(), strict=True):
                writer.writerow((name, images, label, *map(repr, row)))


def read_group_sums(path: Path, classes: Sequence[str]) -> GroupSums:
    """What `write_group_sums` wrote; InputFault where the file is about other classes, or damaged."""
    frame = read_csv_text(path, ("group", "images", "class"))
    columns = [name for name in frame.columns if name not in ("group", "images", "class")]
    whole = len(frame) and len(frame) % len(classes) == 0
    if (
        not whole
        or tuple(columns) not in _COLUMNS.values()
        or (frame["class"].tolist() != list(classes) * (len(frame) // len(classes)))
    ):
        raise InputFault(
            f"{path} does not hold sums of groups for the classes {list(classes)}; submit again"
        )
    first = frame.iloc[:: len(classes)]
    try:
        sums = frame[columns].astype(float).to_numpy().reshape(-1, len(classes), len(columns))
        images = first["images"].astype("int64").to_numpy()
    except ValueError as error:
        raise InputFault(f"{path} holds something else than numbers ({error})") from error
    return GroupSums(tuple(first["group"]), images, sums)


@dataclass(frozen=True, eq=False)
class GroupTable:
    """Groups at threshold 0.5 and as decided, cross-fitted; the worst as decided first."""

    before: GroupSums
    after: GroupSums
    metric_sums: MetricSums
    classes: tuple[str, ...]

    def text(self, most: int = 10) -> str:
        """The worst groups, each with its worst class."""
        lines = [f"{'group':<24}{'images':>7}{'0.5':>10}{'decided':>10}  worst class"]
        rows = list(self._rows())
        for name, images, before, after, by_class in rows[:most]:
            shown = "".join(f"{_shown(score):>10}" for score in (before, after))
            lines.append(f"{name:<24.24}{images:>7}{shown}  {self._worst(by_class)}")
        left = len(rows) - most
        return "\n".join([*lines, *([f"… and {left} more groups"] if left > 0 else [])])

    def write_csv(self, path: Path) -> None:
        """All groups, the worst first: images, both scores, and the score of each class."""
        with whole_file(path) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("group", "images", "threshold 0.5", "decided", *self.classes))
            for name, images, before, after, by_class in self._rows():
                cells = ("" if math.isnan(s) else f"{s:.6f}" for s in (before, after, *by_class))
                writer.writerow((name, images, *cells))

    def _rows(self) -> Iterable[tuple[str, int, float, float, np.ndarray]]:
        """Name, images, score at 0.5, score as decided and scores of classes, the worst group first,
        those of which nothing is counted last.
        """
        before, after = (one.scores(self.metric_sums) for one in (self.before, self.after))
        by_class = self.metric_sums.sign * self.metric_sums.per_class(self.after.sums)
        for g in np.argsort(self.metric_sums.sign * after, kind="stable"):
            yield self.after.names[g], int(self.after.images[g]), before[g], after[g], by_class[g]

    def _worst(self, scores: np.ndarray) -> str:
        if np.isnan(scores).all():
            return "–"
        k = int(np.nanargmin(self.metric_sums.sign * scores))
        return f"{self.classes[k]} {scores[k]:.4f}"


def _shown(score: float) -> str:
    return "–" if math.isnan(score) else f"{score:.4f}"
