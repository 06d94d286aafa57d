"""Files of several slices: pages of a TIFF, frames of a DICOM file, slices of NIfTI and of an array.

A slice has the path of its file with its number behind: `imagesTr/case_001.nii.gz#0012`, from 0; where
`axis` in `[data]` names one, `#0012@1`. Whatever reads an image reads such a path.
"""

import re
from pathlib import PurePath, PurePosixPath
from typing import NamedTuple

PAGED = (".nii", ".nii.gz", ".tif", ".tiff", ".dcm", ".npy")
"""Endings of files that may hold several slices."""

PAGES_KEY = 'volume = "file" in [data] makes an image of each'
"""The end of a message about a file of several slices."""

_NAMED = re.compile(r"(?P<file>.+)#(?P<number>\d{4,})(?:@(?P<axis>[012]))?", re.DOTALL)


class Page(NamedTuple):
    """Which slice of a file, from 0; axis: of the array that lies in it, None: the usual one."""

    number: int
    axis: int | None = None


def page_path(file: str, page: Page) -> str:
    """The path of a slice.

    >>> page_path("a.nii.gz", Page(12)), page_path("a.npy", Page(3, axis=2))
    ('a.nii.gz#0012', 'a.npy#0003@2')
    """
    axis = "" if page.axis is None else f"@{page.axis}"
    return f"{file}#{page.number:04d}{axis}"


def require_page(number: int, count: int, what: str) -> None:
    """ValueError where a file of `count` pages (frames, slices: what they are called) has none of it."""
    if number >= count:
        raise ValueError(f"it has {count} {what}, and none of number {number} (from 0)")


def refuse_axis(axis: int | None, what: str) -> None:
    """ValueError for an axis that is asked of a file whose pages or frames have an order."""
    if axis is not None:
        raise ValueError(f"its {what} have an order; slice_axis = {axis} in [data] is for arrays")


def file_and_page(path: PurePath | str) -> tuple[str, Page | None]:
    """The file in which an image lies and which of its slices it is; None: the file is the image.

    >>> file_and_page("a.nii.gz#0012"), file_and_page("a#0012")
    (('a.nii.gz', Page(number=12, axis=None)), ('a#0012', None))
    """
    text = str(path)
    found = _NAMED.fullmatch(text)
    if found is None or not may_have_pages(found["file"]):
        return text, None
    axis = found["axis"]
    return found["file"], Page(int(found["number"]), None if axis is None else int(axis))


def file_of(path: str) -> str:
    """The file in which an image lies: its own, or that of which it is a slice."""
    return file_and_page(path)[0]


def without_ending(path: str) -> str:
    """A file's path up to its ending.

    >>> without_ending("a/b.nii.gz")
    'a/b'
    """
    return path[: len(path) - len(ending_of(path))]


def may_have_pages(path: PurePath | str) -> bool:
    """Whether a file may hold several slices, by its ending."""
    return str(path).lower().endswith(PAGED)


def is_nifti(path: str) -> bool:
    """Whether a file is a volume that knows where it lies in space, by its ending."""
    return path.lower().endswith((".nii", ".nii.gz"))


def stem_of(path: str) -> str:
    """The name of an image's file without its ending, of which `.nii.gz` is one.

    >>> stem_of("imagesTr/a.b.nii.gz#0012"), stem_of("a.b.png")
    ('a.b', 'a.b')
    """
    return without_ending(PurePosixPath(file_of(path)).name)


def ending_of(path: str) -> str:
    """The ending of a file's name, with its point.

    >>> ending_of("a.b.nii.gz"), ending_of("a.b.png")
    ('.nii.gz', '.png')
    """
    return (
        path[-len(".nii.gz") :] if path.lower().endswith(".nii.gz") else PurePosixPath(path).suffix
    )
