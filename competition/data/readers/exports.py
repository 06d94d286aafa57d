"""Label files of many images each, as annotation tools export them: which files, and whose images."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import eq
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

import pandas as pd

from competition.data.catalog import UNLABELLED_SPLITS, identity_of, named_images, sizes_of
from competition.data.csv_text import hints, image_id
from competition.data.images import safe_path
from competition.data.readers.file_per_image import files_below
from competition.errors import InputFault, listed
from competition.spec import Competition

Content = TypeVar("Content")


@dataclass(frozen=True)
class ListedImage(Generic[Content]):
    """What a label file says of one image: the image's name there, its (height, width), its shapes.

    size None: the file does not say. empty: there are no shapes.
    """

    place: str
    name: str
    size: tuple[int, int] | None
    content: Content
    empty: bool


def export_files(competition: Competition, pattern: str) -> list[Path]:
    """The files that a path or glob below root names, sorted; of a path whether it exists or not."""
    safe_path(competition.root, pattern, links=competition.links)
    if not {"*", "{"} & set(pattern):
        return [competition.root / pattern]
    paths = files_below(competition.root, pattern)
    return [safe_path(competition.root, path, links=competition.links) for path in paths]


def read_exports(
    competition: Competition,
    images: pd.DataFrame,
    pattern: str,
    parse: Callable[[Path], Iterable[ListedImage[Content]]],
) -> dict[str, ListedImage[Content]]:
    """The entry of each image in the files of `pattern`, each read by `parse`.

    InputFault lists images that are in no entry or in several, entries with shapes that are of no
    image, and sizes that are not those of the image's file. An entry's name is that of the file, with
    as many of its folders as it says.
    """
    paths = export_files(competition, pattern)
    if not paths:
        raise InputFault(f"no label file matches {pattern!r} below {competition.root}")
    entries, faults = [], []
    for path in paths:
        try:
            entries.extend(parse(path))
        except InputFault as fault:
            faults.extend(str(fault).splitlines())
    if faults:
        raise InputFault(listed(faults))
    found, strange = _matched(entries, images)
    faults = _of_no_image(competition, strange, images["path"].tolist())
    faults += _not_one_each(found, images, pattern)
    faults += _of_other_size(found, sizes_of(images))
    if faults:
        raise InputFault(listed(faults))
    return {image: own[0] for image, own in found.items()}


def _matched(
    entries: Iterable[ListedImage[Content]], images: pd.DataFrame
) -> tuple[dict[str, list[ListedImage[Content]]], list[ListedImage[Content]]]:
    """The entries of each image, and those that are of none.

    An image's path ends as the entry's name does, or the other way round; what is left is known by the
    file's name alone, if one image has it.
    """
    found: dict[str, list[ListedImage[Content]]] = {image: [] for image in images["image"]}
    by_name: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for image, path in zip(images["image"], images["path"], strict=True):
        by_name.setdefault(_parts(path)[-1], []).append((image, _parts(path)))
    left, strange = [], []
    for entry in entries:
        parts = _parts(entry.name)
        same = by_name.get(parts[-1], [])
        fits = [image for image, path in same if all(map(eq, reversed(path), reversed(parts)))]
        if len(fits) > 1:
            raise InputFault(
                f"{entry.place}: {entry.name!r} may be several images, such as {fits[0]!r} and "
                f"{fits[1]!r}: names in the label file need their folders"
            )
        if fits:
            found[fits[0]].append(entry)
        else:
            left.append((entry, [image for image, _ in same]))
    for entry, same in left:
        alone = len(same) == 1 and not found[same[0]]
        (found[same[0]] if alone else strange).append(entry)
    return found, strange


def _parts(name: str) -> tuple[str, ...]:
    """Folders and file name, one at least."""
    return PurePosixPath(image_id(name.replace("\\", "/"))).parts or (name,)


def _of_no_image(
    competition: Competition, strange: list[ListedImage[Any]], paths: list[str]
) -> list[str]:
    """Entries with shapes that are of no image, but for images that the competition file leaves out.

    Labels of test images and of unlabelled ones are let be: they count for nothing.
    """
    if not strange:
        return []
    known = named_images(competition)
    _, strange = _matched(strange, known[known["split"].isin(UNLABELLED_SPLITS)])
    excluded = {image_id(one) for one in competition.data.exclude}
    kind = competition.data.image_id
    strange = [
        entry
        for entry in strange
        if not entry.empty and image_id(identity_of(entry.name, kind)) not in excluded
    ]
    near = hints(
        [_parts(entry.name)[-1] for entry in strange], [_parts(path)[-1] for path in paths]
    )
    return [
        f"{entry.place}: labels of {entry.name!r}, which is no training image{hint}"
        for entry, hint in zip(strange, near, strict=True)
    ]


def _not_one_each(
    found: Mapping[str, list[ListedImage[Any]]], images: pd.DataFrame, pattern: str
) -> list[str]:
    """Images that no label file lists, or that are listed several times."""
    paths = dict(zip(images["image"], images["path"], strict=True))
    absent = [
        f"image {paths[image]!r} is not listed in {pattern!r}; one without labels is listed too, or "
        "left out by exclude in [data]"
        for image, own in found.items()
        if not own
    ]
    return absent + [
        f"{own[1].place}: {own[1].name!r} is listed again; it was in {own[0].place}"
        for own in found.values()
        if len(own) > 1
    ]


def _of_other_size(
    found: Mapping[str, list[ListedImage[Any]]], sizes: Mapping[str, tuple[int, int]]
) -> list[str]:
    faults = []
    for image, own in found.items():
        for entry in own:
            if entry.size in (None, sizes[image]):
                continue
            (height, width), true = entry.size or (0, 0), sizes[image]
            meant = "is it turned?" if true == (width, height) else "were the images resized?"
            faults.append(
                f"{entry.place}: {entry.name!r} has {height} × {width} pixels (height × width) there, "
                f"and its file {true[0]} × {true[1]}: {meant}"
            )
    return faults
