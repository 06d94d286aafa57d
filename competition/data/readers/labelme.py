"""labelme: a JSON file an image, with polygons, rectangles, circles and masks.

https://github.com/wkentaro/labelme: its own masks (`shape_to_mask`) are drawn by Pillow, which takes the
pixel that a vertex lies in, and whose outlines belong to the polygon; so do these where coordinates are
"centres". A mask is a PNG for the pixels from its first to its last point, both included.
"""

import base64
import binascii
from pathlib import Path
from typing import Any

import numpy as np
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
    refuse_shares,
    vertices_of,
)
from competition.errors import InputFault
from competition.masks import Runs
from competition.masks.polygons import Coordinates
from competition.spec import Competition, LabelmeLabels

_READ = ("polygon", "rectangle", "circle", "mask")


def files(competition: Competition, images: pd.DataFrame) -> list[Path]:
    """See `readers`."""
    return pattern_files(competition, images, _options(competition).files)


def read(competition: Competition, images: pd.DataFrame) -> dict[str, PixelLabels]:
    """See `readers`; shapes of one class are united."""
    return read_files(competition, images, _options(competition).files, _read_file)


def _options(competition: Competition) -> LabelmeLabels:
    assert isinstance(competition.labels, LabelmeLabels)
    return competition.labels


def _read_file(competition: Competition, path: Path, size: tuple[int, int]) -> PixelLabels:
    content = label_json(path)
    found = listed_in(content, "shapes", path, '{"shapes": [...]}')
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if isinstance(height, int) and isinstance(width, int):
        require_size((height, width), size, f"{path} (imageHeight, imageWidth)")
    names, coordinates = names_of(competition), _options(competition).coordinates
    shapes, polygons, faults = [], [], []
    for number, shape in enumerate(found):
        place = f"{path} shape {number}"
        try:
            if not isinstance(shape, dict):
                raise InputFault(f"{place}: expected an object, found {shape!r:.80}")
            name = known_name(shape.get("label"), names, place)
            shapes.append((name, _mask(shape, size, coordinates, place)))
            polygons.append(shape["points"])
        except InputFault as fault:
            faults.append(str(fault))
    if faults:
        raise InputFault("\n".join(faults))
    refuse_shares(polygons, path, mend="multiply them: labelme has pixels")
    return labels_of_shapes(competition, size, shapes)


def _mask(
    shape: dict[str, Any], size: tuple[int, int], coordinates: Coordinates, place: str
) -> Runs:
    """Runs (H, W) of one shape."""
    kind, points = shape.get("shape_type", "polygon"), shape.get("points")
    if kind not in _READ:
        raise InputFault(f"{place}: a {kind} has no pixels; expected one of {', '.join(_READ)}")
    if kind == "polygon":
        return _drawn(points, size, coordinates, place)
    corners = vertices_of(points)
    if corners.shape != (2, 2) or not np.isfinite(corners).all():
        raise InputFault(f"{place}: a {kind} of points {points!r:.80}; expected two")
    (left, top), (right, bottom) = corners.tolist()
    if kind == "rectangle":
        around = [(left, top), (right, top), (right, bottom), (left, bottom)]
        return _drawn(around, size, coordinates, place)
    if kind == "circle":
        return _disc(corners, size, coordinates)
    return _png(shape.get("mask"), holding_pixels(corners), size, place)


def _drawn(points: Any, size: tuple[int, int], coordinates: Coordinates, place: str) -> Runs:
    vertices = holding_pixels(points) if coordinates == "centres" else points
    return drawn([vertices], size, coordinates, place)


def _disc(points: np.ndarray, size: tuple[int, int], coordinates: Coordinates) -> Runs:
    """The pixels that lie around the first point, no farther than the second: by their centres, or by
    their numbers where coordinates are those of pixels."""
    (x, y), rim = points
    radius = np.hypot(*(rim - points[0]))
    middle = 0.5 if coordinates == "edges" else 0.0
    rows = np.arange(size[0])
    reach = radius**2 - (rows + middle - y) ** 2
    rows, half = rows[reach >= 0], np.sqrt(reach[reach >= 0])
    lefts = np.clip(np.ceil(x - half - middle), 0, size[1]).astype(np.int64)
    rights = np.clip(np.floor(x + half - middle) + 1, 0, size[1]).astype(np.int64)
    held = lefts < rights
    base = rows[held] * size[1]
    return Runs.from_unsorted(base + lefts[held], base + rights[held], size)


def _png(data: Any, corners: np.ndarray, size: tuple[int, int], place: str) -> Runs:
    """A mask for the pixels between two corners [x, y], both included."""
    try:
        content = base64.b64decode(data, validate=True)
        mask = png_mask(content, within=size)
    except (TypeError, ValueError, binascii.Error) as error:
        raise InputFault(f"{place}: {_said(error)}") from error
    (left, top), (right, bottom) = corners.astype(np.int64).tolist()
    if mask.shape != (bottom - top + 1, right - left + 1):
        raise InputFault(
            f"{place}: its mask has {mask.shape[0]} × {mask.shape[1]} pixels (height × width), and its "
            f"points stand for {bottom - top + 1} × {right - left + 1}"
        )
    return placed(mask, (top, left), size, place)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, InputFault) else f"its mask is no base64 text: {error}"
