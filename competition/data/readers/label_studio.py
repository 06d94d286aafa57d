"""Label Studio: JSON files of many images (its export "JSON"), with polygons and brushes.

https://labelstud.io/guide/export: points are per cent of the image's width and height. A brush is the
image in red, green, blue and alpha, packed by bits as @thi.ng/rle-pack does; what alpha is not 0 in
belongs to the mask.
"""

import re
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pandas as pd

from competition.data.catalog import sizes_of
from competition.data.csv_text import image_id
from competition.data.images import ENDINGS
from competition.data.pixel_labels import PixelLabels
from competition.data.readers.exports import ListedImage, export_files, read_exports
from competition.data.readers.shapes import (
    drawn,
    known_name,
    label_json,
    labels_of_shapes,
    names_of,
    vertices_of,
)
from competition.errors import InputFault, listed
from competition.masks import Runs
from competition.spec import Competition, LabelStudioLabels

_SHAPES = ("points", "rle", "x")
"""Of a result's value: it has some, if it lies anywhere in the image."""

_CHANNELS = 4


def files(competition: Competition, images: pd.DataFrame) -> list[Path]:
    """See `readers`."""
    return export_files(competition, _options(competition).files)


def read(competition: Competition, images: pd.DataFrame) -> dict[str, PixelLabels]:
    """See `readers`; regions of one class are united."""
    known = {image_id(PurePosixPath(path).name) for path in images["path"]}
    parse = partial(_listed, known=known)
    found = read_exports(competition, images, _options(competition).files, parse)
    labels, faults = {}, []
    for image, size in sizes_of(images).items():
        entry = found[image]
        try:
            labels[image] = _labels(competition, entry, size)
        except InputFault as fault:
            faults.extend(str(fault).splitlines())
    if faults:
        raise InputFault(listed(faults))
    return labels


def _options(competition: Competition) -> LabelStudioLabels:
    assert isinstance(competition.labels, LabelStudioLabels)
    return competition.labels


def _listed(path: Path, *, known: Collection[str]) -> Iterator[ListedImage[list[Any]]]:
    """The tasks of a file with their annotations, those that were skipped left out."""
    tasks = label_json(path)
    if not isinstance(tasks, list):
        raise InputFault(f'{path} is no list of tasks; export it as "JSON"')
    for number, task in enumerate(tasks):
        place = f"{path} task {number}"
        annotations = task.get("annotations") if isinstance(task, dict) else None
        if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
            raise InputFault(
                f'{place} has no list "annotations"; export it as "JSON", not "JSON-MIN"'
            )
        kept = [one for one in annotations if not one.get("was_cancelled")]
        name = _file_name(task.get("data"), known, place)
        empty = not any(one.get("result") for one in kept)
        yield ListedImage(f"{place} ({name})", name, None, content=kept, empty=empty)


def _file_name(data: Any, known: Collection[str], place: str) -> str:
    """The image of a task: the one of its values that ends as images do.

    Uploaded files are renamed to begin with eight digits and a hyphen; a local file is in the query.
    """
    values = data.values() if isinstance(data, dict) else ()
    paths = []
    for value in values:
        path = _path_of(value) if isinstance(value, str) else ""
        if path.lower().endswith(ENDINGS):
            paths.append(path)
    if len(paths) != 1:
        raise InputFault(f"{place}: {len(paths)} images in its data {data!r:.80}; expected one")
    name = PurePosixPath(paths[0]).name
    if image_id(name) in known:
        return paths[0]
    return re.sub("^[0-9a-f]{8}-", "", name)


def _path_of(address: str) -> str:
    """What an address names: the `d` of its query, or its path."""
    try:
        url = urlsplit(address.replace("\\", "/"))
    except ValueError:
        return ""  # another text than an address
    return parse_qs(url.query).get("d", [unquote(url.path)])[0].lstrip("/")


