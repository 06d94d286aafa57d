"""A download as it was looked at: its images, masks, csv files and lists of classes."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from competition.data.images import ENDINGS
from competition.data.pages import ending_of
from competition.errors import InputFault
from competition.new.class_names import ClassNames, files_an_image, lists_of_classes
from competition.new.label_files import pattern_of
from competition.new.mask_values import look_like_masks
from competition.new.survey import (
    MASK_WORDS,
    TEST_WORDS,
    Place,
    Table,
    all_files,
    parts_joined,
    places,
    tables,
)


@dataclass(frozen=True)
class Survey:
    """A download as it was looked at."""

    root: Path
    files: tuple[str, ...]
    images: tuple[Place, ...]
    masks: tuple[Place, ...]
    tables: tuple[Table, ...]
    names: tuple[ClassNames, ...]
    unread: tuple[str, ...]
    given: Mapping[str, Any]
    channels: int = 1
    """Files that an image consists of, as nnU-Net has them; the first ones are in `images`."""


def survey(root: Path, given: Mapping[str, Any]) -> Survey:
    """Look at all files of a download; images are told from masks by their pixels and names.

    given: values said beforehand, by dotted key: names of classes, for example, are then looked for
    nowhere else.
    """
    files = all_files(root, links=given.get("data.links") == "followed")
    found, unread = tables(root, files)
    every = [part for place in places(files) for part in _parted(root, place)]
    if not every:
        endings = Counter(PurePosixPath(path).suffix for path in files)
        most = (
            f", most of them {endings.most_common(1)[0][0] or 'without an ending'}" if files else ""
        )
        raise InputFault(
            f"{root} holds no image ({', '.join(ENDINGS)}): {len(files)} files{most}; unpack archives, "
            f"convert volumes to images, or name another folder by --data{_linked(root)}"
        )
    alike = {place.pattern: look_like_masks(root, place.paths) for place in every}
    masks = [place for place in every if alike[place.pattern] and _may_be_masks(place, every)]
    channels = files_an_image(root, files)
    images = [_first_channels(place, channels) for place in every if place not in masks]
    said = given.get("classes")
    names = (
        lists_of_classes(root, files, found)
        if said is None
        else [ClassNames("--set", tuple(map(str, said)))]
    )
    return Survey(
        root,
        tuple(files),
        (*images, *parts_joined(images)),
        (*masks, *parts_joined(masks)),
        tuple(found),
        tuple(names),
        tuple(unread),
        given,
        channels if any(FIRST_CHANNEL in place.pattern for place in images) else 1,
    )


FIRST_CHANNEL = "_0000."
"""How the name of the file of an image's first channel ends in nnU-Net, before its ending."""


def _first_channels(place: Place, channels: int) -> Place:
    """The files of the first channel alone, where the place has those of all of them."""
    numbered = [re.search(r"_(\d{4})\.", PurePosixPath(path).name) for path in place.paths]
    found = {int(one[1]) if one else -1 for one in numbered}
    if channels == 1 or found != set(range(channels)):
        return place
    first = tuple(path for path in place.paths if FIRST_CHANNEL in PurePosixPath(path).name)
    folder = place.pattern.rpartition("/")[0]
    return Place(f"{folder}/*_0000{ending_of(first[0])}", first)


def _linked(root: Path) -> str:
    """The end of a message where folders of the download are links."""
    found = [path.name for path in root.iterdir() if path.is_symlink() and path.is_dir()]
    return f"; {found[0]} is a link: --set data.links=followed follows it" if found else ""


_FEW = 8
"""Folders beside each other that may be kinds of files, and are no patients."""


def _parted(root: Path, place: Place) -> list[Place]:
    """A place of a few folders, of which some hold masks and some do not, as several: X and Y."""
    for level, part in enumerate(PurePosixPath(place.pattern).parts[:-1]):
        beside: dict[str, list[str]] = {}
        for path in place.paths if part == "*" else ():
            beside.setdefault(PurePosixPath(path).parts[level], []).append(path)
        if len(beside) <= _FEW and len({look_like_masks(root, own) for own in beside.values()}) > 1:
            return [one for own in beside.values() for one in places(own)]
    return [place]


def _may_be_masks(place: Place, every: Sequence[Place]) -> bool:
    """Whether the names allow it: drawn images may have few values too."""
    if place.words & MASK_WORDS:
        return True
    others = [one for one in every if one is not place]
    return any(
        pattern_of(place, other) is not None
        and not other.words & MASK_WORDS
        and not place.words & TEST_WORDS
        for other in others
        if len(other) <= len(place) or "*" in place.pattern[:-6]
    )
