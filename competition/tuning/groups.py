"""What each group (person, scan) adds to a score: what intervals, rankings and tables rest on."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from competition.data.tables import read_csv_text
from competition.errors import InputFault
from competition.tuning.measure import Measure
from competition.workspace import whole_file

DRAWS = 1000

_COLUMNS = {2: ("sum", "count"), 3: ("intersection", "truth", "predicted")}
"""Names of the C numbers that `Measure.parts` has for an image and class."""


@dataclass(frozen=True, eq=False)
class GroupSums:
    """names: the G groups, sorted; images: int64 (G,); parts: float64 (G, K, C), the sums over each
    group's images of `Measure.parts`.
    """

    names: tuple[str, ...]
    images: np.ndarray
    parts: np.ndarray

    @classmethod
    def of(cls, parts: np.ndarray, groups: np.ndarray) -> "GroupSums":
        """From images' parts (N, K, C) and groups (N,)."""
        names, place = np.unique(np.asarray(groups, str), return_inverse=True)
        sums = np.zeros((len(names), *parts.shape[1:]))
        np.add.at(sums, place, parts)
        return cls(tuple(names.tolist()), np.bincount(place), sums)

    def class_intervals(self, measure: Measure) -> np.ndarray:
        """95 % bootstrap interval over groups of each class's score, float64 (K, 2)."""
        count = len(self.names)
        drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=DRAWS)
        sums = np.tensordot(drawn.astype(float), self.parts, axes=1)
        scores = measure.sign * measure.per_class(sums)
        found = np.full((2, scores.shape[1]), np.nan)
        known = ~np.isnan(scores).all(axis=0)
        found[:, known] = np.nanquantile(scores[:, known], [0.025, 0.975], axis=0)
        return found.T

    def scores(self, measure: Measure) -> np.ndarray:
        """The score of each group, float64 (G,); NaN where nothing of it is counted."""
        return measure.sign * measure.overall(self.parts)


def write_sums(path: Path, sums: GroupSums, classes: Sequence[str]) -> None:
    """A row a group and class: group, images, class and what `Measure.parts` adds up to."""
    with whole_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("group", "images", "class", *_COLUMNS[sums.parts.shape[2]]))
        for name, images, rows in zip(sums.names, sums.images.tolist(), sums.parts, strict=True):
            for label, row in zip(classes, rows.tolist(), strict=True):
                writer.writerow((name, images, label, *map(repr, row)))


def read_sums(path: Path, classes: Sequence[str]) -> GroupSums:
    """What `write_sums` wrote; InputFault where the file is about other classes, or damaged."""
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
        parts = frame[columns].astype(float).to_numpy().reshape(-1, len(classes), len(columns))
        images = first["images"].astype("int64").to_numpy()
    except ValueError as error:
        raise InputFault(f"{path} holds something else than numbers ({error})") from error
    return GroupSums(tuple(first["group"]), images, parts)


@dataclass(frozen=True, eq=False)
class GroupTable:
    """Groups at thresholds of one half and as decided, cross-fitted; the worst as decided first."""

    before: GroupSums
    after: GroupSums
    measure: Measure
    classes: tuple[str, ...]

    def order(self) -> np.ndarray:
        """Places of the groups, the worst first, those of which nothing is counted last."""
        return np.argsort(self.measure.sign * self.after.scores(self.measure), kind="stable")

    def text(self, most: int = 10) -> str:
        """The worst groups, each with its worst class."""
        lines = [f"{'group':<24}{'images':>7}{'one half':>10}{'decided':>10}  worst class"]
        before, after = self.before.scores(self.measure), self.after.scores(self.measure)
        by_class = self.measure.sign * self.measure.per_class(self.after.parts)
        lines += [
            f"{self.after.names[place]:<24.24}{self.after.images[place]:>7}"
            f"{_shown(before[place]):>10}{_shown(after[place]):>10}  "
            f"{self._worst(by_class[place])}"
            for place in self.order()[:most]
        ]
        left = len(after) - most
        return "\n".join([*lines, *([f"… and {left} more groups"] if left > 0 else [])])

    def write_csv(self, path: Path) -> None:
        """All groups, the worst first: images, both scores, and the score of each class."""
        before, after = self.before.scores(self.measure), self.after.scores(self.measure)
        by_class = self.measure.sign * self.measure.per_class(self.after.parts)
        with whole_file(path) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("group", "images", "one half", "decided", *self.classes))
            for place in self.order():
                scores = (before[place], after[place], *by_class[place])
                cells = ("" if math.isnan(score) else f"{score:.6f}" for score in scores)
                writer.writerow((self.after.names[place], self.after.images[place], *cells))

    def _worst(self, scores: np.ndarray) -> str:
        if np.isnan(scores).all():
            return "–"
        kind = int(np.nanargmin(self.measure.sign * scores))
        return f"{self.classes[kind]} {scores[kind]:.4f}"


def _shown(score: float) -> str:
    return "–" if math.isnan(score) else f"{score:.4f}"
