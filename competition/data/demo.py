"""The demo competition: a complete download of generated hand X-rays, in the hand-bone layout.

train/DCM/ID001/image00001_L.png             both hands of a person lie in the person's folder
train/outputs_json/ID001/image00001_L.json   polygons
test/DCM/ID049/…
sample_submission.csv  solution.csv  classes.txt  competition.toml
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from competition.data import demo_difficulty as difficulty
from competition.data import demo_hand as hand
from competition.data.demo_annotator import annotate
from competition.data.demo_file import competition_file
from competition.data.demo_hand import CLASSES
from competition.data.demo_xray import draw_view, render
from competition.errors import InputFault
from competition.masks import RleFormat, Runs, polygons_from_runs
from competition.masks.rle import encode_rows
from competition.workspace import whole_folder

PUBLIC = 0.3
"""Share of the test people whose scores the public leaderboard shows."""

MOST_PEOPLE = 999
"""With more, ID1000 would sort before ID101."""

TEXT_FORM = RleFormat(order="rows", base=1, rows="image-class")


@dataclass(frozen=True)
class Extent:
    """How large a demo is: people with two images each, and pixels along a side of an image."""

    people: int
    test_people: int
    size: int

    def __post_init__(self) -> None:
        enough = self.people >= 1 and self.test_people >= 2 and self.size >= 64
        if not enough or self.people + self.test_people > MOST_PEOPLE:
            raise InputFault(
                "a demo needs at least 1 training person, 2 test people (at most "
                f"{MOST_PEOPLE} in all) and 64 pixels; found people={self.people!r}, "
                f"test_people={self.test_people!r}, size={self.size!r}"
            )


@dataclass(frozen=True)
class Picture:
    """One image of the competition and its annotated masks."""

    folder: str
    name: str
    pixels: np.ndarray
    """uint8 (H, W)"""
    masks: list[Runs]
    """One (H, W) a class, in the order of CLASSES."""


def make_demo(
    folder: Path, *, seed: int = 0, people: int = 48, test_people: int = 32, size: int = 256
) -> None:
    """Write the demo competition into `folder`, whole or not at all; what was there is replaced.

    The same arguments give the same bytes. `people` and `test_people` have two images each, of
    `size` × `size` pixels; a person does not depend on how many there are.
    """
    text = competition_file("demo", examples=560)
    _write_demo(folder, Extent(people, test_people, size), text, seed=seed)


def make_short_demo(folder: Path, *, seed: int = 0) -> None:
    """The same in little, named demo-short: to see that every step runs, not how well."""
    text = competition_file("demo-short", examples=16)
    _write_demo(folder, Extent(people=6, test_people=4, size=96), text, seed=seed)


def _write_demo(folder: Path, extent: Extent, competition_text: str, *, seed: int) -> None:
    numbers = range(1, 1 + extent.people + extent.test_people)
    people = [list(photograph(number, seed=seed, size=extent.size)) for number in numbers]
    train, test = people[: extent.people], people[extent.people :]
    with whole_folder(folder) as root:
        for picture in chain.from_iterable(train):
            _write_image(root / "train" / "DCM", picture)
            _write_annotations(root / "train" / "outputs_json", picture)
        for picture in chain.from_iterable(test):
            _write_image(root / "test" / "DCM", picture)
        _write_answers(root, test, seed=seed)
        _write_text(root / "classes.txt", "".join(f"{name}\n" for name in CLASSES))
        _write_text(root / "competition.toml", competition_text)


def photograph(number: int, *, seed: int, size: int) -> Iterator[Picture]:
    """The two images of the person with a number, left hand first."""
    random = np.random.default_rng([seed, number])
    person = hand.draw_person(random)
    bias = random.normal(0, difficulty.BIAS)
    for place, side in enumerate("LR"):
        pose, view = hand.draw_pose(random), draw_view(random, size, left=side == "L")
        pixels = render(person, pose, view, random)
        masks = annotate(hand.bones(person, pose), view, random, bias=bias)
        yield Picture(f"ID{number:03d}", f"image{2 * number - 1 + place:05d}_{side}", pixels, masks)


def _write_image(root: Path, picture: Picture) -> None:
    _, encoded = cv2.imencode(".png", picture.pixels)
    path = root / picture.folder / f"{picture.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded.tobytes())


def _write_annotations(root: Path, picture: Picture) -> None:
    """The polygons of an image; one that is filled alone, as annotation tools do."""
    labelled = [
        (label, polygon)
        for label, mask in zip(CLASSES, picture.masks, strict=True)
        for polygon in polygons_from_runs(mask)
    ]
    annotations = [
        {
            "id": f"{picture.name}-{number:03d}",
            "type": "poly_seg",
            "attributes": {},
            "points": polygon.tolist(),
            "label": label,
        }
        for number, (label, polygon) in enumerate(labelled, start=1)
    ]
    text = json.dumps({"filename": f"{picture.name}.png", "annotations": annotations})
    path = root / picture.folder / f"{picture.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_text(path, text + "\n")


def _write_answers(root: Path, tested: Sequence[Sequence[Picture]], *, seed: int) -> None:
    """sample_submission.csv and solution.csv: rows in path order, then in class order."""
    public = max(1, round(PUBLIC * len(tested)))
    order = np.random.default_rng(seed).permutation(len(tested))
    usage = np.where(np.argsort(order) < public, "Public", "Private")
    sample = [["image_name", "class", "rle"]]
    solution = [["image_name", "class", "rle", "Usage"]]
    for pictures, side in zip(tested, usage.tolist(), strict=True):
        for picture in pictures:
            texts = encode_rows(picture.masks, TEXT_FORM)
            for label, text in zip(CLASSES, texts, strict=True):
                key = [f"{picture.name}.png", label]
                sample.append([*key, ""])
                solution.append([*key, text, side])
    _write_csv(root / "sample_submission.csv", sample)
    _write_csv(root / "solution.csv", solution)


def _write_csv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
