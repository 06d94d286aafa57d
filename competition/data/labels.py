"""Labels as the organisers code them (polygons, run-length csv, mask images) → `Runs` per image."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from competition.data.catalog import with_labels
from competition.data.images import read_index, safe_path
from competition.data.label_rows import read_rows
from competition.data.tables import closest, hints, read_csv_text
from competition.errors import InputFault, listed
from competition.masks import Runs, runs_from_polygons
from competition.spec import Competition, MaskLabels, PolygonLabels, RleLabels

__all__ = ["closest", "label_files", "read_csv_text", "read_labels"]


def read_labels(competition: Competition, catalog: pd.DataFrame) -> dict[str, Runs]:
    """Runs (K, H, W) of every training and extra image, at its own size; K and its order are the spec's.

    Every fault is found before InputFault lists them: label files or rows that are missing, that
    belong to no image or stand twice, classes that the spec does not know (with the nearest name),
    texts and polygons that do not fit the image, masks of another size.
    """
    images = with_labels(catalog)
    match competition.labels:
        case RleLabels():
            return read_rows(competition, images)
        case PolygonLabels() as options:
            return _read_files(competition, images, options.files, _read_polygons)
        case MaskLabels() as options:
            return _read_files(competition, images, options.files, partial(_read_mask, options))


def label_files(competition: Competition, catalog: pd.DataFrame) -> list[Path]:
    """The files that `read_labels` reads, whether they exist or not; in the catalog's order."""
    options = competition.labels
    if isinstance(options, RleLabels):
        return [safe_path(competition.root, options.file)]
    images = with_labels(catalog)
    return [competition.root / _label_path(options.files, path) for path in images["path"]]


Reader = Callable[[Competition, Path, tuple[int, int]], Runs]


def _read_files(
    competition: Competition, images: pd.DataFrame, pattern: str, read: Reader
) -> dict[str, Runs]:
    """One label file an image, named by `pattern` and read by `read`.

    The set of files must be that of the images.
    """
    paths = [_label_path(pattern, path) for path in images["path"]]
    files = [safe_path(competition.root, path) for path in paths]
    strange = _file_set_faults(competition.root, pattern, paths, images["path"].tolist())
    labels, faults = {}, []
    sizes = zip(images["height"].tolist(), images["width"].tolist(), strict=True)
    for image, file, size in zip(images["image"], files, sizes, strict=True):
        if not file.is_file():
            continue  # among the strange ones
        try:
            labels[image] = read(competition, file, size)
        except InputFault as fault:
            faults.extend(str(fault).splitlines())
    if strange or faults:
        raise InputFault("\n".join(listed(kind) for kind in (strange, faults) if kind))
    return labels


def _label_path(pattern: str, image_path: str) -> str:
    """The label file of an image, below root: {folder} and {stem} are those of the image."""
    image = PurePosixPath(image_path)
    return _filled(pattern, folder=image.parent.name, stem=image.stem)


def _filled(pattern: str, *, folder: str, stem: str) -> str:
    # str.replace, since a template language would also run what stands in odd file names
    return pattern.replace("{folder}", folder).replace("{stem}", stem)


def _file_set_faults(root: Path, pattern: str, paths: list[str], images: list[str]) -> list[str]:
    """Images without a label file, files that several images share, files that are left over."""
    faults = [
        f"label file {path!r} of image {image!r} does not exist"
        for path, image in zip(paths, images, strict=True)
        if not (root / path).is_file()
    ]
    faults += [
        f"label file {path!r} is that of {count} images; files in [labels] must tell them apart"
        for path, count in Counter(paths).items()
        if count > 1
    ]
    there = {
        path.relative_to(root).as_posix()
        for path in root.glob(_filled(pattern, folder="*", stem="*"))
        if not path.name.startswith(".")
    }
    orphans = sorted(there - set(paths))
    return faults + [
        f"label file {path!r} belongs to no training image{hint}"
        for path, hint in zip(orphans, hints(orphans, paths), strict=True)
    ]


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


def _read_mask(
    options: MaskLabels, competition: Competition, path: Path, size: tuple[int, int]
) -> Runs:
    """Runs (K, H, W) of a mask image: > 0 is the one class, or value k the k-th."""
    values = read_index(path, threshold=options.threshold)
    if values.shape != size:
        hint = " (transposed?)" if values.shape == size[::-1] else ""
        raise InputFault(
            f"{path} has {values.shape[0]} × {values.shape[1]} pixels (height × width) and its image "
            f"{size[0]} × {size[1]}{hint}"
        )
    if options.values == "nonzero":
        _check_two_values(values, path)
        return Runs.from_dense(values[None])
    _check_indices(values, len(competition.classes), path)
    return Runs.from_label_map(values, len(competition.classes))


def _check_two_values(values: np.ndarray, path: Path) -> None:
    """Background and one other value; more tell of a smeared mask or of several classes."""
    found, counts = np.unique(values, return_counts=True)
    if len(found[found != 0]) > 1:
        raise InputFault(
            f"{path} has {len(found)} values ({_counted(found, counts)}); a mask of one class has 0 "
            "and one other: set threshold in [labels] (1: every value above 0), or values = 'index'"
        )


def _check_indices(values: np.ndarray, classes: int, path: Path) -> None:
    found, counts = np.unique(values, return_counts=True)
    strange = (found < 0) | (found > classes)
    if strange.any():
        raise InputFault(
            f"{path} has values out of 0…{classes}: {_counted(found[strange], counts[strange])}; "
            f"0 is background and k the k-th of {classes} classes"
        )


def _counted(values: np.ndarray, counts: np.ndarray) -> str:
    """`7: 12 pixels, 8: 1 pixels, …` of the first values."""
    parts = [f"{v}: {n} px" for v, n in zip(values[:8].tolist(), counts[:8].tolist(), strict=True)]
    return ", ".join(parts) + (", …" if len(values) > 8 else "")
