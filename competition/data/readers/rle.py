"""A csv of run-length text → `Runs` per image: rows of images, of image × class, or of objects."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from competition.data.catalog import sizes_of
from competition.data.csv_text import ends_whole, hints, image_id, read_csv_text, split_key
from competition.data.images import safe_path
from competition.data.pixel_labels import PixelLabels
from competition.errors import InputFault, listed
from competition.masks import Objects, Runs
from competition.masks.rle import decode_rows
from competition.spec import Competition, RleLabels, Submission

ImageClass = tuple[str, str]
"""(image, class)."""


@dataclass(frozen=True)
class LabelRows:
    """The rows of a label csv: for each its line, (image, class) and run-length text."""

    path: Path
    lines: tuple[int, ...]
    keys: tuple[ImageClass, ...]
    texts: tuple[str, ...]

    def place(self, row: int) -> str:
        image, name = self.keys[row]
        return f"{self.path} line {self.lines[row]}: image {image!r}, class {name!r}"


def files(competition: Competition, images: pd.DataFrame) -> list[Path]:
    """See `readers`."""
    assert isinstance(competition.labels, RleLabels)
    return [safe_path(competition.root, competition.labels.file, links=competition.links)]


def read(competition: Competition, images: pd.DataFrame) -> dict[str, PixelLabels]:
    """See `readers`; objects of one class are united."""
    names, classes = _names(competition), len(competition.classes)
    found = {}
    for image, objects in _read_rows(competition, images).items():
        masks = objects.to_classes(len(names))
        ignored = masks.select(range(classes, len(names))) if len(names) > classes else None
        found[image] = PixelLabels.of(masks.select(range(classes)), ignored)
    return found


def read_label_objects(competition: Competition, images: pd.DataFrame) -> dict[str, Objects]:
    """The rows of each training image as objects, but for those of names that are ignored; empty
    ones are left out; in the file's order.
    """
    classes = len(competition.classes)
    return {
        image: found.select(np.flatnonzero(found.classes < classes))
        for image, found in _read_rows(competition, images).items()
    }


def _names(competition: Competition) -> tuple[str, ...]:
    """What a row may be of: the classes, and then what is ignored."""
    assert isinstance(competition.labels, RleLabels)
    return (*competition.classes, *competition.labels.ignore)


def _read_rows(competition: Competition, images: pd.DataFrame) -> dict[str, Objects]:
    """Objects of every name in `_names`.

    `images` are the training rows of the catalog. The row set is checked before any text is read:
    every image (× class) once, or at least once where rows are objects; `positives_only` lets rows
    be absent. So a file that was cut is noticed by what is missing, or by its open last line.
    """
    rows = label_rows(competition)
    _check_row_set(competition, rows, images["image"].tolist())
    sizes = sizes_of(images)
    shapes = [sizes[image] for image, _ in rows.keys]
    masks = decode_rows(rows.texts, shapes, competition.label_format, label=rows.place)
    return _by_image(_names(competition), sizes, rows.keys, masks)


def _by_image(
    classes: Sequence[str],
    sizes: dict[str, tuple[int, int]],
    keys: Sequence[ImageClass],
    masks: Sequence[Runs],
) -> dict[str, Objects]:
    index = {name: k for k, name in enumerate(classes)}
    members: dict[str, list[tuple[int, Runs]]] = {image: [] for image in sizes}
    for (image, name), mask in zip(keys, masks, strict=True):
        if len(mask):
            members[image].append((index[name], mask))
    return {
        image: Objects(
            Runs.stack([mask for _, mask in found]) if found else Runs.empty((0, *sizes[image])),
            np.array([k for k, _ in found], np.int64),
        )
        for image, found in members.items()
    }


def label_rows(competition: Competition) -> LabelRows:
    """The rows of the label csv as text; nothing is checked but the columns."""
    labels = competition.labels
    assert isinstance(labels, RleLabels)
    path = safe_path(competition.root, labels.file, links=competition.links)
    columns = [column for column in (labels.image, labels.label, labels.rle) if column]
    table = read_csv_text(path, columns)
    separator = competition.submission.separator if labels.rows != "image" else None
    keys = keys_of(
        table, labels, classes=_names(competition), separator=separator, source=str(path)
    )
    out = {image_id(name) for name in competition.data.exclude}
    kept = [place for place, (image, _) in enumerate(keys) if image not in out]
    lines, texts = table.index.tolist(), table[labels.rle].tolist()
    return LabelRows(
        path,
        tuple(lines[place] for place in kept),
        tuple(keys[place] for place in kept),
        tuple(texts[place] for place in kept),
    )


def keys_of(
    table: pd.DataFrame,
    columns: RleLabels | Submission,
    *,
    classes: Sequence[str],
    separator: str | None,
    source: str,
) -> list[ImageClass]:
    """(image, class) of each row; the class from its column, the key, or the only one there is.

    `columns` names those of image and class; `source` is the file in messages.
    """
    images = [image_id(image) for image in table[columns.image]]
    if columns.label is not None:
        return list(zip(images, table[columns.label].tolist(), strict=True))
    if separator is not None:
        keys = []
        for line, key in zip(table.index, images, strict=True):
            found = split_key(key, separator, classes)
            if found is None:
                raise InputFault(
                    f"{source} line {line}: {key!r} has no {separator!r} between image and class"
                )
            keys.append(found)
        return keys
    if len(classes) > 1:
        raise InputFault(
            f"{source}: {len(classes)} classes, and neither a column of the class (label) nor a "
            "separator in the key is named"
        )
    return [(name, classes[0]) for name in images]


def _check_row_set(competition: Competition, rows: LabelRows, images: Sequence[str]) -> None:
    """Only known images and classes, no key twice, none missing: as the form of the rows asks."""
    labels, form = competition.labels, competition.label_format.rows
    assert isinstance(labels, RleLabels)
    known, classes = set(images), _names(competition)
    strange = [i for i, (image, _) in enumerate(rows.keys) if image not in known]
    near = hints([rows.keys[i][0] for i in strange], images)
    faults = [
        f"{rows.place(i)}: no such training image{hint}"
        for i, hint in zip(strange, near, strict=True)
    ]
    strange = [i for i, (_, name) in enumerate(rows.keys) if name not in classes]
    near = hints([rows.keys[i][1] for i in strange], classes)
    faults += [
        f"{rows.place(i)}: no such class{hint}; classes are {list(classes)}"
        for i, hint in zip(strange, near, strict=True)
    ]
    if faults:
        raise InputFault(listed(faults))
    if not ends_whole(rows.path):
        faults.append(
            f"{rows.path} line {rows.lines[-1] if rows.lines else 1}: the last line has no end, so "
            "the file may be cut inside it; if it is whole, end it with a line break"
        )
    faults += _repeated(rows) if form != "object" else _empty_beside(rows, competition)
    if not labels.positives_only:
        faults += _missing(competition, rows, images, form)
    if faults:
        raise InputFault(listed(faults))


def _repeated(rows: LabelRows) -> list[str]:
    counts = Counter(rows.keys)
    return [
        f"{rows.place(i)}: {counts[key]} rows of one key; expected one (or rows = 'object')"
        for i, key in enumerate(rows.keys)
        if counts[key] > 1
    ]


def _empty_beside(rows: LabelRows, competition: Competition) -> list[str]:
    """An image that holds nothing has one row; beside an object it says the contrary."""
    counts, empty = Counter(image for image, _ in rows.keys), competition.label_format.empty
    return [
        f"{rows.place(i)}: an empty row beside {counts[image] - 1} others of this image"
        for i, ((image, _), text) in enumerate(zip(rows.keys, rows.texts, strict=True))
        if text.strip(" ") == empty and counts[image] > 1
    ]


def _missing(
    competition: Competition, rows: LabelRows, images: Sequence[str], form: str
) -> list[str]:
    """Keys without a row: each image × class, or each image where rows are objects or images."""
    if form == "image-class":
        found = set(rows.keys)
        wanted = [(image, name) for image in images for name in competition.classes]
        absent = [f"image {i!r}, class {c!r}" for i, c in wanted if (i, c) not in found]
    else:
        present = {image for image, _ in rows.keys}
        wanted = list(images)
        absent = [f"image {image!r}" for image in images if image not in present]
    if not absent:
        return []
    summary = f"{rows.path} has {len(rows.keys)} rows; {len(absent)} of {len(wanted)} are missing"
    return [
        f"{summary}: is it cut, or does it hold positives only (positives_only = true)?",
        *(f"{rows.path}: no row for {key}" for key in absent),
    ]
