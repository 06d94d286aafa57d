"""A round of pseudo labels: written, read, and never changed in between.

A round is a folder in git: `labels.csv`, a row for each teacher, image and class (masks in the
competition's text form at native size), and `receipt.json`; with soft targets `soft.csv` too. It
appears complete or not at all.
"""

import csv
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from competition.data.csv_text import read_csv_text
from competition.errors import InputFault, listed, nearest
from competition.masks import RleFormat, Runs, encode, weighted_vote
from competition.masks.geometry import resize_nearest
from competition.masks.rle import decode_rows
from competition.pictures import contact_sheet, fitted, overlay
from competition.pseudo.confidence import Measure, PixelLevels
from competition.settings import Settings
from competition.spec import Competition
from competition.submission import read_submission
from competition.workspace import file_sha256, read_json, whole_folder

LABEL_COLUMNS = ("image", "class", "rle", "ignored", "confidence", "teacher")
SOFT_COLUMNS = ("image", "class", "probability", "rle", "teacher")
SOFT_LEVELS = tuple((place + 0.5) / 8 for place in range(8))
"""Probabilities at which the masks of a soft target are cut. One of them is drawn for an example, so
that the mean target is the probability to within 1/16, in bit planes like any other.
"""
_PICTURES = 8

Sizes = Mapping[str, tuple[int, int]]


class TeacherEntry(Settings):
    """Whose predictions the labels are; as `entry_of` takes it."""

    recipes: tuple[str, ...]
    seeds: tuple[int, ...]
    folds: tuple[int, ...]
    pretrained: bool = True
    pseudo: str | None = None
    """The round that the teachers were trained with themselves."""


class RoundSettings(Settings):
    """How a round is made. csv: the submission that its labels are taken from, or several, which vote;
    teachers: whose predictions they are; one of the two. allow_missing: a common class without any
    mask is ignored, not refused. batch_share: of each batch of a student, which share the round's
    images are; 0: as they come. The rest is about predictions: nothing is known of a csv's.

    all_folds: every student learns from the mean of all folds' networks, most of which were trained
    on what the student is validated on; else that of fold k learns from those of fold k alone.
    soft: probabilities are the targets, not masks, and no pixel is ignored for being undecided.
    """

    csv: str | tuple[str, ...] | None = None
    teachers: TeacherEntry | None = None
    all_folds: bool = False
    measure: Measure = "expected-dice"
    least: float = 0.0
    share: float = 0.7
    levels: PixelLevels = (0.3, 0.7)
    allow_missing: bool = False
    soft: bool = False
    batch_share: float = 0.0

    def chosen(self) -> dict[str, Any]:
        """For a hash: settings that came later count once they are set."""
        unset = {name for name in ("soft", "batch_share") if not getattr(self, name)}
        return self.model_dump(mode="json", exclude=unset)

    @property
    def submissions(self) -> tuple[Path, ...]:
        """The files of `csv`."""
        named = (self.csv,) if isinstance(self.csv, str) else self.csv or ()
        return tuple(map(Path, named))


class RoundReceipt(Settings):
    """What a round holds. teachers: name → the sha256 of its networks' checkpoints.

    images: of each teacher, those that are in the round; left_out: image → why it is in no teacher's;
    labelled, pseudo: by class, the share of images that have a mask, of the labelled ones and of the
    round's; ignored: by class, the share of the round's images where the teacher is unsure of it.
    """

    competition: str
    classes: tuple[str, ...]
    settings: RoundSettings
    teachers: dict[str, tuple[str, ...]]
    images: dict[str, int]
    left_out: dict[str, str]
    labelled: dict[str, float]
    pseudo: dict[str, float]
    ignored: dict[str, float]
    labels_sha256: str
    soft_sha256: str | None = None
    """Of `soft.csv`, where targets are soft."""
    marks: dict[str, int] = Field(
        default_factory=dict, description="kind → how many marks of images and classes were heeded"
    )

    def text(self) -> str:
        """Images by teacher, and how the classes stand in the labels and in the round."""
        counts = ", ".join(f"{name} {count}" for name, count in self.images.items())
        lines = [f"images of each teacher: {counts}; {len(self.left_out)} in none"]
        if self.marks:
            lines += ["marks: " + ", ".join(f"{n} {kind}" for kind, n in self.marks.items())]
        width = max(map(len, (*self.classes, "class")))
        lines.append(f"  {'class':{width}}  labelled  round  unsure")
        lines += [
            f"  {name:{width}}  {self.labelled[name]:8.1%}  {self.pseudo[name]:5.1%}  "
            f"{self.ignored[name]:6.1%}"
            for name in self.classes
        ]
        return "\n".join(lines)

    def teacher_of(self, fold: int) -> str:
        """Whose labels the student of a fold learns from; InputFault where there are none for it."""
        if self.settings.csv is not None or self.settings.all_folds:
            return next(iter(self.images))
        name = fold_teacher(fold)
        if name not in self.images:
            raise InputFault(
                f"the round has no labels for the student of fold {fold}: its teachers are "
                f"{', '.join(self.images)}; make the round again with --fold {fold} too"
            )
        return name

    def indirect_leak(self, fold: int) -> str | None:
        """What a score on `fold` may be flattered by, in words; None where nothing is.

        A teacher of another fold was trained on the images that this fold is scored on, and its
        labels may carry what it learnt there.
        """
        if self.settings.csv is not None:
            names = ", ".join(path.name for path in self.settings.submissions)
            return f"indirect leak possible: nobody knows what the makers of {names} trained on"
        assert self.settings.teachers is not None
        others = [one for one in self.settings.teachers.folds if one != fold]
        if not self.settings.all_folds or not others:
            return None
        numbers = ", ".join(map(str, others))
        return f"indirect leak: teachers of folds {numbers} were trained on images of fold {fold}"


