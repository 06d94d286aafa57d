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
from competition.masks import Objects, Runs
from competition.scoring import score_objects
from competition.settings import Settings
from competition.spec import Competition
from competition.submission import read_objects, read_table
from competition.text_table import rendered, text_table
from competition.workspace import file_sha256

USAGE = "Usage"
BOARDS = ("Public", "Private", "All")
BESIDE = {"empty": "an empty submission", "sample": "the sample"}
"""What every score is shown beside."""


class BoardScore(Settings):
    """The score of some test images. present, absent: over labelled and over empty masks alone
    (None where there are none, or where the metric pools pixels or sees volumes); classes: None where
    a class is never counted; empty, sample: the scores of masks that are all empty and of the
    organisers' sample, None where that is not there or not to be read.
    """

    images: int
    score: Score
    empty: Score | None = None
    sample: Score | None = None
    present: float | None
    absent: float | None
    classes: dict[str, float | None]


class ScoreTable(Settings):
    """How one submission scores; sha256 of the file's bytes and of the solution's.

    sample_fault: why the sample has no score; "" where it has one, or organisers give none.
    """

    metric: str
    submission_sha256: str
    solution_sha256: str
    parts: dict[str, BoardScore]
    sample_fault: str = ""

    def summary(self) -> str:
        """One line: the score on each board."""
        return "  ".join(f"{name} {one.score}" for name, one in self.parts.items())

    def beside(self) -> dict[str, dict[str, Score]]:
        """By board what an empty submission and the sample score, as far as that is known."""
        found = {
            what: {name: getattr(one, key) for name, one in self.parts.items()}
            for key, what in BESIDE.items()
        }
        return {what: scores for what, scores in found.items() if None not in scores.values()}

    def beside_lines(self) -> list[str]:
        """The same in lines, and why the sample has no score."""
        lines = [
            f"{what}: " + "  ".join(f"{name} {score}" for name, score in scores.items())
            for what, scores in self.beside().items()
        ]
        return [*lines, *self._sample_fault()]

    def _sample_fault(self) -> list[str]:
        return [f"the sample has no score: {self.sample_fault}"] if self.sample_fault else []

    def text(self) -> str:
        """The scores as a table: all classes together, present and absent masks, each class."""
        table = text_table("", *self.parts)
        table.add_row("images", *(str(one.images) for one in self.parts.values()))
        table.add_row(self.metric, *(str(one.score) for one in self.parts.values()))
        for what, scores in self.beside().items():
            table.add_row(what, *map(str, scores.values()))
        for row in ("present", "absent"):
            values = (getattr(one, row) for one in self.parts.values())
            table.add_row(f"{row} masks", *map(_number, values))
        table.add_section()
        for name in next(iter(self.parts.values())).classes:
            values = (one.classes[name] for one in self.parts.values())
            table.add_row(Text(name), *map(_number, values))
        return "\n".join([rendered(table), *self._sample_fault()])


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
    sample, fault = _sample(competition, sizes, images)
    nothing = {image: _nothing_on(objects) for image, objects in truth.items()}
    handed = [predicted, nothing, *([] if sample is None else [sample])]
    sums = _sums(metric_sums, truth, handed, images, classes)
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
        sample_fault=fault,
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


def _sample(
    competition: Competition, sizes: Mapping[str, tuple[int, int]], images: Sequence[str]
) -> tuple[Mapping[str, Objects] | None, str]:
    """The organisers' sample, and what is wrong with it: it may hold a text that is no mask, which is
    no fault of the submission that is scored. None, "" where organisers give none.
    """
    given = competition.submission.sample
    if given is None:
        return None, ""
    path = competition.root / given
    try:
        found = read_objects(competition, path, sizes)
    except InputFault as fault:
        return None, str(fault).splitlines()[0]
    missing = [image for image in images if image not in found]
    return (None, f"{path}: no row for image {missing[0]!r}") if missing else (found, "")


def _nothing_on(objects: Objects) -> Objects:
    """No object on the same image."""
    return Objects(Runs.empty((0, *objects.runs.shape[1:])), np.empty(0, np.int64))


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
    handed: Sequence[Mapping[str, Objects]],
    images: Sequence[str],
    classes: int,
) -> np.ndarray:
    """What images add to the score of each of M files, (N, M, K, C); metrics of objects see the files'
    own objects.
    """
    metric = metric_sums.metric
    if metric.rule.counted == "objects":
        scores = [
            [score_objects(truth[i], one[i], classes, metric) for one in handed] for i in images
        ]
        return metric_sums.from_scores(np.stack(scores))
    return metric_sums.of_images(
        images,
        lambda image: truth[image].to_classes(classes),
        lambda image: [one[image].to_classes(classes) for one in handed],
    )


def _board_score(
    metric_sums: MetricSums,
    sums: np.ndarray,
    labelled: np.ndarray,
    owners: np.ndarray,
    classes: Sequence[str],
) -> BoardScore:
    """sums (N, M, K, C): of the submission, of empty masks and, if it can be scored, of the sample;
    labelled bool (N, K), owners (N,): the volume of each image, or itself; a solution tells no groups.
    """
    score, empty, *sample = (metric_sums.score(one, owners) for one in sums.swapaxes(0, 1))
    sums = sums[:, 0]
    by_class = metric_sums.sign * metric_sums.per_class(sums.sum(axis=0))
    present, absent = (
        metric_sums.value(sums * side[..., None]) if metric_sums.by_mask and side.any() else None
        for side in (labelled, ~labelled)
    )
    return BoardScore(
        images=len(sums),
        score=score,
        empty=empty,
        sample=sample[0] if sample else None,
        present=_or_none(present),
        absent=_or_none(absent),
        classes={name: _or_none(float(v)) for name, v in zip(classes, by_class, strict=True)},
    )


def _or_none(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
