"""Supervisely: a JSON file an image, with polygons that may have holes, and bitmaps.

https://docs.supervisely.com, "Supervisely annotation format", and the SDK of that name: a vertex
stands for the pixel that it lies in (decimals are cut off), outlines belong to the polygon, and holes
are cut out of it with their outlines. A bitmap is a PNG, deflated (zlib) and written in base64, whose
first pixel is at `origin` [x, y].
"""

import base64
import binascii
import zlib
from pathlib import Path
from typing import Any

import pandas as pd

from competition.data.images import png_mask
from competition.data.pixel_labels import PixelLabels
from competition.data.readers.file_per_image import pattern_files, read_files, require_size
from competition.data.readers.shapes import (
    drawn,
    holding_pixels,
    known_name,
    label_json,
    labels_of_shapes,
    listed_in,
    names_of,
    placed,
)
from competition.errors import InputFault
from competition.masks import Runs
from competition.masks.polygons import Coordinates
from competition.spec import Competition, SuperviselyLabels

_LARGEST_PNG = 2**28
"""Bytes that a bitmap may inflate to."""


def files(competition: Competition, images: pd.DataFrame) -> list[Path]:
    """See `readers`."""
    return pattern_files(competition, images, _options(competition).files)


def read(competition: Competition, images: pd.DataFrame) -> dict[str, PixelLabels]:
    """See `readers`; objects of one class are united."""
    return read_files(competition, images, _options(competition).files, _read_file)


def _options(competition: Competition) -> SuperviselyLabels:
    assert isinstance(competition.labels, SuperviselyLabels)
    return competition.labels


def _read_file(competition: Competition, path: Path, size: tuple[int, int]) -> PixelLabels:
    content = label_json(path)
    found = listed_in(content, "objects", path, '{"size": {...}, "objects": [...]}')
    there = content.get("size")
    if isinstance(there, dict) and isinstance(there.get("height"), int):
        require_size((there["height"], there.get("width", 0)), size, f"{path} (size)")
    names, coordinates = names_of(competition), _options(competition).coordinates
    shapes, faults = [], []
    for number, one in enumerate(found):
        place = f"{path} object {number}"
        try:
            if not isinstance(one, dict):
                raise InputFault(f"{place}: expected an object, found {one!r:.80}")
            name = known_name(one.get("classTitle"), names, place)
            shapes.append((name, _mask(one, size, coordinates, place)))
        except InputFault as fault:
            faults.append(str(fault))
    if faults:
        raise InputFault("\n".join(faults))
    return labels_of_shapes(competition, size, shapes)


def _mask(one: dict[str, Any], size: tuple[int, int], coordinates: Coordinates, place: str) -> Runs:
    """Runs (H, W) of one object."""
    kind = one.get("geometryType")
    if kind == "bitmap":
        return _bitmap(one.get("bitmap"), size, place)
    if kind != "polygon":
        raise InputFault(f"{place}: a {kind} is no mask; expected a polygon or a bitmap")
    points = one.get("points")
    rings = points if isinstance(points, dict) else {}
    exterior, interior = rings.get("exterior"), rings.get("interior", [])
    if not isinstance(exterior, list) or not isinstance(interior, list):
        raise InputFault(f'{place}: points {points!r:.80}; expected "exterior" and "interior"')
    if coordinates == "centres":
        exterior, interior = holding_pixels(exterior), [holding_pixels(ring) for ring in interior]
    holes = drawn(interior, size, coordinates, f"{place} interior")
    return drawn([exterior], size, coordinates, place) - holes


def _bitmap(bitmap: Any, size: tuple[int, int], place: str) -> Runs:
    data, origin = (
        bitmap.get(key) if isinstance(bitmap, dict) else None for key in ("data", "origin")
    )
    whole = (
        isinstance(origin, list) and len(origin) == 2 and all(isinstance(x, int) for x in origin)
    )
    if not isinstance(data, str) or not whole:
        raise InputFault(f'{place}: bitmap {bitmap!r:.80}; expected "data" and "origin" [x, y]')
    try:
        inflating = zlib.decompressobj()
        content = inflating.decompress(base64.b64decode(data, validate=True), _LARGEST_PNG)
        mask = png_mask(content, within=size)
    except InputFault as fault:
        raise InputFault(f"{place}: {fault}") from fault
    except (binascii.Error, zlib.error, ValueError) as error:
        raise InputFault(f"{place}: its bitmap is no deflated base64 text: {error}") from error
    return placed(mask, (origin[1], origin[0]), size, place)
