"""A round of pseudo labels: written, read, and never changed in between.

A round is a folder in git: `labels.csv`, a row for each teacher, image and class (masks in the
competition's text form at native size), and `receipt.json`. It appears complete or not at all.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field

from competition.data.csv_text import read_csv_text
from competition.errors import InputFault, listed, nearest
from competition.masks import RleFormat, Runs, encode
from competition.masks.geometry import resize_nearest
from competition.masks.rle import decode_rows
from competition.pictures import contact_sheet, fitted, overlay
from competition.pseudo.confidence import Measure, PixelLevels
from competition.settings import Settings
from competition.spec import Competition
from competition.submission import read_submission
from competition.workspace import file_sha256, read_json, whole_folder

LABEL_COLUMNS = ("image", "class", "rle", "ignored", "confidence", "teacher")
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
    """How a round is made. csv: the submission that its labels are taken from; teachers: whose
    predictions they are; one of the two. allow_missing: a common class without any mask is ignored, not
    refused. The rest is about predictions: nothing is known of a csv's.

    all_folds: every student learns from the mean of all folds' networks, most of which were trained
    on what the student is validated on; else that of fold k learns from those of fold k alone.
    """

    csv: str | None = None
    teachers: TeacherEntry | None = None
    all_folds: bool = False
    measure: Measure = "expected-dice"
    least: float = 0.0
    share: float = 0.7
    levels: PixelLevels = (0.3, 0.7)
    allow_missing: bool = False


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
            source = Path(self.settings.csv).name
            return f"indirect leak possible: nobody knows what the makers of {source} trained on"
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
    (K, H, W), and how sure it is of each class, (K,); None where nobody knows.
    """

    teacher: str
    image: str
    masks: Runs
    ignored: Runs
    confidence: np.ndarray | None


class RoundLabels(NamedTuple):
    """Of one teacher, image → masks (K, H, W), and what of them does not count: (K, H, W), or
    (1, H, W) where classes exclude each other.
    """

    masks: dict[str, Runs]
    ignored: dict[str, Runs]


def from_csv(
    competition: Competition, path: Path, sizes: Sizes, *, teacher: str
) -> Iterator[PseudoLabel]:
    """The images of a submission; masks of another size are brought to the native one."""
    for image, masks in read_submission(competition, path, sizes).items():
        if image not in sizes:
            raise InputFault(f"{path}: image {image!r} is not one of the competition")
        if masks.shape[1:] != sizes[image]:
            masks = resize_nearest(masks, sizes[image])
        yield PseudoLabel(teacher, image, masks, Runs.empty(masks.shape), None)


def write_labels(
    folder: Path,
    competition: Competition,
    labels: Iterable[PseudoLabel],
    *,
    look: Callable[[str], np.ndarray] | None = None,
) -> str:
    """Write the labels into the folder of a round, whole or not at all; the sha256 of `labels.csv`.

    look: an image's pixels, uint8 (H, W, 3); with it, `picture.png` shows the first labels.
    InputFault where there are none.
    """
    shown: list[PseudoLabel] = []
    with whole_folder(folder) as working:
        with open(working / "labels.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(LABEL_COLUMNS)
            for label in labels:
                writer.writerows(_rows(competition, label))
                shown += [label] if len(shown) < _PICTURES else []
        if not shown:
            raise InputFault(
                "no image is sure enough for the round; lower --least or raise --share"
            )
        if look is not None:
            _draw(working / "picture.png", shown, look, competition.classes)
        return file_sha256(working / "labels.csv")


def load_labels_of(
    folder: Path, competition: Competition, sizes: Sizes, teacher: str
) -> RoundLabels:
    """What a teacher of the round says; InputFault where labels and receipt do not belong together."""
    receipt = read_round(folder, competition)
    path = folder / "labels.csv"
    frame = read_csv_text(path, LABEL_COLUMNS)
    if file_sha256(path) != receipt.labels_sha256:
        raise InputFault(f"{path} was changed since its receipt was written; make the round again")
    frame = frame[frame["teacher"] == teacher]
    unknown = [
        f"{path}: image {i!r} is not one of the competition"
        for i in frame["image"].unique()
        if i not in sizes
    ]
    if unknown:
        raise InputFault(listed(unknown))
    keys = list(zip(frame["image"], frame["class"], strict=True))

    def decoded(column: str) -> list[Runs]:
        return decode_rows(
            frame[column].tolist(),
            [sizes[image] for image, _ in keys],
            _form(competition),
            label=lambda row: f"{path} line {frame.index[row]}, image {keys[row][0]!r}",
        )

    masks, ignored, count = decoded("rle"), decoded("ignored"), len(competition.classes)
    images = frame["image"].iloc[::count].tolist()
    stacks = [
        {
            image: Runs.stack(every[place : place + count])
            for image, place in zip(images, range(0, len(every), count), strict=True)
        }
        for every in (masks, ignored)
    ]
    if competition.exclusive and count > 1:
        one = {image: Runs.stack([runs.any_mask()]) for image, runs in stacks[1].items()}
        return RoundLabels(stacks[0], one)
    return RoundLabels(*stacks)


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
