"""Labels of one file an image, named by a pattern with {folder} and {stem} of the image."""

from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath

import pandas as pd

from competition.data.csv_text import hints
from competition.data.images import safe_path
from competition.errors import InputFault, listed
from competition.masks import Runs
from competition.spec import Competition

FileReader = Callable[[Competition, Path, tuple[int, int]], Runs]
"""(competition, file, size of its image) → Runs (K, H, W)."""


def read_files(
    competition: Competition, images: pd.DataFrame, pattern: str, read: FileReader
) -> dict[str, Runs]:
    """One label file an image, named by `pattern` and read by `read`.

    The set of files must be that of the images.
    """
    paths = [label_path(pattern, path) for path in images["path"]]
    files = [safe_path(competition.root, path) for path in paths]
    left_out = {PurePosixPath(name).stem for name in competition.data.exclude}
    strange = _file_set_faults(
        competition.root, pattern, paths, images["path"].tolist(), left_out=left_out
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


def label_path(pattern: str, image_path: str) -> str:
    """The label file of an image, below root: {folder} and {stem} are those of the image."""
    image = PurePosixPath(image_path)
    return _filled(pattern, folder=image.parent.name, stem=image.stem)


def _filled(pattern: str, *, folder: str, stem: str) -> str:
    # str.replace, since a template language would also run what stands in odd file names
    return pattern.replace("{folder}", folder).replace("{stem}", stem)


def _file_set_faults(
    root: Path, pattern: str, paths: list[str], images: list[str], *, left_out: Collection[str]
) -> list[str]:
    """Images without a label file, files that several images share, files that are left over.

    left_out: the stems of images that are left out, whose label files may stay.
    """
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
