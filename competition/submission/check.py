"""A submission of any origin: all its faults at once, or its masks."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from competition.data.csv_text import ends_whole
from competition.data.readers.rle import LabelRows
from competition.doctor.report import Report
from competition.doctor.rle_order_checks import check_texts
from competition.errors import InputFault, listed
from competition.masks import Objects, Runs
from competition.masks.rle import decode_rows, decode_stacks, row_faults
from competition.spec import Competition
from competition.submission.rows import Key, KeyedTable, described, read_table
from competition.submission.write import Summary
from competition.workspace import file_sha256

ImageSizes = Mapping[str, tuple[int, int]]
"""Native (height, width) of every test image."""


def check_submission(
    competition: Competition, path: Path, sample: Path, sizes: ImageSizes
) -> Summary:
    """What the file holds; InputFault lists all its faults, the first ten of each kind in full."""
    table, asked = read_table(competition, path), read_table(competition, sample)
    kinds = [
        _column_faults(table, asked),
        _cut_faults(table),
        _key_faults(competition, table, asked),
        _text_faults(competition, table, sizes),
    ]
    if not any(kinds):
        kinds.append(_overlap_faults(competition, table, sizes))
    if any(kinds):
        raise InputFault("\n".join(listed(faults) for faults in kinds if faults))
    empty = competition.submission.empty
    return Summary(
        rows=len(table),
        images=len(table.images),
        empty=sum(text.strip(" ") == empty for text in table.texts),
        sha256=file_sha256(path),
    )


def check_text_order(competition: Competition, path: Path, images: pd.DataFrame) -> Report:
    """How a file's texts count pixels, as far as images and shapes tell; images: catalog rows.

    Nothing is said of masks that are asked for at another size than the images'.
    """
    if competition.submission.size is not None:
        return Report()
    table = read_table(competition, path)
    return check_texts(
        competition,
        images,
        LabelRows(
            path,
            tuple(table.lines.tolist()),
            tuple((key.image, competition.classes[key.label]) for key in table.keys),
            tuple(table.texts),
        ),
    )


def read_submission(competition: Competition, path: Path, sizes: ImageSizes) -> dict[str, Runs]:
    """Masks by image, Runs (K, H, W), objects of a class united; InputFault for an incomplete file.

    sizes may hold more images than the file; `[submission] size` goes before it.
    """
    found = read_objects(competition, path, sizes)
    classes = len(competition.classes)
    return {image: objects.to_classes(classes) for image, objects in found.items()}


def read_objects(competition: Competition, path: Path, sizes: ImageSizes) -> dict[str, Objects]:
    """The rows of each image as objects, in the file's order, rows without a pixel left out."""
    table = read_table(competition, path)
    faults = _repeated(competition, table) + _incomplete(competition, table)
    if competition.submission.size is None:
        faults += [
            f"{path}: {_unknown(image, sizes)}" for image in table.images if image not in sizes
        ]
    if faults:
        raise InputFault(listed(faults))
    sized = [_size(competition, sizes, key.image) for key in table.keys]
    masks = decode_rows(table.texts, sized, competition.submission.format, label=table.name)
    by_image: dict[str, list[tuple[Key, Runs]]] = defaultdict(list)
    for key, mask in zip(table.keys, masks, strict=True):
        by_image[key.image].append((key, mask))
    return {image: _objects(entries) for image, entries in by_image.items()}


def _objects(entries: list[tuple[Key, Runs]]) -> Objects:
    full = [(key.label, mask) for key, mask in entries if len(mask)]
    if not full:
        return Objects(Runs.empty((0, *entries[0][1].shape)), np.empty(0, np.int64))
    return Objects(Runs.stack([mask for _, mask in full]), np.array([label for label, _ in full]))


def _size(competition: Competition, sizes: ImageSizes, image: str) -> tuple[int, int]:
    size = competition.submission.size or sizes.get(image)
    if size is None:
        raise InputFault(_unknown(image, sizes))
    return size


