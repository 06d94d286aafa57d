"""Polygons as annotation tools write them: a JSON file an image."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from competition.data.csv_text import closest
from competition.data.pixel_labels import PixelLabels
from competition.data.readers.file_per_image import pattern_files, read_files
from competition.errors import InputFault
from competition.masks import Runs, runs_from_polygons
from competition.masks.morphology import boundary
from competition.spec import Competition, PolygonLabels

_LEAST_INSIDE = 0.5
"""Of a polygon's bounding box, in its image."""


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
    names = (*competition.classes, *options.ignore)
    polygons: dict[str, list[Any]] = {name: [] for name in names}
    units = options.units
    for index, annotation in enumerate(_annotations(path)):
        place = f"{path} annotation {index}"
        try:
            name, points = _polygon(annotation, place, names)
            points = points if units == "pixels" else _in_pixels(points, size, place)
            _refuse_other_frame(points, size, place)
            polygons[name].append(points)
        except InputFault as fault:
            faults.append(str(fault))
    if faults:
        raise InputFault("\n".join(faults))
    if units == "pixels":
        _refuse_shares([one for outlines in polygons.values() for one in outlines], path)
    masks = {}
    for name, outlines in polygons.items():
        try:
            masks[name] = runs_from_polygons(outlines, size, options.coordinates)
        except InputFault as fault:
            raise InputFault(f"{path}: class {name!r}: {fault}") from fault
    classes = [masks[name] for name in competition.classes]
    classes = _without_shared_outlines(classes) if competition.exclusive else classes
    ignored = Runs.stack([masks[name] for name in options.ignore]) if options.ignore else None
    return PixelLabels.of(Runs.stack(classes), ignored)


def _coordinates(points: Any) -> np.ndarray:
    """float64 (N, 2), empty where they are none: what else is wrong, `runs_from_polygons` says."""
    try:
        found = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        found = np.empty((0, 2))
    return found if found.ndim == 2 and found.shape[1] == 2 else np.empty((0, 2))


def _in_pixels(points: Any, size: tuple[int, int], place: str) -> np.ndarray:
    shares = _coordinates(points)
    if len(shares) and not (shares.min() >= -0.5 and shares.max() <= 1.5):
        raise InputFault(
            f"{place}: coordinates up to {shares.max():g} are no shares of the image's size; set "
            'units = "pixels" in [labels]'
        )
    return shares * (size[1], size[0])


def _refuse_other_frame(points: Any, size: tuple[int, int], place: str) -> None:
    """An annotator's hand slips over the edge; most of a polygon beyond it was drawn elsewhere."""
    vertices = _coordinates(points)
    if len(vertices) < 3 or not np.isfinite(vertices).all():
        return
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    inside = np.clip(high, 0, size[::-1]) - np.clip(low, 0, size[::-1])
    if np.prod(inside) < _LEAST_INSIDE * np.prod(high - low):
        raise InputFault(
            f"{place}: most of the polygon lies outside of its image of {size[0]} × {size[1]} (height "
            f"× width), x up to {high[0]:g} and y up to {high[1]:g}: was it drawn on another size?"
        )


def _refuse_shares(outlines: list[Any], path: Path) -> None:
    found = [vertices for points in outlines if len(vertices := _coordinates(points)) > 2]
    if found and all(vertices.min() >= 0 and vertices.max() <= 1 for vertices in found):
        raise InputFault(
            f"{path}: all polygons lie within 0 to 1, in one pixel: if these are shares of the image's "
            'size, set units = "shares" in [labels]'
        )


def _without_shared_outlines(masks: list[Runs]) -> list[Runs]:
    """Masks (H, W) of classes that exclude each other: outlines that two have in common part them."""
    taken, result = Runs.empty(masks[0].shape), []
    for mask in masks:
        shared = mask & taken
        alone = shared if len(shared - boundary(mask)) == 0 else Runs.empty(mask.shape)
        result.append(mask - alone)
        taken = taken | mask
    return result


def _annotations(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=_no_constant)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputFault(f"{path} is not whole JSON: {error}") from error
    except ValueError as error:
        raise InputFault(f"{path}: {error}") from error
    annotations = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(annotations, list):
        raise InputFault(f'{path} has no list "annotations"; expected {{"annotations": [...]}}')
    return annotations


def _no_constant(text: str) -> float:
    raise ValueError(f"a coordinate is {text}; expected finite numbers")


def _polygon(annotation: Any, place: str, classes: Iterable[str]) -> tuple[str, Any]:
    """(class, points (N, 2) as a list) of one annotation."""
    if not isinstance(annotation, dict) or not {"label", "points"} <= annotation.keys():
        raise InputFault(
            f"{place}: expected the keys 'label' and 'points', found {annotation!r:.80}"
        )
    name, kind = annotation["label"], annotation.get("type", "poly_seg")
    if kind != "poly_seg":
        raise InputFault(f"{place}: type {kind!r}; expected 'poly_seg'")
    if name not in classes:
        raise InputFault(
            f"{place}: no class {name!r}{closest(str(name), classes)}; classes are {list(classes)}"
        )
    return name, annotation["points"]
