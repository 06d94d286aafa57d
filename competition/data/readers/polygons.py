"""Polygons as annotation tools write them: a JSON file an image."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from competition.data.csv_text import closest
from competition.data.readers.file_per_image import pattern_files, read_files
from competition.errors import InputFault
from competition.masks import Runs, runs_from_polygons
from competition.spec import Competition, PolygonLabels


def files(competition: Competition, images: pd.DataFrame) -> list[Path]:
    """See `readers`."""
    return pattern_files(competition, images, _options(competition).files)


def read(competition: Competition, images: pd.DataFrame) -> dict[str, Runs]:
    """See `readers`."""
    return read_files(competition, images, _options(competition).files, _read_polygons)


def _options(competition: Competition) -> PolygonLabels:
    assert isinstance(competition.labels, PolygonLabels)
    return competition.labels


def _read_polygons(competition: Competition, path: Path, size: tuple[int, int]) -> Runs:
    """Runs (K, H, W) of `{"annotations": [{"label": …, "points": [[x, y], …]}, …]}`.

    Polygons of one class are united, each filled on its own: overlap is no hole.
    """
    polygons: dict[str, list[Any]] = {name: [] for name in competition.classes}
    masks, faults = [], []
    for index, annotation in enumerate(_annotations(path)):
        try:
            name, points = _polygon(annotation, f"{path} annotation {index}", competition.classes)
            polygons[name].append(points)
        except InputFault as fault:
            faults.append(str(fault))
    if faults:
        raise InputFault("\n".join(faults))
    for name, outlines in polygons.items():
        try:
            masks.append(runs_from_polygons(outlines, size))
        except InputFault as fault:
            raise InputFault(f"{path}: class {name!r}: {fault}") from fault
    return Runs.stack(masks)


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
