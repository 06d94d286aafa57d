"""An image's pixels as a competition keeps them: of one file, or of one for each band."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from competition.data.images import image_size, read_image, safe_path
from competition.data.pages import file_and_page, file_of, page_path, stem_of
from competition.errors import InputFault
from competition.spec import PixelForm


def pixel_files(path: str, form: PixelForm) -> tuple[str, ...]:
    """The files, below root, that hold an image's pixels: the one at `path`, or one for each band."""
    return tuple(_band_file(path, band, form) for band in form.bands) or (path,)


def all_pixel_files(paths: Iterable[str], form: PixelForm) -> list[str]:
    """Those of many images, one after the other."""
    return [file for path in paths for file in pixel_files(path, form)]


def read_pixels(root: Path, path: str, form: PixelForm) -> np.ndarray:
    """uint8 or uint16 (H, W, C) of the image at `path` below `root`, as `form` says; see `read_image`.

    InputFault where a band has another size than the first, or several channels.
    """
    if not form.bands:
        return read_image(root / path, form)
    files = pixel_files(path, form)
    bands = [
        read_image(root / file, _form_of_band(form, place)) for place, file in enumerate(files)
    ]
    for file, band in zip(files, bands, strict=True):
        _refuse_other_size(root / file, band.shape[:2], root / files[0], bands[0].shape[:2])
    return np.concatenate(bands, axis=2)


def size_of_pixels(
    root: Path, path: str, form: PixelForm, *, links: bool = False
) -> tuple[int, int]:
    """(height, width) of an image from headers alone; InputFault where a band is not there, has
    another size than the first, or leads out of `root`.
    """
    files = pixel_files(path, form)
    for file in map(file_of, files) if form.bands else ():
        safe_path(root, file, links=links)
        if not (root / file).is_file():
            raise InputFault(f"{path} has no band {root / file}: check bands in [data]")
    sizes = [image_size(root / file) for file in files]
    for file, size in zip(files, sizes, strict=True):
        _refuse_other_size(root / file, size, root / files[0], sizes[0])
    return sizes[0]


def _refuse_other_size(
    file: Path, size: tuple[int, ...], first: Path, expected: tuple[int, ...]
) -> None:
    if size != expected:
        raise InputFault(
            f"{file} has {size[0]} × {size[1]} pixels, and {first} has {expected[0]} × {expected[1]}: "
            "the bands of an image have one size"
        )


def _band_file(path: str, band: str, form: PixelForm) -> str:
    """The file of a band: beside the image, or below root where its pattern has a slash; of a slice
    the same slice of it.
    """
    path, page = file_and_page(path)
    image, part = PurePosixPath(path), None if form.part is None else form.part.of(path)
    if form.part is not None and part is None:
        raise InputFault(
            f"{path}: part in [data] looks for {form.part.pattern!r}, which is not in this path"
        )
    places = {"{folder}": image.parent.name, "{stem}": stem_of(path), "{part}": part or ""}
    named = "".join(places.get(piece, piece) for piece in _pieces(band))
    file = named if "/" in band else (image.parent / named).as_posix()
    return file if page is None else page_path(file, page)


def _pieces(band: str) -> list[str]:
    """The pattern cut at its places: what is filled in is not looked at again.

    >>> _pieces("{stem}_red.tif")
    ['{stem}', '_red.tif']
    """
    return [piece for piece in re.split(r"(\{(?:folder|stem|part)\})", band) if piece]


def _form_of_band(form: PixelForm, place: int) -> PixelForm:
    """How the file of one band is read: it has one channel."""
    of_band = form.range[place : place + 1] if len(form.range) > 1 else form.range
    return PixelForm(channels=1, bits=form.bits, depth=form.depth, range=of_band, frame=form.frame)
