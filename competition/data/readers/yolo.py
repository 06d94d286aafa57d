"""YOLO's text files for segmentation: a line for each polygon, `class x1 y1 x2 y2 …`.

https://docs.ultralytics.com/datasets/segment: the class is its number in the list of names, from 0; x
and y are shares of the image's width and height. Polygons there are those of COCO divided by the
image's size, so they are pixel edges.
"""

import math
from pathlib import Path, PurePosixPath

import pandas as pd

from competition.data.catalog import sizes_of
from competition.data.pixel_labels import PixelLabels
from competition.data.readers.file_per_image import pattern_files, read_files
from competition.data.readers.shapes import drawn, labels_of_shapes
from competition.errors import InputFault
from competition.masks import Runs
from competition.spec import Competition, YoloLabels

_NAMES = "classes.txt"
"""The list of names, which labelling tools leave beside the label files or above their folder."""

_BOX, _LEAST = 5, 7
"""Numbers of a line: class, centre and size; class and three points."""

_BEYOND = 0.5
"""Of width and height: a hand slips over the edge, not this far."""


def files(competition: Competition, images: pd.DataFrame) -> list[Path]:
    """See `readers`."""
    found = pattern_files(competition, images, _options(competition).files)
    return [path for path in found if not _options(competition).positives_only or path.is_file()]


def read(competition: Competition, images: pd.DataFrame) -> dict[str, PixelLabels]:
    """See `readers`; polygons of one class are united."""
    options = _options(competition)
    _check_names(competition)
    found = read_files(
        competition,
        images,
        options.files,
        _read_file,
        positives_only=options.positives_only,
        others=(_NAMES,),
    )
    sizes = sizes_of(images).items()
    return {
        image: found.get(image) or labels_of_shapes(competition, size, ()) for image, size in sizes
    }


def _options(competition: Competition) -> YoloLabels:
    assert isinstance(competition.labels, YoloLabels)
    return competition.labels


def _check_names(competition: Competition) -> None:
    """The list of names, where there is one, against the classes: numbers go by their order."""
    folder = PurePosixPath(_options(competition).files).parent
    if "{" in str(folder):
        return
    for path in (folder / _NAMES, folder.parent / _NAMES):
        names = competition.root / path
        if ".." in path.parts or not names.is_file():
            continue
        lines = names.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        found = [line.strip() for line in lines if line.strip()]
        if found != list(competition.classes):
            raise InputFault(
                f"{names} lists {found}; the numbers of classes go by it, and classes of the "
                f"competition file are {list(competition.classes)}"
            )


def _read_file(competition: Competition, path: Path, size: tuple[int, int]) -> PixelLabels:
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputFault(f"{path} is no text: {error}") from error
    shapes, faults = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            shapes.append(_shape(competition, line.split(), size, f"{path} line {number}"))
        except InputFault as fault:
            faults.append(str(fault))
    if faults:
        raise InputFault("\n".join(faults))
    return labels_of_shapes(competition, size, shapes)


def _shape(
    competition: Competition, words: list[str], size: tuple[int, int], place: str
) -> tuple[str, Runs]:
    """(class, Runs (H, W)) of one line."""
    if len(words) == _BOX:
        raise InputFault(f"{place}: five numbers are a box; masks are needed, as polygons")
    if len(words) < _LEAST or len(words) % 2 == 0:
        raise InputFault(
            f"{place}: {len(words)} numbers; expected the class, and x and y of three points or more"
        )
    classes, numeral = competition.classes, words[0]
    if not (numeral.isascii() and numeral.isdigit() and int(numeral) < len(classes)):
        raise InputFault(
            f"{place}: class {numeral!r}; expected 0 to {len(classes) - 1}, a place in {list(classes)}"
        )
    shares = [_share(word, place) for word in words[1:]]
    points = [[x * size[1], y * size[0]] for x, y in zip(shares[::2], shares[1::2], strict=True)]
    return classes[int(numeral)], drawn([points], size, _options(competition).coordinates, place)


def _share(word: str, place: str) -> float:
    try:
        share = float(word)
    except ValueError:
        share = math.nan
    if not -_BEYOND <= share <= 1 + _BEYOND:
        raise InputFault(f"{place}: {word!r} is no share of the image's size, 0 to 1")
    return share