def _labels(
    competition: Competition, entry: ListedImage[list[Any]], size: tuple[int, int]
) -> PixelLabels:
    if len(entry.content) != 1:
        raise InputFault(
            f"{entry.place}: {len(entry.content)} annotations; expected one: submit it, delete the "
            "others, or leave the image out by exclude in [data]"
        )
    shapes, faults = [], []
    for number, result in enumerate(entry.content[0].get("result") or ()):
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict) or not any(key in value for key in _SHAPES):
            continue  # a choice, a text, a relation: of the image, not of its pixels
        try:
            shapes.append(_shape(competition, result, size, f"{entry.place}, result {number}"))
        except InputFault as fault:
            faults.append(str(fault))
    if faults:
        raise InputFault("\n".join(faults))
    return labels_of_shapes(competition, size, shapes)


def _shape(
    competition: Competition, result: dict[str, Any], size: tuple[int, int], place: str
) -> tuple[str, Runs]:
    """(class, Runs (H, W)) of one region."""
    kind, value = result.get("type"), result["value"]
    if kind not in ("polygonlabels", "brushlabels"):
        raise InputFault(f"{place}: {kind} are no masks; expected polygonlabels and brushlabels")
    there = (result.get("original_height"), result.get("original_width"))
    if there != size:
        raise InputFault(
            f"{place}: drawn on {there[0]} × {there[1]} (height × width), and its image has {size[0]} "
            f"× {size[1]}: were the images resized?"
        )
    if result.get("image_rotation"):
        raise InputFault(
            f"{place}: drawn on the image turned by {result['image_rotation']} degrees"
        )
    names = value.get(kind)
    if not isinstance(names, list) or len(names) != 1:
        raise InputFault(f"{place}: labels {names!r}; expected one")
    name = known_name(names[0], names_of(competition), place)
    if kind == "brushlabels":
        return name, _brush(value.get("rle"), size, place)
    points = vertices_of(value.get("points")) * (size[1] / 100, size[0] / 100)
    if not len(points):
        raise InputFault(f"{place}: points {value.get('points')!r:.60}; expected [[x, y], …]")
    return name, drawn([points], size, _options(competition).coordinates, place)


def _brush(packed: Any, size: tuple[int, int], place: str) -> Runs:
    """Runs (H, W) of a packed image of red, green, blue and alpha."""
    try:
        values = np.array(packed, np.int64)
    except (TypeError, ValueError, OverflowError):
        values = np.full(1, -1)
    if values.ndim != 1 or not ((values >= 0) & (values < 256)).all():
        raise InputFault(f"{place}: rle {packed!r:.60}; expected a list of bytes")
    try:
        alpha = _unpacked(values.astype(np.uint8), _CHANNELS * size[0] * size[1])[3::_CHANNELS]
    except InputFault as fault:
        raise InputFault(f"{place}: {fault}") from fault
    return Runs.from_dense(alpha.reshape(size))


def _unpacked(packed: np.ndarray, expected: int) -> np.ndarray:
    """bool (expected,): which values of a packed list are not 0.

    The list begins with its length (32 bits), the bits of a value less one (5), and those of four
    sizes of lengths less one (4 each). Then come blocks: whether it repeats one value (1 bit), which
    size its length has (2), its length less one, and the value, or as many values.
    """
    bits = np.unpackbits(packed)
    place = 0

    def number(count: int) -> int:
        nonlocal place
        place += count
        if place > len(bits):
            raise InputFault(f"its rle ends after {len(packed)} bytes, in the midst of a block")
        return int("".join(map(str, bits[place - count : place].tolist())), 2)

    length, width = number(32), number(5) + 1
    if length != expected:
        raise InputFault(
            f"its rle is of {length} values; {expected} are expected, four for each pixel of its image"
        )
    sizes = [number(4) + 1 for _ in range(4)]
    values, done = np.zeros(length, bool), 0
    while done < length:
        repeats = number(1)
        end = done + number(sizes[number(2)]) + 1
        if end > length:
            raise InputFault(f"its rle goes on after its {length} values")
        if repeats:
            values[done:end] = number(width) != 0
        else:
            first = place
            place += (end - done) * width
            if place > len(bits):
                raise InputFault(f"its rle ends after {len(packed)} bytes, in the midst of a block")
            values[done:end] = bits[first:place].reshape(-1, width).any(axis=1)
        done = end
    return values
