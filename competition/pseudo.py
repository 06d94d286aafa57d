"""Predictions → training labels for the next round: confident ones alone, with where they come from.

A round is a folder in git: `labels.csv` (image, class, rle: a row for each image and class, the
competition's text form at native size) and `receipt.json`. It appears complete or not at all.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from competition.data.csv_text import read_csv_text
from competition.decoding.blend import Blend
from competition.decoding.decisions import ClassRule, decide
from competition.errors import InputFault, listed, nearest
from competition.inference.store import Provenance
from competition.masks import RleFormat, Runs, encode
from competition.masks.geometry import resize_nearest
from competition.masks.rle import decode_rows
from competition.pictures import contact_sheet, fitted, overlay
from competition.settings import Settings
from competition.spec import Competition
from competition.submission import read_submission
from competition.workspace import file_sha256, whole_folder

UNDECIDED = (0.2, 0.8)
"""A pixel is decided for a class where its probability lies outside of these."""

_COLUMNS = ("image", "class", "rle")
_PICTURES = 8

Sizes = Mapping[str, tuple[int, int]]


class Teacher(Settings):
    """A member whose networks made the labels: folds that it was validated on, file hashes."""

    recipe: str
    folds: tuple[int, ...]
    checkpoints: tuple[str, ...]


class Origin(Settings):
    """Where a round comes from. csv, csv_sha256: of the file, where it is not predictions of ours;
    minimum: least share of decided pixels, None where nothing is known about them.
    """

    source: Literal["predictions", "csv"]
    minimum: float | None
    teachers: dict[str, Teacher] = Field(default_factory=dict)
    csv: str | None = None
    csv_sha256: str | None = None

    @classmethod
    def of_predictions(cls, members: Mapping[str, Provenance], *, minimum: float) -> "Origin":
        teachers = {
            name: Teacher(recipe=p.recipe, folds=p.folds, checkpoints=p.checkpoints)
            for name, p in members.items()
        }
        return cls(source="predictions", minimum=minimum, teachers=teachers)

    @classmethod
    def of_csv(cls, path: Path) -> "Origin":
        return cls(source="csv", minimum=None, csv=path.name, csv_sha256=file_sha256(path))


class RoundReceipt(Settings):
    """What a round holds. kept, dropped: share of decided pixels by image (None: not known);
    every dropped image has less than `origin.minimum`.
    """

    competition: str
    origin: Origin
    classes: tuple[str, ...]
    kept: dict[str, float | None]
    dropped: dict[str, float | None]
    labels_sha256: str

    def text(self) -> str:
        total = len(self.kept) + len(self.dropped)
        kept, least = f"{len(self.kept)} of {total} images kept", self.origin.minimum
        if least is None:
            return kept
        return f"{kept}; {len(self.dropped)} dropped, less than {least} of their pixels decided"


@dataclass(frozen=True)
class PseudoLabel:
    """An image's masks (K, H, W) at native size and its share of decided pixels (None: unknown)."""

    image: str
    masks: Runs
    decided: float | None


def from_predictions(together: Blend, rules: Mapping[str, ClassRule]) -> Iterator[PseudoLabel]:
    """The blend's images under the decision rules, in the blend's order."""
    for image in together.images:
        low, high = together.runs_at(image, np.array(UNDECIDED))
        open_pixels = int((low - high).any_mask().area()[0])
        decided = 1 - open_pixels / (low.height * low.width)
        yield PseudoLabel(image, decide(together, image, rules), decided)


def from_csv(competition: Competition, path: Path, sizes: Sizes) -> Iterator[PseudoLabel]:
    """The images of a submission; masks of another size are brought to the native one."""
    for image, masks in read_submission(competition, path, sizes).items():
        if image not in sizes:
            raise InputFault(f"{path}: image {image!r} is not one of the competition")
        if masks.shape[1:] != sizes[image]:
            masks = resize_nearest(masks, sizes[image])
        yield PseudoLabel(image, masks, None)


