"""How mask images code their classes: from their pixels."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from competition.data.images import file_facts, image_size, page_count, read_image, read_index
from competition.data.pages import Page, file_and_page, may_have_pages, page_path
from competition.data.pixel_labels import value_counts
from competition.errors import InputFault
from competition.masks import Runs
from competition.masks.morphology import components
from competition.workspace import file_state

_LOOKED_AT = 8
"""Files by which masks are told from images."""

_PIECES_IN = 60
"""Masks in which the pieces of each value are counted."""

_MOST_COLOURS = 40
_MOST_VALUES = 64
_SMEARED = 16
"""How far JPEG takes a value from 0 or from the highest."""

VOID = (255, 254)
"""FoundValues beyond the classes that are usual for "does not count": VOC, Cityscapes, ADE20K."""


@dataclass(frozen=True)
class Coding:
    """What the pixels of mask images are.

    kind: nonzero (0 and one other value), index, colours, objects (numbers that go on from image to
    image), smeared (JPEG of two values); values: pixels of each value, of index and objects; colours:
    pixels of each colour "#rrggbb"; palette: colour of an index, where files have one; present: share
    of the images that have value 0.
    """

    kind: str
    values: dict[int, int] = field(default_factory=dict)
    colours: dict[str, int] = field(default_factory=dict)
    palette: dict[int, str] = field(default_factory=dict)
    present: float = 1.0
    counts: frozenset[int] = frozenset()
    """Of index: how many values images have, where every image has 1 … k; else empty."""


def look_like_masks(root: Path, paths: Sequence[str]) -> bool:
    """Whether a few of these images have few values, as labels do and photographs do not.

    Damaged ones are passed over: they may be of either kind.
    """
    shown = slices_in(root, _spread(paths, _LOOKED_AT))
    whole = [path for path in _spread(shown, _LOOKED_AT) if _is_whole(root / path)]
    return bool(whole) and coding_of(root, whole) is not None


def _is_whole(path: Path) -> bool:
    """Whether an image can be read; of one slice of a file, as the numbers of a mask."""
    try:
        read_image(path) if file_and_page(path)[1] is None else read_index(path)
    except InputFault:
        return False  # its reader will name it
    return True


def slices_in(root: Path, paths: Sequence[str]) -> list[str]:
    """The images that lie in these files: the slices of those that hold several, else the files."""
    found = []
    for path in paths:
        whole = root / path
        count = _slices_of(whole, file_state(whole)) if may_have_pages(path) else 1
        several = [page_path(path, Page(number)) for number in range(count)]
        found += several if count > 1 else [path]
    return found


@lru_cache(maxsize=2**17)  # the search asks for the same files again and again
def _slices_of(path: Path, state: tuple[int, int]) -> int:
    """Of a file in this state; 1 for what is read as one image, and for what is damaged, which its
    reader will name.

    An array of three axes may be either; its channels are fewer than its rows, columns and slices.
    """
    try:
        image_size(path)
    except InputFault:
        with suppress(InputFault):
            return page_count(path)
        return 1
    if path.suffix.lower() != ".npy":
        return 1
    sides = np.load(path, mmap_mode="r").shape
    return sides[0] if len(sides) == 3 and sides[0] < sides[2] else 1


def coding_of(root: Path, paths: Sequence[str]) -> Coding | None:
    """The coding of these mask images, of all their slices; None where they are none."""
    paths = slices_in(root, paths)
    values: Counter[int] = Counter()
    colours: Counter[str] = Counter()
    palette: dict[int, str] = {}
    sets: Counter[frozenset[int]] = Counter()
    most, zeros, smeared = 0, 0, False
    for path in paths:
        try:
            facts = file_facts(root / path)
            if facts.format == "JPEG":
                if not _is_smeared(read_image(root / path)):
                    return None
                smeared = True
                continue
            index = _index(root / path)
            if index is None:
                colours.update(_colour_counts(read_image(root / path)))
                if len(colours) > _MOST_COLOURS:
                    return None
                continue
        except InputFault:
            return None
        found, counts = value_counts(index)
        if len(found) > _MOST_VALUES and (found != np.arange(len(found)) + found[0]).any():
            return None
        values.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        sets[frozenset(found[found != 0].tolist())] += 1
        most = max(most, int((found != 0).sum()))
        zeros += int(found[0] == 0)
        if facts.mode == "P":
            palette |= _palette(index, read_image(root / path), found)
    if smeared:
        return None if values or colours else Coding("smeared")
    if colours:
        return None if values else Coding("colours", colours=dict(colours))
    present = zeros / max(1, len(paths))
    if most <= 1 and _is_one_class({value for value in values if value}):
        return Coding("nonzero", dict(values), palette=palette, present=present)
    if max(values) > 255 or len(values) > _MOST_VALUES:
        return Coding("objects", dict(values)) if min(values) == 0 else None
    owners = Counter(value for several, n in sets.items() for value in several for _ in range(n))
    if len(owners) > len(paths) and set(owners.values()) == {1}:
        return Coding("objects", dict(values))
    counted = all(max(several, default=0) == len(several) for several in sets)
    counts = frozenset(len(several) for several in sets if several and counted)
    return Coding("index", dict(values), palette=palette, present=present, counts=counts)


def may_number_objects(root: Path, paths: Sequence[str], coding: Coding) -> bool:
    """Whether the values may as well be those of objects: 1 … k in every image, a piece each."""
    if len(coding.counts) < 2:
        return False
    pieces: list[int] = []
    for path in _spread(slices_in(root, paths), _PIECES_IN):
        index = read_index(root / path)
        count = int(index.max())
        found = components(Runs.from_label_map(index.astype(np.int64), count))
        pieces += np.bincount(found.classes, minlength=count).tolist()
    return sum(count == 1 for count in pieces) > 0.95 * len(pieces)


def _is_one_class(values: set[int]) -> bool:
    """Whether these are what different tools write for "inside", not numbers of classes."""
    return len(values) <= 1 or values <= {1, 255, 65535}


def _index(path: Path) -> np.ndarray | None:
    """The numbers of a mask; None for a colour picture."""
    try:
        return read_index(path)
    except InputFault as fault:
        if "colour picture" in str(fault):
            return None
        raise


def _is_smeared(pixels: np.ndarray) -> bool:
    """Whether an image is two greys but for what JPEG does to their border.

    A third grey would have an even area: 5 × 5 pixels that differ little and are neither.
    """
    grey = pixels.max(axis=2)
    if (pixels.max(axis=2) - pixels.min(axis=2) > _SMEARED).mean() > 0.01:
        return False
    high = int(grey.max())
    between = (grey > _SMEARED) & (grey < high - _SMEARED)
    square = np.ones((5, 5), np.uint8)
    lowest, highest = cv2.erode(grey, square), cv2.dilate(grey, square)
    even = highest - lowest < _SMEARED
    third = even & (lowest > 2 * _SMEARED) & (highest < high - 2 * _SMEARED)
    return high < _SMEARED or (high > 128 and float(between.mean()) < 0.05 and not third.any())


def _colour_counts(pixels: np.ndarray) -> dict[str, int]:
    """Pixels of each colour, as far as there are few."""
    packed = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    found, counts = np.unique(packed, return_counts=True)
    found, counts = found[: _MOST_COLOURS + 1], counts[: _MOST_COLOURS + 1]
    return {f"#{c:06x}": n for c, n in zip(found.tolist(), counts.tolist(), strict=True)}


def _palette(index: np.ndarray, pixels: np.ndarray, values: np.ndarray) -> dict[int, str]:
    """The colour that an image shows for each of its values."""
    shown = {}
    for value in values.tolist():
        red, green, blue = pixels[index == value][0].tolist()
        shown[value] = f"#{red:02x}{green:02x}{blue:02x}"
    return shown


def _spread(paths: Sequence[str], count: int) -> Sequence[str]:
    return paths[:: max(1, -(-len(paths) // count))]
