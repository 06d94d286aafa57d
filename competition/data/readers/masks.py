"""Mask images: 0 and another value, the number of a class, or its colour, in each pixel.

One an image, one for each of its classes, or several whose masks are united.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from competition.data.catalog import sizes_of
from competition.data.images import read_colours
from competition.data.pixel_labels import PixelLabels, value_counts
from competition.data.readers.file_per_image import (
    pattern_files,
    read_several,
    require_size,
    values_of_size,
)
from competition.errors import InputFault
from competition.masks import Runs
from competition.spec import Competition, MaskLabels, colour_code


def files(competition: Competition, images: pd.DataFrame) -> list[Path]:
    """See `readers`."""
    return pattern_files(competition, images, _options(competition).files)


def read(competition: Competition, images: pd.DataFrame) -> dict[str, PixelLabels]:
    """See `readers`."""
    options, sizes = _options(competition), sizes_of(images)
    found = read_several(
        competition, images, options.files, read_mask, positives_only=options.positives_only
    )
    return {image: _united(competition, parts, sizes[image]) for image, parts in found.items()}


def _united(
    competition: Competition,
    parts: Sequence[tuple[str | None, PixelLabels]],
    size: tuple[int, int],
) -> PixelLabels:
    """All masks of an image; the classes of what is a file of one class are (1, H, W)."""
    classes, ignored = Runs.empty((len(competition.classes), *size)), Runs.empty((1, *size))
    none = ignored
    for of_class, part in parts:
        mask = part.classes
        if of_class is not None:
            mask = Runs.stack([mask if name == of_class else none for name in competition.classes])
        classes, ignored = classes | mask, ignored | part.ignored
    return PixelLabels(classes, ignored)


def _options(competition: Competition) -> MaskLabels:
    assert isinstance(competition.labels, MaskLabels)
    return competition.labels


def read_mask(competition: Competition, path: Path, size: tuple[int, int]) -> PixelLabels:
    """Of a mask image: > 0 is its one class, value k the k-th, or each class has its colour."""
    options, classes = _options(competition), competition.classes
    if options.values == "colours":
        codes = read_colours(path)
        require_size(codes.shape, size, path)
        ignored = np.isin(codes, [colour_code(str(colour)) for colour in options.ignore])
        labels = _by_colour(codes, options, classes, path)
        return PixelLabels.of(Runs.from_label_map(labels, len(classes)), Runs.from_dense(ignored))
    return coded_mask(competition, values_of_size(path, size, threshold=options.threshold), path)


def coded_mask(competition: Competition, values: np.ndarray, path: Path) -> PixelLabels:
    """Of the numbers (H, W) of a mask, as `values` in `[labels]` has them; path: for messages."""
    options = _options(competition)
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


def _by_colour(
    codes: np.ndarray, options: MaskLabels, classes: Sequence[str], path: Path
) -> np.ndarray:
    """int64 (H, W): 0 background, k + 1 class k, by the colour of each pixel.

    Looked up once for each stretch of one colour.
    """
    none = (*options.background, *map(str, options.ignore))
    known = {0: 0} | {colour_code(colour): 0 for colour in none}
    known |= {colour_code(options.colours[name]): k for k, name in enumerate(classes, start=1)}
    colours = np.array(sorted(known))
    values = np.array([known[colour] for colour in colours.tolist()])
    flat = codes.reshape(-1)
    starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))
    lengths = np.diff(starts, append=flat.size)
    places = np.minimum(np.searchsorted(colours, flat[starts]), len(colours) - 1)
    strange = colours[places] != flat[starts]
    if strange.any():
        found, owner = np.unique(flat[starts][strange], return_inverse=True)
        counts = np.bincount(owner, lengths[strange]).astype(int)
        raise InputFault(_unknown_colours(path, found, counts, options))
    return np.repeat(values[places], lengths).reshape(codes.shape)


def _unknown_colours(path: Path, found: np.ndarray, counts: np.ndarray, options: MaskLabels) -> str:
    """The commonest colours that are of no class, each with the class whose colour is nearest."""
    order = np.argsort(-counts, kind="stable")
    parts = []
    for code, count in zip(found[order[:8]].tolist(), counts[order[:8]].tolist(), strict=True):
        name = min(
            options.colours, key=lambda one: _distance(code, colour_code(options.colours[one]))
        )
        parts.append(f"#{code:06x}: {count} px (nearest {name!r} {options.colours[name]})")
    more = ", …" if len(found) > 8 else ""
    return (
        f"{path} has {len(found)} colours of no class: {', '.join(parts)}{more}; add them to colours, "
        "background or ignore in [labels]"
    )


def _distance(first: int, second: int) -> int:
    """Between two colours: the squared differences of red, green and blue, added up."""
    return sum(((first >> shift & 255) - (second >> shift & 255)) ** 2 for shift in (16, 8, 0))


def _check_two_values(values: np.ndarray, path: Path) -> None:
    """Background and one other value; more tell of a smeared mask or of several classes."""
    found, counts = value_counts(values)
    if len(found[found != 0]) > 1:
        raise InputFault(
            f"{path} has {len(found)} values ({_counted(found, counts)}); a mask of one class has 0 "
            "and one other: set threshold in [labels] (1: every value above 0), or values = 'index'"
            + _perhaps_ignored(found, "and add")
        )


def _check_indices(values: np.ndarray, classes: int, path: Path, options: MaskLabels) -> None:
    found, counts = value_counts(values)
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


def _perhaps_ignored(found: np.ndarray, how: str, already: Sequence[int | str] = ()) -> str:
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