def make_round(
    folder: Path,
    competition: Competition,
    labels: Iterable[PseudoLabel],
    origin: Origin,
    *,
    look: Callable[[str], np.ndarray] | None = None,
) -> RoundReceipt:
    """Write a round of the labels that are decided enough; InputFault where none is.

    look: an image's pixels, uint8 (H, W, 3); with it, `picture.png` shows the first labels.
    """
    kept: dict[str, float | None] = {}
    dropped: dict[str, float | None] = {}
    shown: list[PseudoLabel] = []
    with whole_folder(folder) as working:
        with open(working / "labels.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_COLUMNS)
            for label in labels:
                enough = _is_decided(label, origin)
                (kept if enough else dropped)[label.image] = label.decided
                if enough:
                    writer.writerows(_rows(competition, label))
                    shown += [label] if len(shown) < _PICTURES else []
        _require_some(kept, dropped, origin)
        receipt = RoundReceipt(
            competition=competition.name,
            origin=origin,
            classes=competition.classes,
            kept=kept,
            dropped=dropped,
            labels_sha256=file_sha256(working / "labels.csv"),
        )
        if look is not None:
            _draw(working / "picture.png", shown, look, competition.classes)
        receipt.write(working / "receipt.json")
    return receipt


def load_round(
    folder: Path, competition: Competition, sizes: Sizes
) -> tuple[dict[str, Runs], RoundReceipt]:
    """Masks (K, H, W) by image, and the receipt; InputFault where the two do not belong together."""
    receipt = read_round(folder, competition)
    path = folder / "labels.csv"
    frame = read_csv_text(path, _COLUMNS)
    if file_sha256(path) != receipt.labels_sha256:
        raise InputFault(f"{path} was changed since its receipt was written; make the round again")
    unknown = [
        f"{path}: image {i!r} is not one of the competition" for i in receipt.kept if i not in sizes
    ]
    if unknown:
        raise InputFault(listed(unknown))
    keys = list(zip(frame["image"], frame["class"], strict=True))
    masks = decode_rows(
        frame["rle"].tolist(),
        [sizes[image] for image, _ in keys],
        _form(competition),
        label=lambda row: f"{path} line {frame.index[row]}, image {keys[row][0]!r}",
    )
    count = len(competition.classes)
    stacks = (masks[first : first + count] for first in range(0, len(masks), count))
    return {
        image: Runs.stack(stack) for image, stack in zip(receipt.kept, stacks, strict=True)
    }, receipt


def read_round(folder: Path, competition: Competition) -> RoundReceipt:
    """The receipt of a round; InputFault where it is of other classes or damaged."""
    path = folder / "receipt.json"
    if not path.exists():
        raise InputFault(f"no pseudo round {folder.name!r} ({folder}); {_rounds_beside(folder)}")
    receipt = RoundReceipt.read(path, what="a round's receipt", again="make it again")
    if receipt.classes != competition.classes:
        raise InputFault(
            f"{path}: labels of the classes {list(receipt.classes)}; the competition has "
            f"{list(competition.classes)}; make the round again"
        )
    return receipt


def indirect_leak(origin: Origin, fold: int) -> str | None:
    """What a score on `fold` may be flattered by, in words; None where nothing is.

    A teacher of another fold was trained on the images that this fold is scored on, and its labels
    may carry what it learnt there.
    """
    if origin.source == "csv":
        return f"indirect leak possible: nobody knows what the makers of {origin.csv} trained on"
    seen = {
        name: others
        for name, teacher in origin.teachers.items()
        if (others := [other for other in teacher.folds if other != fold])
    }
    if not seen:
        return None
    who = "; ".join(f"{name} of folds {', '.join(map(str, f))}" for name, f in seen.items())
    return f"indirect leak: these teachers were trained on images of fold {fold}: {who}"


def _is_decided(label: PseudoLabel, origin: Origin) -> bool:
    if origin.minimum is None:
        return True
    return label.decided is not None and label.decided >= origin.minimum


def _require_some(
    kept: Mapping[str, float | None], dropped: Mapping[str, float | None], origin: Origin
) -> None:
    if kept:
        return
    best = max((share for share in dropped.values() if share is not None), default=None)
    found = (
        "there is none" if best is None else f"the most decided of {len(dropped)} has {best:.3f}"
    )
    raise InputFault(f"no image has {origin.minimum} of its pixels decided; {found}")


def _rows(competition: Competition, label: PseudoLabel) -> Iterator[tuple[str, str, str]]:
    if label.masks.shape[0] != len(competition.classes) or len(label.masks.shape) != 3:
        raise InputFault(
            f"image {label.image!r}: masks of shape {label.masks.shape}; "
            f"expected {len(competition.classes)} classes"
        )
    texts = encode(label.masks, _form(competition))
    for name, text in zip(competition.classes, texts, strict=True):
        yield label.image, name, text


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
        c.image if c.decided is None else f"{c.image}  {c.decided:.3f} decided" for c in shown
    ]
    contact_sheet(tiles, path, captions=captions, title="pseudo labels", legend=classes)