def _unknown(image: str, sizes: ImageSizes) -> str:
    return f"image {image!r} is not among the {len(sizes)} images"


def _column_faults(table: KeyedTable, asked: KeyedTable) -> list[str]:
    found, expected = table.layout.names, asked.layout.names
    if found == expected:
        return []
    return [f"{table.path}: columns {list(found)}; the sample has {list(expected)}"]


def _cut_faults(table: KeyedTable) -> list[str]:
    if ends_whole(table.path):
        return []
    last = table.name(len(table) - 1)
    return [f"{last}: the last line has no end, so the file may be cut; end it if it is not"]


def _key_faults(competition: Competition, table: KeyedTable, asked: KeyedTable) -> list[str]:
    classes = competition.classes
    per_object = competition.submission.rows == "object"
    found, expected = (
        dict.fromkeys(Key(image, 0) for image in t.images) if per_object else dict.fromkeys(t.keys)
        for t in (table, asked)
    )
    missing = [key for key in expected if key not in found]
    extra = [key for key in found if key not in expected]
    kinds = [
        [f"{table.path}: no row for {described(key, classes)}" for key in missing],
        [f"{table.path}: a row for {described(key, classes)}, not in the sample" for key in extra],
        _repeated(competition, table),
    ]
    return [listed(faults) for faults in kinds if faults]


def _repeated(competition: Competition, table: KeyedTable) -> list[str]:
    """Keys with more rows than they may have: any for objects, but the empty token stands alone."""
    if competition.submission.rows != "object":
        counts = Counter(table.keys)
        doubled = [key for key, count in counts.items() if count > 1]
        return [
            f"{table.path}: {described(key, competition.classes)} has {counts[key]} rows"
            for key in doubled
        ]
    counts = Counter(key.image for key in table.keys)
    return [
        f"{table.name(row)}: an empty row beside other rows of this image"
        for row, text in enumerate(table.texts)
        if text.strip(" ") == competition.submission.empty and counts[table.keys[row].image] > 1
    ]


def _incomplete(competition: Competition, table: KeyedTable) -> list[str]:
    """Image × class pairs without a row, where every image has a row for every class."""
    if competition.submission.rows != "image-class":
        return []
    found = set(table.keys)
    keys = (Key(image, k) for image in table.images for k in range(len(competition.classes)))
    return [
        f"{table.path}: no row for {described(key, competition.classes)}"
        for key in keys
        if key not in found
    ]


def _text_faults(competition: Competition, table: KeyedTable, sizes: ImageSizes) -> list[str]:
    asked = competition.submission.size
    sized = [asked or sizes.get(key.image) for key in table.keys]
    known = [(row, size) for row, size in enumerate(sized) if size is not None]
    texts = table.texts
    return row_faults(
        [texts[row] for row, _ in known],
        [size for _, size in known],
        competition.submission.format,
        label=lambda index: table.name(known[index][0]),
    )


def _overlap_faults(competition: Competition, table: KeyedTable, sizes: ImageSizes) -> list[str]:
    """Objects of one image and class that share pixels; graders of objects refuse them."""
    if competition.submission.rows != "object":
        return []
    by_key: dict[Key, list[str]] = defaultdict(list)
    for key, text in zip(table.keys, table.texts, strict=True):
        by_key[key].append(text)
    return [
        f"{table.path}: objects of {described(key, competition.classes)} share {shared} pixels"
        for key, texts in by_key.items()
        if (shared := _shared_pixels(competition, texts, _size(competition, sizes, key.image)))
    ]


def _shared_pixels(competition: Competition, texts: list[str], size: tuple[int, int]) -> int:
    parts = decode_stacks(texts, size, competition.submission.format)
    stack = Runs.stack([part for _, part in parts])
    return int(stack.area().sum() - stack.any_mask().area().sum())
