"""What readers of annotation tools share: shapes of named classes, drawn into the labels of an image."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from competition.data.csv_text import closest
from competition.data.pixel_labels import PixelLabels
from competition.errors import InputFault
from competition.masks import Runs, runs_from_polygons
from competition.masks.morphology import boundary
from competition.masks.polygons import Coordinates
from competition.spec import Competition, NamedLabels

_LEAST_INSIDE = 0.5
"""Of a polygon's bounding box, in its image."""


def names_of(competition: Competition) -> tuple[str, ...]:
    """What a shape may be of: the classes, and then what is ignored."""
    labels = competition.labels
    return (*competition.classes, *(labels.ignore if isinstance(labels, NamedLabels) else ()))


def known_name(name: Any, names: Sequence[str], place: str) -> str:
    """The name, if a shape may be of it; `names` as `names_of` has them."""
    if not isinstance(name, str) or name not in names:
        raise InputFault(
            f"{place}: no class {name!r}{closest(str(name), names)}; classes are {list(names)}"
        )
    return name


def labels_of_shapes(
    competition: Competition,
    size: tuple[int, int],
    shapes: Iterable[tuple[str, Runs]],
    ignored: Iterable[Runs] = (),
) -> PixelLabels:
    """Shapes (name, Runs (H, W)) as labels: those of one name united, those of ignored names ignored.

    Where classes exclude each other, pixels that neighbours share by their outlines alone stay with the
    first of them. ignored: further masks of pixels that do not count.
    """
    names = names_of(competition)
    parts: dict[str, list[Runs]] = {name: [] for name in names}
    for name, mask in shapes:
        parts[name].append(mask)
    classes = [_union(parts[name], size) for name in competition.classes]
    if competition.exclusive:
        classes = _without_shared_outlines(classes)
    others = [*ignored, *(mask for name in names[len(classes) :] for mask in parts[name])]
    return PixelLabels.of(Runs.stack(classes), _union(others, size) if others else None)


def _union(masks: Sequence[Runs], size: tuple[int, int]) -> Runs:
    if not masks:
        return Runs.empty(size)
    starts = np.concatenate([mask.starts for mask in masks])
    stops = np.concatenate([mask.stops for mask in masks])
    return Runs.from_unsorted(starts, stops, size)


def _without_shared_outlines(masks: list[Runs]) -> list[Runs]:
    """Masks (H, W) of classes that exclude each other: outlines that two have in common part them."""
    taken, result = Runs.empty(masks[0].shape), []
    for mask in masks:
        shared = mask & taken
        alone = shared if len(shared - boundary(mask)) == 0 else Runs.empty(mask.shape)
        result.append(mask - alone)
        taken = taken | mask
    return result


def drawn(
    polygons: Sequence[Any], size: tuple[int, int], coordinates: Coordinates, place: str
) -> Runs:
    """Runs (H, W): the union of polygons, lists of [x, y] in pixels, each filled alone.

    InputFault, with the place, for what is no polygon, or lies mostly out of the image.
    """
    for points in polygons:
        refuse_other_frame(points, size, place)
    try:
        return runs_from_polygons(polygons, size, coordinates)
    except InputFault as fault:
        raise InputFault(f"{place}: {fault}") from fault


def vertices_of(points: Any) -> np.ndarray:
    """float64 (N, 2), empty where they are none: what else is wrong, `runs_from_polygons` says."""
    try:
        found = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        found = np.empty((0, 2))
    return found if found.ndim == 2 and found.shape[1] == 2 else np.empty((0, 2))


def holding_pixels(points: Any) -> Any:
    """The pixels [x, y] that points lie in: what tools draw that cut off the decimals of vertices."""
    vertices = vertices_of(points)
    return np.floor(vertices) if len(vertices) else points


def placed(mask: np.ndarray, corner: tuple[int, int], size: tuple[int, int], place: str) -> Runs:
    """Runs (H, W) of a bool mask (h, w) whose first pixel is at `corner` (top, left) of the image."""
    (top, left), (height, width) = corner, mask.shape
    if top < 0 or left < 0 or top + height > size[0] or left + width > size[1]:
        raise InputFault(
            f"{place}: a mask of {height} × {width} (height × width) at top {top}, left {left} does "
            f"not lie in its image of {size[0]} × {size[1]}"
        )
    whole = np.zeros(size, bool)
    whole[top : top + height, left : left + width] = mask
    return Runs.from_dense(whole)


def refuse_other_frame(points: Any, size: tuple[int, int], place: str) -> None:
    """An annotator's hand slips over the edge; most of a polygon beyond it was drawn elsewhere."""
    vertices = vertices_of(points)
    if len(vertices) < 3 or not np.isfinite(vertices).all():
        return
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    inside = np.clip(high, 0, size[::-1]) - np.clip(low, 0, size[::-1])
    if np.prod(inside) < _LEAST_INSIDE * np.prod(high - low):
        raise InputFault(
            f"{place}: most of the polygon lies outside of its image of {size[0]} × {size[1]} (height "
            f"× width), x up to {high[0]:g} and y up to {high[1]:g}: was it drawn on another size?"
        )


def refuse_shares(polygons: Iterable[Any], path: Path, *, mend: str) -> None:
    """Polygons that all lie in one pixel are shares of the image's size; mend: what to do then."""
    seen = False
    for vertices in map(vertices_of, polygons):
        if len(vertices) > 2 and not (vertices.min() >= 0 and vertices.max() <= 1):
            return
        seen = seen or len(vertices) > 2
    if seen:
        raise InputFault(
            f"{path}: all polygons lie within 0 to 1, in one pixel: if these are shares of the image's "
            f"size, {mend}"
        )


def label_json(path: Path) -> Any:
    """What a JSON file holds; NaN and infinity are refused."""
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=_no_constant)
    except FileNotFoundError:
        raise InputFault(f"{path} does not exist") from None
    except OSError as error:
        raise InputFault(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputFault(f"{path} is not whole JSON: {error}") from error
    except ValueError as error:
        raise InputFault(f"{path}: {error}") from error


def _no_constant(text: str) -> float:
    raise ValueError(f"a coordinate is {text}; expected finite numbers")


def listed_in(content: Any, key: str, place: object, form: str) -> list[Any]:
    """The list under `key` of a JSON object; InputFault, saying what `form` is expected, without it."""
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise InputFault(f'{place} has no list "{key}"; expected {form}')
    return found
