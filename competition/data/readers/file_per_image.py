"""Labels in files of their own for each image, named by a pattern with {folder} and {stem} of the image.

A pattern may hold {class} (a file for each class of the image) and * (several files, whatever tells them
apart): the masks of one image are then united. A slice of a file has that slice of the label file.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from glob import escape
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd

from competition.data.catalog import UNLABELLED_SPLITS, left_out, named_images
from competition.data.csv_text import hints
from competition.data.images import image_size, page_count, read_index, safe_path
from competition.data.nifti import require_same_grid
from competition.data.pages import (
    Page,
    file_and_page,
    file_of,
    is_nifti,
    may_have_pages,
    page_path,
    stem_of,
)
from competition.errors import InputFault, listed
from competition.spec import Competition, MaskLabels


class LabelFile(NamedTuple):
    """A label file: its path below root, the class that it is of, where the pattern names one, and which
    of its slices is the image's.
    """

    path: str
    of_class: str | None
    page: Page | None = None

    @property
    def place(self) -> str:
        """What is read: the file, or the slice of it."""
        return self.path if self.page is None else page_path(self.path, self.page)


FromFile = TypeVar("FromFile")

FileReader = Callable[[Competition, Path, tuple[int, int]], FromFile]
"""(competition, file, size of its image) → what it holds."""


def read_files(
    competition: Competition,
    images: pd.DataFrame,
    pattern: str,
    read: FileReader[FromFile],
    *,
    positives_only: bool = False,
    key: str = "files",
    others: Collection[str] = (),
) -> dict[str, FromFile]:
    """One label file an image, as `read_several` finds them; with `positives_only`, one at most."""
    if "*" in pattern or "{class}" in pattern:
        raise InputFault(
            f"{key} {pattern!r} in [labels]: one file an image is expected; several, by {{class}} or *, "
            "are for files of kind masks"
        )
    found = read_several(
        competition, images, pattern, read, positives_only=positives_only, key=key, others=others
    )
    return {image: own[0][1] for image, own in found.items() if own}


def read_several(
    competition: Competition,
    images: pd.DataFrame,
    pattern: str,
    read: FileReader[FromFile],
    *,
    positives_only: bool = False,
    key: str = "files",
    others: Collection[str] = (),
) -> dict[str, list[tuple[str | None, FromFile]]]:
    """What each label file of an image holds, with the class that the file is of.

    Every image has one at least, but with `positives_only`, and none is left over. key: of `[labels]`,
    where the pattern stands; others: names of files that may lie there and are no labels.
    """
    files = _files_of_images(competition, images, pattern)
    owned = dict(zip(images["path"], files, strict=True))
    strange = _file_set_faults(
        competition, (key, pattern), owned, positives_only=positives_only, others=others
    )
    labels, faults = {}, _page_faults(competition, owned)
    if faults:
        raise InputFault("\n".join(listed(kind) for kind in (strange, faults) if kind))
    sizes = zip(images["height"].tolist(), images["width"].tolist(), strict=True)
    for image, own, size in zip(images["image"], files, sizes, strict=True):
        labels[image] = []
        for file in own:
            if not (competition.root / file.path).is_file():
                continue  # among the strange ones, or a class that is not there
            try:
                held = read(competition, competition.root / file.place, size)
                labels[image].append((file.of_class, held))
            except InputFault as fault:
                faults.extend(str(fault).splitlines())
    if strange or faults:
        raise InputFault("\n".join(listed(kind) for kind in (strange, faults) if kind))
    return labels


def values_of_size(
    path: Path, size: tuple[int, int], *, threshold: int | None = None
) -> np.ndarray:
    """The numbers of a mask image, as `read_index` has them; InputFault unless it has this size."""
    values = read_index(path, threshold=threshold)
    require_size(values.shape, size, path)
    return values


def require_size(found: tuple[int, ...], size: tuple[int, int], place: object) -> None:
    """InputFault unless labels of (height, width) `found`, of this file or place, fit their image."""
    if found == size:
        return
    hint = " (transposed?)" if found == size[::-1] else ""
    raise InputFault(
        f"{place} has {found[0]} × {found[1]} pixels (height × width) and its image {size[0]} × "
        f"{size[1]}{hint}"
    )


def pattern_files(competition: Competition, images: pd.DataFrame, pattern: str) -> list[Path]:
    """The files that a pattern names, in the catalog's order; of several those that are there."""
    root = competition.root
    several = "{class}" in pattern or "*" in pattern
    named = _files_of_images(competition, images, pattern)
    paths = dict.fromkeys(file.path for files in named for file in files)  # slices share theirs
    return [root / path for path in paths if not several or (root / path).is_file()]