def fold_teacher(fold: int) -> str:
    """The name of the networks of one fold, as a teacher."""
    return f"fold-{fold}"


@dataclass(frozen=True)
class PseudoLabel:
    """What a teacher says of an image: masks (K, H, W) at native size, what of them does not count
    (K, H, W), and how sure it is of each class, (K,); None where nobody knows. soft: of a soft target,
    the masks at each of `SOFT_LEVELS`, (L * K, H, W).
    """

    teacher: str
    image: str
    masks: Runs
    ignored: Runs
    confidence: np.ndarray | None
    soft: Runs | None = None


class RoundLabels(NamedTuple):
    """Of one teacher, image → masks (K, H, W), and what of them does not count: (K, H, W), or
    (1, H, W) where classes exclude each other. soft: of soft targets, (L * K, H, W).
    """

    masks: dict[str, Runs]
    ignored: dict[str, Runs]
    soft: dict[str, Runs]


class WrittenLabels(NamedTuple):
    """The sha256 sums of a round's files; soft: None where its targets are hard."""

    labels: str
    soft: str | None


def from_csv(
    competition: Competition, paths: Sequence[Path], sizes: Sizes, *, teacher: str
) -> Iterator[PseudoLabel]:
    """The images of a submission, or of several the pixels that more than half of them have; masks of
    another size are brought to the native one. InputFault lists what is wrong with all files.
    """
    read, faults = [], []
    for path in paths:
        try:
            masks = read_submission(competition, path, sizes)
            unknown = [image for image in masks if image not in sizes]
            faults += [f"{path}: image {i!r} is not one of the competition" for i in unknown]
            read.append((path, masks))
        except InputFault as fault:
            faults.append(str(fault))
    if faults:
        raise InputFault("\n".join(faults))
    faults = [
        f"{path}: no row for image {image!r}, which {other} has; files that vote have the same images"
        for path, masks in read
        for other, others in read
        for image in others
        if image not in masks
    ]
    if faults:
        raise InputFault(listed(faults))
    for image in read[0][1]:
        masks = weighted_vote([one[image] for _, one in read])
        if masks.shape[1:] != sizes[image]:
            masks = resize_nearest(masks, sizes[image])
        yield PseudoLabel(teacher, image, masks, Runs.empty(masks.shape), None)


def write_labels(
    folder: Path,
    competition: Competition,
    labels: Iterable[PseudoLabel],
    *,
    look: Callable[[str], np.ndarray] | None = None,
) -> WrittenLabels:
    """Write the labels into the folder of a round, whole or not at all.

    look: an image's pixels, uint8 (H, W, 3); with it, `picture.png` shows the first labels.
    InputFault where there are none.
    """
    shown: list[PseudoLabel] = []
    with whole_folder(folder) as working:
        paths = working / "labels.csv", working / "soft.csv"
        with _table(paths[0], LABEL_COLUMNS) as rows, _table(paths[1], SOFT_COLUMNS) as cuts:
            for label in labels:
                rows.writerows(_rows(competition, label))
                cuts.writerows(_soft_rows(competition, label))
                shown += [label] if len(shown) < _PICTURES else []
        if not shown:
            raise InputFault(
                "no image is sure enough for the round; lower --least or raise --share"
            )
        if look is not None:
            _draw(working / "picture.png", shown, look, competition.classes)
        if shown[0].soft is None:
            paths[1].unlink()
            return WrittenLabels(file_sha256(paths[0]), None)
        return WrittenLabels(file_sha256(paths[0]), file_sha256(paths[1]))


