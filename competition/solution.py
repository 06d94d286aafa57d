"""Scores of submissions against a solution: Public, Private and All, by class, with intervals."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from rich.text import Text

from competition.data.csv_text import read_csv_text
from competition.errors import InputFault, listed
from competition.evaluation.metric_sums import MetricSums, Score, Slices, volume_of
from competition.masks import Objects
from competition.scoring import score_objects
from competition.settings import Settings
from competition.spec import Competition
from competition.submission import read_objects, read_table
from competition.text_table import rendered, text_table
from competition.workspace import file_sha256

USAGE = "Usage"
BOARDS = ("Public", "Private", "All")


class BoardScore(Settings):
    """The score of some test images. present, absent: over labelled and over empty masks alone
    (None where there are none, or where the metric pools pixels or sees volumes); classes: None where
    a class is never counted.
    """

    images: int
    score: Score
    present: float | None
    absent: float | None
    classes: dict[str, float | None]


class ScoreTable(Settings):
    """How one submission scores; sha256 of the file's bytes and of the solution's."""

    metric: str
    submission_sha256: str
    solution_sha256: str
    parts: dict[str, BoardScore]

    def summary(self) -> str:
        """One line: the score on each board."""
        return "  ".join(f"{name} {one.score}" for name, one in self.parts.items())

    def text(self) -> str:
        """The scores as a table: all classes together, present and absent masks, each class."""
        table = text_table("", *self.parts)
        table.add_row("images", *(str(one.images) for one in self.parts.values()))
        table.add_row(self.metric, *(str(one.score) for one in self.parts.values()))
        for row in ("present", "absent"):
            values = (getattr(one, row) for one in self.parts.values())
            table.add_row(f"{row} masks", *map(_number, values))
        table.add_section()
        for name in next(iter(self.parts.values())).classes:
            values = (one.classes[name] for one in self.parts.values())
            table.add_row(Text(name), *map(_number, values))
        return rendered(table)


def score_submission(
    competition: Competition,
    path: Path,
    solution: Path,
    sizes: Mapping[str, tuple[int, int]],
    *,
    slices: Slices = MappingProxyType({}),
) -> ScoreTable:
    """Public, Private and All scores of a submission.

    solution: the submission's columns and `Usage` (Public or Private, one for all rows of an
    image; without it there is the score of All alone); sizes: native (height, width) by image;
    slices: for metrics of volumes. InputFault where the images differ.
    """
    usage = _usage(competition, solution)
    truth = read_objects(competition, solution, sizes)
    predicted = read_objects(competition, path, sizes)
    _require_same_images(truth, predicted, path, solution)
    images = sorted(truth)
    metric_sums = MetricSums.of(competition, slices)
    classes = len(competition.classes)
    if competition.metric.over_volumes:
        _refuse_divided_volumes(usage, slices)
    sums = _sums(metric_sums, truth, predicted, images, classes)
    labelled = [truth[image].to_classes(classes).area() > 0 for image in images]
    owners = np.array([volume_of(image, slices) for image in images])
    sides = np.array([usage[image] for image in images])
    scores = {}
    for board in BOARDS:
        chosen = (sides == board) | (board == "All")
        if chosen.any():
            kept = sums[chosen], np.stack(labelled)[chosen], owners[chosen]
            scores[board] = _board_score(metric_sums, *kept, competition.classes)
    return ScoreTable(
        metric=competition.metric.name,
        submission_sha256=file_sha256(path),
        solution_sha256=file_sha256(solution),
        parts=scores,
    )


def score_file(
    competition: Competition,
    path: Path,
    solution: Path,
    sizes: Mapping[str, tuple[int, int]],
    *,
    slices: Slices = MappingProxyType({}),
) -> ScoreTable:
    """`score_submission`, kept beside the submission for the leaderboard."""
    table = score_submission(competition, path, solution, sizes, slices=slices)
    table.write(score_path(path))
    return table


def score_path(path: Path) -> Path:
    return path.with_suffix(".score.json")


def read_score(path: Path) -> ScoreTable | None:
    """The kept score of a submission; None where it has none, or one of other bytes."""
    kept = score_path(path)
    if not kept.exists():
        return None
    table = ScoreTable.read(kept, what="a score", again="delete it and score again")
    return table if table.submission_sha256 == file_sha256(path) else None


def _usage(competition: Competition, solution: Path) -> dict[str, str]:
    """Public or Private of each image, "" of all in a solution that does not divide them; InputFault
    for other words and for images with both.
    """
    table = read_table(competition, solution)
    if USAGE not in read_csv_text(solution).columns:
        return dict.fromkeys((key.image for key in table.keys), "")
    column = read_csv_text(solution, [USAGE])[USAGE].tolist()
    found: dict[str, str] = {}
    faults = []
    for row, (key, word) in enumerate(zip(table.keys, column, strict=True)):
        if word not in ("Public", "Private"):
            faults.append(f"{table.name(row)}: {USAGE} is {word!r}; expected Public or Private")
        elif found.setdefault(key.image, word) != word:
            faults.append(f"{table.name(row)}: {word}, and Public or Private before")
    if faults:
        raise InputFault(listed(faults))
    return found


def _require_same_images(
    truth: Mapping[str, Objects], predicted: Mapping[str, Objects], path: Path, solution: Path
) -> None:
    missing = [f"{path}: no row for image {i!r}" for i in truth if i not in predicted]
    extra = [f"{path}: image {i!r} is not in {solution}" for i in predicted if i not in truth]
    if missing or extra:
        raise InputFault("\n".join(listed(faults) for faults in (missing, extra) if faults))


def _refuse_divided_volumes(usage: Mapping[str, str], slices: Slices) -> None:
    boards: dict[str, str] = {}
    faults = []
    for image, board in usage.items():
        volume = volume_of(image, slices)
        if boards.setdefault(volume, board) != board:
            faults.append(f"volume {volume!r} is Public and Private; a volume is scored as a whole")
    if faults:
        raise InputFault(listed(list(dict.fromkeys(faults))))


def _sums(
    metric_sums: MetricSums,
    truth: Mapping[str, Objects],
    predicted: Mapping[str, Objects],
    images: Sequence[str],
    classes: int,
) -> np.ndarray:
    """What images add to the score, (N, K, C); metrics of objects see the file's own objects."""
    metric = metric_sums.metric
    if metric.rule.counted == "objects":
        scores = [score_objects(truth[i], predicted[i], classes, metric) for i in images]
        return metric_sums.from_scores(np.stack(scores))
    return metric_sums.of_images(
        images,
        lambda image: truth[image].to_classes(classes),
        lambda image: [predicted[image].to_classes(classes)],
    )[:, 0]


def _board_score(
    metric_sums: MetricSums,
    sums: np.ndarray,
    labelled: np.ndarray,
    owners: np.ndarray,
    classes: Sequence[str],
) -> BoardScore:
    """sums (N, K, C), labelled bool (N, K), owners (N,): the volume of each image, or itself; a solution
    tells no groups.
    """
    by_class = metric_sums.sign * metric_sums.per_class(sums.sum(axis=0))
    present, absent = (
        metric_sums.value(sums * side[..., None]) if metric_sums.by_mask and side.any() else None
        for side in (labelled, ~labelled)
    )
    return BoardScore(
        images=len(sums),
        score=metric_sums.score(sums, owners),
        present=_or_none(present),
        absent=_or_none(absent),
        classes={name: _or_none(float(v)) for name, v in zip(classes, by_class, strict=True)},
    )


def _or_none(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