def pattern_places(competition: Competition, images: pd.DataFrame, pattern: str) -> list[Path]:
    """As `pattern_files`, but what is read for each image: of a file of slices one after another."""
    files = _files_of_images(competition, images, pattern)
    places = dict.fromkeys((file.path, file.place) for own in files for file in own)
    root = competition.root
    return [root / place for path, place in places if (root / path).is_file()]


def _files_of_images(
    competition: Competition, images: pd.DataFrame, pattern: str
) -> list[list[LabelFile]]:
    """The label files of each image: as they are named, there or not; of a * those that are there."""
    safe_path(competition.root, pattern, links=competition.links)
    classes = competition.classes if "{class}" in pattern else (None,)
    there = files_below(competition.root, pattern) if "*" in pattern else []
    found = []
    for path in images["path"]:
        own: list[LabelFile] = []
        page = file_and_page(path)[1]
        for name in classes:
            texts = _texts(pattern, _own(competition, path) | {"{class}": name})
            own += [
                LabelFile(file, name, page if may_have_pages(file) else None)
                for file in _named(texts, there)
            ]
        for file in own:
            safe_path(competition.root, file.path, links=competition.links)
        found.append(own)
    return found


def _page_faults(competition: Competition, files: Mapping[str, Sequence[LabelFile]]) -> list[str]:
    """Label files that have other slices than the file of their images, or lie otherwise in space.

    files: of each image, by its path.
    """
    root, faults = competition.root, []
    firsts = {  # of the slices that two files share
        (file_of(image), file.path): (image, file)
        for image, own in files.items()
        for file in own
        if file.page is not None and (root / file.path).is_file()
    }
    for (image_file, path), (image, file) in firsts.items():
        axis = None if file.page is None else file.page.axis
        try:
            count, there = (page_count(root / one, axis) for one in (path, image_file))
            if count != there:
                faults.append(
                    f"{root / path} has {count} slices and its images' file {image_file!r} {there}"
                )
                continue
            require_size(image_size(root / file.place), image_size(root / image), root / path)
            if is_nifti(image_file) and is_nifti(path):
                require_same_grid(root / path, root / image_file)
        except InputFault as fault:
            faults.append(str(fault))
    return faults


def _files_of_tests(
    competition: Competition, tests: pd.DataFrame, pattern: str
) -> list[list[LabelFile]]:
    """Label files of test images and of unlabelled ones, if there are any: they count for nothing,
    and are no fault.
    """
    part = competition.labels.part
    met = [part is None or part.of(file_of(path)) is not None for path in tests["path"]]
    return _files_of_images(competition, tests[np.array(met, bool)], pattern)


def _files_of_other_key(
    competition: Competition, known: pd.DataFrame, pattern: str
) -> list[list[LabelFile]]:
    """Masks of annotators may lie among the labels, and these among them."""
    labels = competition.labels
    if not isinstance(labels, MaskLabels) or labels.annotators is None:
        return []
    other = labels.annotators if pattern == labels.files else labels.files
    return _files_of_images(competition, known[~known["split"].isin(UNLABELLED_SPLITS)], other)


_PLACES = ("{folder}", "{stem}", "{part}", "{class}")
"""What a pattern may hold; the last one alone is not the image's own."""


def _own(competition: Competition, path: str) -> dict[str, str | None]:
    """What stands for the places of a pattern in an image's label files; {class} is open."""
    image, part = PurePosixPath(path), competition.labels.part
    found = None if part is None else part.of(file_of(path))
    if part is not None and found is None:
        raise InputFault(
            f"{path}: part in [labels] looks for {part.pattern!r}, which is not in this path"
        )
    return {"{folder}": image.parent.name, "{stem}": stem_of(path), "{part}": found}


