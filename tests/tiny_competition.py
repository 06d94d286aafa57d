"""A download in which mix-ups show: unordered classes, in pairs; coloured images of odd, unequal sizes.

Bones of the demo's hands, gathered into fewer classes. Those of the fingers are told apart by the
half of the image that they lie in, so a mirrored image has them exchanged.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from competition import steps
from competition.demo import CLASSES as BONES
from competition.demo import PUBLIC, TEXT_FORM, Picture, demo_toml, photograph
from competition.entry import Entry
from competition.masks import Runs, encode, polygons_from_runs
from competition.project import Project

PAIRED = {
    "metacarpals": ("metacarpals",),
    "phalanges": ("middle-phalanges", "proximal-phalanges"),
    "tips": ("distal-phalanges",),
}
SINGLE = {
    "ulna": ("Ulna",),
    "carpals": ("Trapezium", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform"),
    "Sesamoid": ("Sesamoid",),
    "radius": ("Radius",),
}
CLASSES = (
    "ulna",
    "right-metacarpals",
    "Sesamoid",
    "left-tips",
    "carpals",
    "right-phalanges",
    "left-metacarpals",
    "radius",
    "right-tips",
    "left-phalanges",
)
TINT = (0.7, 0.85, 1.0)
"""Blue, green and red of what is white."""

DRAWN = 80
"""Pixels along a side before an image takes its own size."""


def write_competition(folder: Path, *, people: int, test_people: int, choices: str) -> None:
    """Write the download; `choices` are the tables of its file that a competitor writes."""
    pictures = [
        picture
        for number in range(1, 1 + people + test_people)
        for picture in photograph(number, seed=0, size=DRAWN)
    ]
    sized = [_sized(picture, place) for place, picture in enumerate(pictures)]
    for picture in sized[: 2 * people]:
        _write_image(folder / "train" / "DCM", picture)
        _write_polygons(folder / "train" / "outputs_json", picture)
    for picture in sized[2 * people :]:
        _write_image(folder / "test" / "DCM", picture)
    _write_answers(folder, sized[2 * people :], public=max(1, round(PUBLIC * test_people)))
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    (folder / "competition.toml").write_text(_file_text() + choices)


def _sized(picture: Picture, place: int) -> Picture:
    """The picture at its own odd height and width, 57 to 101, with the classes above."""
    height, width = (57 + 2 * (step * place % 23) for step in (7, 11))
    drawn = np.stack([mask.to_dense() for mask in picture.masks]).astype(np.uint8)
    bones = {
        name: cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0
        for name, mask in zip(BONES, drawn, strict=True)
    }
    pixels = cv2.resize(picture.pixels, (width, height), interpolation=cv2.INTER_AREA)
    masks = dict(_classes(bones, width))
    ordered = [Runs.from_dense(masks[name]) for name in CLASSES]
    return Picture(picture.folder, picture.name, pixels, ordered)


def _classes(bones: dict[str, np.ndarray], width: int) -> Iterator[tuple[str, np.ndarray]]:
    """(class, mask bool (H, W)); the middle column of an odd width is of neither side."""
    for name, parts in SINGLE.items():
        yield name, np.any([bones[part] for part in parts], axis=0)
    columns = np.arange(width)
    for name, parts in PAIRED.items():
        both = np.any([bones[part] for part in parts], axis=0)
        yield f"left-{name}", both & (2 * columns + 1 < width)
        yield f"right-{name}", both & (2 * columns + 1 > width)


def _write_image(root: Path, picture: Picture) -> None:
    path = root / picture.folder / f"{picture.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.rint(picture.pixels[..., None] * TINT).astype(np.uint8))


def _write_polygons(root: Path, picture: Picture) -> None:
    annotations = [
        {"label": label, "points": polygon.tolist()}
        for label, mask in zip(CLASSES, picture.masks, strict=True)
        for polygon in polygons_from_runs(mask)
    ]
    path = root / picture.folder / f"{picture.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"annotations": annotations}) + "\n")


def _write_answers(folder: Path, tested: list[Picture], *, public: int) -> None:
    """sample_submission.csv and solution.csv; the images of the first `public` people are Public."""
    rows = [
        (f"{picture.name}.png", label, encode(mask, TEXT_FORM), place // 2 < public)
        for place, picture in enumerate(tested)
        for label, mask in zip(CLASSES, picture.masks, strict=True)
    ]
    columns = ["image_name", "class", "rle"]
    sample = [columns, *((image, label, "") for image, label, *_ in rows)]
    solution = [[*columns, "Usage"]]
    solution += [[*row[:3], "Public" if row[3] else "Private"] for row in rows]
    for name, content in (("sample_submission.csv", sample), ("solution.csv", solution)):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(content)


def _file_text() -> str:
    """What the organisers fixed: the demo's, but for the classes and their pairs."""
    before, _, rest = demo_toml("demo", examples=1).partition("classes = [")
    after = rest.partition("[data]")[2].partition("[ensemble]")[0]
    pairs = [[f"left-{name}", f"right-{name}"] for name in PAIRED]
    classes = f"classes = {json.dumps(CLASSES)}\nhorizontal_flip = {json.dumps(pairs)}\n"
    return f"{before}{classes}\n[data]{after}"


def whole_way(project: Project, entry: Entry) -> None:
    """Every step from the folds to the csv."""
    steps.make_split(project)
    steps.train_entry(project, entry)
    steps.predict_entry(project, entry)
    steps.score_ensemble(project, entry)
    steps.tune_entry(project, entry)
    steps.submit_entry(project, entry)
