"""Polygons as annotation tools write them: a JSON file an image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from competition.data.pixel_labels import PixelLabels
from competition.data.readers.file_per_image import pattern_files, read_files
from competition.data.readers.shapes import (
    known_name,
    label_json,
    labels_of_shapes,
    listed_in,
    names_of,
    refuse_other_frame,
    refuse_shares,
    vertices_of,
)
from competition.errors import InputFault
from competition.masks import runs_from_polygons
from competition.spec import Competition, PolygonLabels


def files(competition: Competition, images: pd.DataFrame) -> list[Path]:
    """See `readers`."""
    return pattern_files(competition, images, _options(competition).files)


def read(competition: Competition, images: pd.DataFrame) -> dict[str, PixelLabels]:
    """See `readers`."""
    return read_files(competition, images, _options(competition).files, _read_polygons)


def _options(competition: Competition) -> PolygonLabels:
    assert isinstance(competition.labels, PolygonLabels)
    return competition.labels


def _read_polygons(competition: Competition, path: Path, size: tuple[int, int]) -> PixelLabels:
    """Of `{"annotations": [{"label": …, "points": [[x, y], …]}, …]}`.

    Polygons of one class are united, each filled on its own: overlap is no hole. Where classes exclude
    each other, pixels that neighbours share by their outlines alone stay with the first of them.
    """
    options, faults = _options(competition), []
    names = names_of(competition)
    polygons: dict[str, list[Any]] = {name: [] for name in names}
    units = options.units
    for index, annotation in enumerate(_annotations(path)):
        place = f"{path} annotation {index}"
        try:
            name, points = _polygon(annotation, place, names)
            points = points if units == "pixels" else _in_pixels(points, size, place)
            refuse_other_frame(points, size, place)
            polygons[name].append(points)
        except InputFault as fault:
            faults.append(str(fault))
    if faults:
        raise InputFault("\n".join(faults))
    if units == "pixels":
        outlines = [one for own in polygons.values() for one in own]
        refuse_shares(outlines, path, mend='set units = "shares" in [labels]')
    masks = {}
    for name, outlines in polygons.items():
        try:
            masks[name] = runs_from_polygons(outlines, size, options.coordinates)
        except InputFault as fault:
            raise InputFault(f"{path}: class {name!r}: {fault}") from fault
    return labels_of_shapes(competition, size, masks.items())


def _in_pixels(points: Any, size: tuple[int, int], place: str) -> np.ndarray:
    shares = vertices_of(points)
    if len(shares) and not (shares.min() >= -0.5 and shares.max() <= 1.5):
        raise InputFault(
            f"{place}: coordinates up to {shares.max():g} are no shares of the image's size; set "
            'units = "pixels" in [labels]'
        )
    return shares * (size[1], size[0])


def _annotations(path: Path) -> list[Any]:
    return listed_in(label_json(path), "annotations", path, '{"annotations": [...]}')


def _polygon(annotation: Any, place: str, names: Sequence[str]) -> tuple[str, Any]:
    """(class, points (N, 2) as a list) of one annotation."""
    if not isinstance(annotation, dict) or not {"label", "points"} <= annotation.keys():
        raise InputFault(
            f"{place}: expected the keys 'label' and 'points', found {annotation!r:.80}"
        )
    name, kind = annotation["label"], annotation.get("type", "poly_seg")
    if kind != "poly_seg":
        raise InputFault(f"{place}: type {kind!r}; expected 'poly_seg'")
    return known_name(name, names, place), annotation["points"]
