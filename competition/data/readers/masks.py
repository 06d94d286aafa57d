"""Mask images: one an image, 0 and another value, or the number of a class in each pixel."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from competition.data.pixel_labels import PixelLabels
from competition.data.readers.file_per_image import pattern_files, read_files, values_of_size
from competition.errors import InputFault
from competition.masks import Runs
from competition.spec import Competition, MaskLabels


def files(competition: Competition, images: pd.DataFrame) -> list[Path]:
    """See `readers`."""
    return pattern_files(competition, images, _options(competition).files)


def read(competition: Competition, images: pd.DataFrame) -> dict[str, PixelLabels]:
    """See `readers`."""
    options = _options(competition)
    return read_files(competition, images, options.files, partial(_read_mask, options))


def _options(competition: Competition) -> MaskLabels:
    assert isinstance(competition.labels, MaskLabels)
    return competition.labels


def _read_mask(
    options: MaskLabels, competition: Competition, path: Path, size: tuple[int, int]
) -> PixelLabels:
    """Of a mask image: > 0 is the one class, or value k the k-th."""
    values = values_of_size(path, size, threshold=options.threshold)
    if options.values == "nonzero":
        _check_two_values(values, path)
        return PixelLabels.of(Runs.from_dense(values[None]))
    _check_indices(values, len(competition.classes), path, options)
    labels, ignored = values.astype(np.int64) + 1 - options.first, None
    if options.ignore:
        found = np.isin(values, options.ignore)
        labels[found] = 0
        ignored = Runs.from_dense(found)
    return PixelLabels.of(Runs.from_label_map(labels, len(competition.classes)), ignored)


def _check_two_values(values: np.ndarray, path: Path) -> None:
    """Background and one other value; more tell of a smeared mask or of several classes."""
    found, counts = np.unique(values, return_counts=True)
    if len(found[found != 0]) > 1:
        raise InputFault(
            f"{path} has {len(found)} values ({_counted(found, counts)}); a mask of one class has 0 "
            "and one other: set threshold in [labels] (1: every value above 0), or values = 'index'"
            + _perhaps_ignored(found, "and add")
        )


def _check_indices(values: np.ndarray, classes: int, path: Path, options: MaskLabels) -> None:
    found, counts = np.unique(values, return_counts=True)
    first = options.first
    last = classes - 1 + first
    strange = ((found < 0) | (found > last)) & ~np.isin(found, options.ignore)
    if strange.any():
        meant = "0 is background and k the k-th" if first else "0 is the first"
        raise InputFault(
            f"{path} has values out of 0…{last}: {_counted(found[strange], counts[strange])}; "
            f"{meant} of {classes} classes (first = {first} in [labels])"
            + _perhaps_ignored(found[strange], "add", options.ignore)
        )


_USUALLY_IGNORED = (254, 255)
"""Values by which PASCAL VOC, Cityscapes, ADE20K and others mark what does not count."""


def _perhaps_ignored(found: np.ndarray, how: str, already: tuple[int, ...] = ()) -> str:
    """The key that may be missing, where one of the usual values is among these."""
    usual = [value for value in _USUALLY_IGNORED if value in found]
    if not usual:
        return ""
    values = sorted({*usual, *already})
    written = str(values[0]) if len(values) == 1 else str(values)
    return f"; {how} ignore = {written} to [labels] if it means 'does not count'"


def _counted(values: np.ndarray, counts: np.ndarray) -> str:
    """`7: 12 pixels, 8: 1 pixels, …` of the first values."""
    parts = [f"{v}: {n} px" for v, n in zip(values[:8].tolist(), counts[:8].tolist(), strict=True)]
    return ", ".join(parts) + (", …" if len(values) > 8 else "")