def _texts(pattern: str, values: Mapping[str, str | None]) -> list[str]:
    """The texts of a file's name between which anything may stand: where the pattern has a *, and
    where a place of it has no value.

    Cut first and filled then: what stands in odd file names is no pattern.
    """
    for key in _PLACES:
        pattern = pattern if values.get(key) is not None else pattern.replace(key, "*")
    texts = pattern.split("*")
    for key in _PLACES:
        texts = [text.replace(key, values.get(key) or "") for text in texts]
    return texts


def _named(texts: Sequence[str], there: Sequence[str]) -> Iterator[str]:
    """The name that these texts make; where there are gaps between them, those of the sorted `there`."""
    if len(texts) == 1:
        yield texts[0]
        return
    whole = re.compile("[^/]*".join(map(re.escape, texts)))
    place = bisect_left(there, texts[0])
    while place < len(there) and there[place].startswith(texts[0]):
        if whole.fullmatch(there[place]):
            yield there[place]
        place += 1


def files_below(root: Path, pattern: str) -> list[str]:
    """Paths below root, sorted, of the files that a pattern meets, whatever its gaps and * stand for.

    Hidden ones are left out.
    """
    texts = _texts(pattern, {})
    whole = re.sub(r"\*+", "*", "*".join(map(escape, texts)))
    names = (path.relative_to(root) for path in root.glob(whole) if path.is_file())
    return sorted(name.as_posix() for name in names if not name.name.startswith("."))


def _file_set_faults(
    competition: Competition,
    named: tuple[str, str],
    files: dict[str, list[LabelFile]],
    *,
    positives_only: bool,
    others: Collection[str],
) -> list[str]:
    """Images without a label file, files that several images share, files that are left over.

    named: the key and its pattern; files: of each image, by its path.
    """
    root, (key, pattern) = competition.root, named
    absent = {
        image: own
        for image, own in files.items()
        if not any((root / file.path).is_file() for file in own)
    }
    if positives_only and len(absent) == len(files):
        faults = [f"no image has a label file {pattern!r} below {root}; check {key} in [labels]"]
    else:
        faults = [
            _absence(competition, pattern, *one) for one in absent.items() if not positives_only
        ]
        faults = list(dict.fromkeys(faults))  # of the slices of one file
    places = Counter(file.place for own in files.values() for file in own)
    owners = {file.path: places[file.place] for own in files.values() for file in own}
    faults += [
        f"label file {path!r} is that of {count} images; {key} in [labels] must tell them apart"
        for path, count in owners.items()
        if count > 1
    ]
    expected = {*owners, *map(file_of, files)}
    rest = [
        path
        for path in files_below(root, pattern)
        if path not in expected and PurePosixPath(path).name not in others
    ]
    orphans = _of_no_image(competition, pattern, rest) if rest else []
    return faults + [
        f"label file {path!r} belongs to no training image{hint}"
        for path, hint in zip(orphans, hints(orphans, list(owners)), strict=True)
    ]


def _of_no_image(competition: Competition, pattern: str, paths: Sequence[str]) -> list[str]:
    """Of some files those that are neither an image nor a label file of any: of a test image, or one
    that is left out. Lists all images again, for the catalog's rows do not have them.
    """
    known = named_images(competition)
    out = left_out(known, competition.data.exclude)
    spared = _files_of_images(competition, known[out], pattern)
    unlabelled = known["split"].isin(UNLABELLED_SPLITS)
    spared += _files_of_tests(competition, known[unlabelled], pattern)
    spared += _files_of_other_key(competition, known, pattern)
    expected = {*map(file_of, known["path"]), *(file.path for own in spared for file in own)}
    return [path for path in paths if path not in expected]


def _absence(competition: Competition, pattern: str, image: str, own: Sequence[LabelFile]) -> str:
    """An image without any label file."""
    image = file_of(image)
    if len(own) == 1 and "{class}" not in pattern:
        return f"label file {own[0].path!r} of image {image!r} does not exist"
    meant = pattern
    for key, value in _own(competition, image).items():
        meant = meant.replace(key, value or "")
    return (
        f"image {image!r} has no label file {meant!r}; if such images hold nothing, set "
        "positives_only = true in [labels]"
    )