def load_labels_of(
    folder: Path, competition: Competition, sizes: Sizes, teacher: str
) -> RoundLabels:
    """What a teacher of the round says; InputFault where labels and receipt do not belong together."""
    receipt, count = read_round(folder, competition), len(competition.classes)
    table = _LabelTable(folder / "labels.csv", LABEL_COLUMNS, receipt.labels_sha256, teacher)
    masks, ignored = (
        table.runs(column, competition, sizes, count) for column in ("rle", "ignored")
    )
    if competition.exclusive and count > 1:
        ignored = {image: Runs.stack([runs.any_mask()]) for image, runs in ignored.items()}
    if receipt.soft_sha256 is None:
        return RoundLabels(masks, ignored, {})
    table = _LabelTable(folder / "soft.csv", SOFT_COLUMNS, receipt.soft_sha256, teacher)
    return RoundLabels(
        masks, ignored, table.runs("rle", competition, sizes, count * len(SOFT_LEVELS))
    )


class _LabelTable:
    """A teacher's rows of a round's csv, as they were written; InputFault where they were changed."""

    def __init__(self, path: Path, columns: tuple[str, ...], sha256: str, teacher: str) -> None:
        self.path = path
        frame = read_csv_text(path, columns)
        if file_sha256(path) != sha256:
            raise InputFault(
                f"{path} was changed since its receipt was written; make the round again"
            )
        self.frame = frame[frame["teacher"] == teacher]

    def runs(
        self, column: str, competition: Competition, sizes: Sizes, rows: int
    ) -> dict[str, Runs]:
        """Image → the masks of its rows, (rows, H, W)."""
        frame, path = self.frame, self.path
        unknown = [
            f"{path}: image {i!r} is not one of the competition"
            for i in frame["image"].unique()
            if i not in sizes
        ]
        if unknown:
            raise InputFault(listed(unknown))
        images = frame["image"].tolist()
        every = decode_rows(
            frame[column].tolist(),
            [sizes[image] for image in images],
            _form(competition),
            label=lambda row: f"{path} line {frame.index[row]}, image {images[row]!r}",
        )
        return {
            images[place]: Runs.stack(every[place : place + rows])
            for place in range(0, len(every), rows)
        }


def read_round(folder: Path, competition: Competition) -> RoundReceipt:
    """The receipt of a round; InputFault where it is of other classes or damaged."""
    path = folder / "receipt.json"
    if not path.exists():
        raise InputFault(f"no pseudo round {folder.name!r} ({folder}); {_rounds_beside(folder)}")
    written = read_json(path)
    if "round" not in written:
        raise InputFault(
            f"{path} is no receipt of a round, or of an older form; delete {folder} and make it again"
        )
    receipt = RoundReceipt.parsed(
        written["round"], path, what="a round's receipt", again=f"delete {folder} and make it again"
    )
    if receipt.classes != competition.classes:
        raise InputFault(
            f"{path}: labels of the classes {list(receipt.classes)}; the competition has "
            f"{list(competition.classes)}; delete {folder} and make it again"
        )
    return receipt


def _rows(competition: Competition, label: PseudoLabel) -> Iterator[tuple[str, ...]]:
    if label.masks.shape[0] != len(competition.classes) or len(label.masks.shape) != 3:
        raise InputFault(
            f"image {label.image!r}: masks of shape {label.masks.shape}; "
            f"expected {len(competition.classes)} classes"
        )
    form = _form(competition)
    masks, ignored = encode(label.masks, form), encode(label.ignored, form)
    for k, name in enumerate(competition.classes):
        sure = "" if label.confidence is None else f"{label.confidence[k]:.4f}"
        yield label.image, name, masks[k], ignored[k], sure, label.teacher


def _soft_rows(competition: Competition, label: PseudoLabel) -> Iterator[tuple[str, ...]]:
    if label.soft is None:
        return
    texts = iter(encode(label.soft, _form(competition)))
    for level in SOFT_LEVELS:
        for name in competition.classes:
            yield label.image, name, f"{level:g}", next(texts), label.teacher


@contextmanager
def _table(path: Path, columns: tuple[str, ...]) -> Generator[Any]:
    """A csv writer whose first row is written."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        yield writer


def _form(competition: Competition) -> RleFormat:
    return replace(competition.submission.format, rows="image-class")


def _rounds_beside(folder: Path) -> str:
    found = sorted(path.parent.name for path in folder.parent.glob("*/receipt.json"))
    if not found:
        return "`python -m competition pseudo` makes one"
    return nearest(folder.name, found, all_by=f"the folder {folder.parent}")


def _draw(
    path: Path,
    shown: list[PseudoLabel],
    look: Callable[[str], np.ndarray],
    classes: tuple[str, ...],
) -> None:
    tiles = [
        overlay(look(c.image), c.masks, size=fitted((c.masks.height, c.masks.width), 320))
        for c in shown
    ]
    captions = [
        c.image if c.confidence is None else f"{c.image}  {c.confidence.mean():.2f}" for c in shown
    ]
    contact_sheet(tiles, path, captions=captions, title="pseudo labels", legend=classes)
