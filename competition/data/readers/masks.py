"""Mask images: one an image, 0 and another value, or the number of a class in each pixel."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from competition.data.images import read_index
from competition.data.readers.file_per_image import pattern_files, read_files
from competition.errors import InputFault
from competition.masks import Runs
from competition.spec import Competition, MaskLabels


def files(competition: Competition, images: pd.DataFrame) -> list[Path]:
    """See `readers`."""
    return pattern_files(competition, images, _options(competition).files)


def read(competition: Competition, images: pd.DataFrame) -> dict[str, Runs]:
    """See `readers`."""
    options = _options(competition)
    return read_files(competition, images, options.files, partial(_read_mask, options))


def _options(competition: Competition) -> MaskLabels:
    assert isinstance(competition.labels, MaskLabels)
    return competition.labels


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
    _check_indices(values, len(competition.classes), path, first=options.first)
    return Runs.from_label_map(
        values.astype(np.int64) + 1 - options.first, len(competition.classes)
    )


def _check_two_values(values: np.ndarray, path: Path) -> None:
    """Background and one other value; more tell of a smeared mask or of several classes."""
    found, counts = np.unique(values, return_counts=True)
    if len(found[found != 0]) > 1:
        raise InputFault(
            f"{path} has {len(found)} values ({_counted(found, counts)}); a mask of one class has 0 "
            "and one other: set threshold in [labels] (1: every value above 0), or values = 'index'"
        )


def _check_indices(values: np.ndarray, classes: int, path: Path, *, first: int) -> None:
    found, counts = np.unique(values, return_counts=True)
    last = classes - 1 + first
    strange = (found < 0) | (found > last)
    if strange.any():
        meant = "0 is background and k the k-th" if first else "0 is the first"
        raise InputFault(
            f"{path} has values out of 0…{last}: {_counted(found[strange], counts[strange])}; "
            f"{meant} of {classes} classes (first = {first} in [labels])"
        )


def _counted(values: np.ndarray, counts: np.ndarray) -> str:
    """`7: 12 pixels, 8: 1 pixels, …` of the first values."""
    parts = [f"{v}: {n} px" for v, n in zip(values[:8].tolist(), counts[:8].tolist(), strict=True)]
    return ", ".join(parts) + (", …" if len(values) > 8 else "")
