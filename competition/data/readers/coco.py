"""COCO: JSON files of many images, with polygons or counts of pixels.

https://cocodataset.org/#format-data and the mask functions of pycocotools: polygons are [x1, y1, x2, …],
(0, 0) the corner of the first pixel; counts go along columns, as numbers or as compressed text. Regions
of `iscrowd = 1` are groups of objects that nobody told apart: their pixels do not count.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from competition.data.pixel_labels import PixelLabels
from competition.data.readers.exports import ListedImage, export_files, read_exports
from competition.data.readers.shapes import (
    drawn,
    known_name,
    label_json,
    labels_of_shapes,
    listed_in,
    names_of,
    refuse_shares,
)
from competition.errors import InputFault, listed
from competition.masks import Runs
from competition.masks.counts import counts_from_text, runs_from_counts
from competition.masks.polygons import Coordinates
from competition.spec import CocoLabels, Competition

_FORM = '{"images": [...], "categories": [...], "annotations": [...]}'
_LEAST_NUMBERS = 6
"""Of a polygon; four are a box."""

Annotation = tuple[str, dict[str, Any], str]
"""Where it stands, itself, and its category."""


def files(competition: Competition, images: pd.DataFrame) -> list[Path]:
    """See `readers`."""
    return export_files(competition, _options(competition).files)


def read(competition: Competition, images: pd.DataFrame) -> dict[str, PixelLabels]:
    """See `readers`; annotations of one class are united."""
    options = _options(competition)
    names = names_of(competition)
    found = read_exports(competition, images, options.files, lambda path: _entries(path, names))
    labels, faults = {}, []
    sizes = zip(images["height"].tolist(), images["width"].tolist(), strict=True)
    for image, size in zip(images["image"], sizes, strict=True):
        shapes, crowds = [], []
        for place, annotation, name in found[image].content:
            try:
                mask = _mask(annotation["segmentation"], size, options.coordinates, place)
            except InputFault as fault:
                faults.append(str(fault))
                continue
            if annotation.get("iscrowd"):
                crowds.append(mask)
            else:
                shapes.append((name, mask))
        if not faults:
            labels[image] = labels_of_shapes(competition, size, shapes, crowds)
    if faults:
        raise InputFault(listed(faults))
    return labels


def _options(competition: Competition) -> CocoLabels:
    assert isinstance(competition.labels, CocoLabels)
    return competition.labels


def _entries(path: Path, names: Sequence[str]) -> Iterator[ListedImage[list[Annotation]]]:
    """The images of a file with their annotations, none of which is without a mask."""
    content = label_json(path)
    pictures = _by_id(listed_in(content, "images", path, _FORM), path, "images")
    categories = _by_id(listed_in(content, "categories", path, _FORM), path, "categories")
    annotations: dict[Any, list[Annotation]] = {key: [] for key in pictures}
    faults, boxes, count = [], [], 0
    for number, one in enumerate(listed_in(content, "annotations", path, _FORM)):
        count += 1
        place = f"{path} annotation {number}"
        try:
            name = _category(one, pictures, categories, names, place)
        except InputFault as fault:
            faults.append(str(fault))
            continue
        if not one.get("segmentation"):
            boxes.append(f'{place}: no mask ("segmentation"), only a box')
        annotations[one["image_id"]].append((place, one, name))
    if len(boxes) == count > 0:
        raise InputFault(f"{path}: all {count} annotations are boxes, no masks; masks are needed")
    if faults or boxes:
        raise InputFault(listed([*faults, *boxes]))
    rings = (
        zip(ring[::2], ring[1::2], strict=False)
        for own in annotations.values()
        for _, one, _ in own
        for ring in (one["segmentation"] if isinstance(one["segmentation"], list) else ())
        if isinstance(ring, list)
    )
    refuse_shares(map(list, rings), path, mend="multiply them: COCO has pixels")
    for key, one in pictures.items():
        own = annotations[key]
        yield ListedImage(f"{path} images", *_named(one, path), content=own, empty=not own)


def _by_id(rows: list[Any], path: Path, what: str) -> dict[Any, dict[str, Any]]:
    """Images or categories by their id, each there once."""
    found: dict[Any, dict[str, Any]] = {}
    for number, row in enumerate(rows):
        key = row.get("id") if isinstance(row, dict) else None
        if not isinstance(key, int | str):
            raise InputFault(f"{path} {what} {number}: no id; found {row!r:.80}")
        if key in found:
            raise InputFault(f"{path} {what} {number}: the id {key!r} is there twice")
        found[key] = row
    return found


def _named(picture: Mapping[str, Any], path: Path) -> tuple[str, tuple[int, int] | None]:
    """File name and (height, width) of one of "images"."""
    name, height, width = (picture.get(key) for key in ("file_name", "height", "width"))
    if not isinstance(name, str) or not name:
        raise InputFault(f"{path} images: id {picture['id']!r} has no file_name")
    if height is None and width is None:
        return name, None
    if not (isinstance(height, int) and isinstance(width, int)):
        raise InputFault(f"{path} images: {name!r} has height {height!r} and width {width!r}")
    return name, (height, width)


def _category(
    annotation: Any,
    pictures: Mapping[Any, Any],
    categories: Mapping[Any, Any],
    names: Sequence[str],
    place: str,
) -> str:
    """The name of what the annotation is of; InputFault unless its image and category are known."""
    if not isinstance(annotation, dict):
        raise InputFault(f"{place}: expected an object, found {annotation!r:.80}")
    for key, known in (("image_id", pictures), ("category_id", categories)):
        value = annotation.get(key)
        if not isinstance(value, int | str) or value not in known:
            raise InputFault(f"{place}: {key} {value!r} is not in the file's lists")
    return known_name(categories[annotation["category_id"]].get("name"), names, place)


def _mask(segmentation: Any, size: tuple[int, int], coordinates: Coordinates, place: str) -> Runs:
    """Runs (H, W) of polygons, or of counts."""
    if isinstance(segmentation, dict):
        return _counted(segmentation, size, place)
    if not isinstance(segmentation, list) or not all(isinstance(r, list) for r in segmentation):
        raise InputFault(
            f"{place}: segmentation {segmentation!r:.60} is neither a list of polygons "
            "[[x1, y1, …], …] nor counts"
        )
    polygons = []
    for ring in segmentation:
        if len(ring) % 2 or len(ring) < _LEAST_NUMBERS:
            raise InputFault(
                f"{place}: a polygon of {len(ring)} numbers; expected x and y of three points or more"
            )
        polygons.append([[x, y] for x, y in zip(ring[::2], ring[1::2], strict=True)])
    return drawn(polygons, size, coordinates, place)


def _counted(segmentation: Mapping[str, Any], size: tuple[int, int], place: str) -> Runs:
    counts, found = segmentation.get("counts"), segmentation.get("size")
    if found != list(size):
        raise InputFault(f"{place}: counts of size {found!r}; its image has {list(size)}")
    try:
        if isinstance(counts, str):
            counts = counts_from_text(counts)
        elif not isinstance(counts, list):
            raise InputFault(f"counts {counts!r:.60}; expected a list or a text")
        return runs_from_counts(counts, size, "columns")
    except InputFault as fault:
        raise InputFault(f"{place}: {fault}") from fault
