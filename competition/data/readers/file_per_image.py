"""Labels of one file an image, named by a pattern with {folder} and {stem} of the image."""

from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
import pandas as pd

from competition.data.csv_text import hints
from competition.data.images import read_index, safe_path
from competition.errors import InputFault, listed
from competition.spec import Competition

FromFile = TypeVar("FromFile")


def read_files(
    competition: Competition,
    images: pd.DataFrame,
    pattern: str,
    read: Callable[[Competition, Path, tuple[int, int]], FromFile],
    *,
    key: str = "files",
) -> dict[str, FromFile]:
    """One label file an image, named by `pattern` and read by `read` (competition, file, image's size).

    The set of files must be that of the images. key: of `[labels]`, where the pattern stands.
    """
    paths = [label_path(pattern, path) for path in images["path"]]
    files = [safe_path(competition.root, path) for path in paths]
    left_out = {PurePosixPath(name).stem for name in competition.data.exclude}
    strange = _file_set_faults(
        competition.root, (key, pattern), paths, images["path"].tolist(), left_out=left_out
    )
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


def values_of_size(
    path: Path, size: tuple[int, int], *, threshold: int | None = None
) -> np.ndarray:
    """The numbers of a mask image, as `read_index` has them; InputFault unless it has this size."""
    values = read_index(path, threshold=threshold)
    if values.shape != size:
        hint = " (transposed?)" if values.shape == size[::-1] else ""
        raise InputFault(
            f"{path} has {values.shape[0]} × {values.shape[1]} pixels (height × width) and its image "
            f"{size[0]} × {size[1]}{hint}"
        )
    return values


def label_path(pattern: str, image_path: str) -> str:
    """The label file of an image, below root: {folder} and {stem} are those of the image."""
    image = PurePosixPath(image_path)
    return _filled(pattern, folder=image.parent.name, stem=image.stem)


def _filled(pattern: str, *, folder: str, stem: str) -> str:
    # str.replace, since a template language would also run what stands in odd file names
    return pattern.replace("{folder}", folder).replace("{stem}", stem)


def _file_set_faults(
    root: Path,
    named: tuple[str, str],
    paths: list[str],
    images: list[str],
    *,
    left_out: Collection[str],
) -> list[str]:
    """Images without a label file, files that several images share, files that are left over.

    named: the key and its pattern; left_out: the stems of images that are left out, whose label
    files may stay.
    """
    key, pattern = named
    faults = [
        f"label file {path!r} of image {image!r} does not exist"
        for path, image in zip(paths, images, strict=True)
        if not (root / path).is_file()
    ]
    faults += [
        f"label file {path!r} is that of {count} images; {key} in [labels] must tell them apart"
        for path, count in Counter(paths).items()
        if count > 1
    ]
    there = {
        path.relative_to(root).as_posix()
        for path in root.glob(_filled(pattern, folder="*", stem="*"))
        if not path.name.startswith(".") and path.stem not in left_out
    }
    orphans = sorted(there - set(paths))
    return faults + [
        f"label file {path!r} belongs to no training image{hint}"
        for path, hint in zip(orphans, hints(orphans, paths), strict=True)
    ]


def pattern_files(competition: Competition, images: pd.DataFrame, pattern: str) -> list[Path]:
    """The files that a pattern names, in the catalog's order."""
    return [competition.root / label_path(pattern, path) for path in images["path"]]
