"""Images that are there twice: copies of a file, equal pixels, and near duplicates by pHash."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from competition.data.levels import RGB, pictured
from competition.data.pages import file_of
from competition.data.strips import overview
from competition.spec import PixelForm
from competition.workspace import file_sha256

_SAMPLE = 1 << 16
_MOST_COMPARED = 1 << 22
"""Pairs of hashes that are compared at once."""


def join_copies(
    root: Path, paths: Sequence[str], groups: Sequence[str], *, form: PixelForm = RGB
) -> list[str]:
    """The group of each image, where groups that hold copies of one file have become one.

    A copy on the other side of a split is a leak, whatever the organisers' groups say. The joined
    group has the first of their names. Images of one colour tell nothing and join nothing. Only files of
    equal length are read: 1 ms for 1,000 images of which none are equal. Of an image in bands the file
    at its path counts.
    """
    parent = {group: group for group in groups}

    def leader(group: str) -> str:
        while parent[group] != group:
            group = parent[group]
        return group

    images: dict[str, list[int]] = defaultdict(list)  # a file may hold several
    for index, path in enumerate(paths):
        images[file_of(path)].append(index)
    files = list(images)
    for copies in _identical_files(root, files):
        within = [index for place in copies for index in images[files[place]]]
        leaders = sorted({leader(groups[index]) for index in within})
        first = images[files[copies[0]]]
        if len(leaders) > 1 and not all(_is_plain(root, paths[index], form) for index in first):
            parent.update(dict.fromkeys(leaders[1:], leaders[0]))
    return [leader(group) for group in groups]


def pixel_hash(image: np.ndarray) -> str:
    """Text that two images share exactly when they have the same size and pixels."""
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16)
    digest.update(repr(image.shape).encode())
    return digest.hexdigest()


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """bool (63,) of an image uint8 or uint16 (H, W, C): low frequencies above their median (pHash).

    Zauner 2010. Survives other sizes, JPEG and brightness.
    """
    grey = cv2.cvtColor(pictured(image), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()[1:]
    return low > np.median(low)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """uint8 (64, 64): the greys of an image uint8 or uint16 (H, W, C)."""
    grey = cv2.cvtColor(pictured(image), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA)


def fine_structure(small: np.ndarray) -> np.ndarray:
    """float32 (4096,), length 1: a thumbnail without its slow changes of brightness.

    The product of two is their correlation. It tells a patient's second radiograph (.72) from
    another patient's (.60 at most), where pHash sees the common layout and little else.
    """
    small = small.astype(np.float32)
    fine = (small - cv2.GaussianBlur(small, (0, 0), 4)).ravel()
    fine -= fine.mean()
    return fine / max(float(np.linalg.norm(fine)), 1e-6)


def near_pairs(
    hashes: np.ndarray, distance: int, *, unlike: Sequence[np.ndarray] = ()
) -> Iterator[tuple[int, int, int]]:
    """(i, j, bits that differ) with i < j and at most `distance` bits, of hashes bool (N, bits).

    unlike: arrays (N,) in all of which the two differ. Ten thousand frames of one video are
    50 million pairs: they come one by one.
    """
    signs = np.where(hashes, 1, -1).astype(np.float32)
    step = max(1, _MOST_COMPARED // max(1, len(signs)))
    for first in range(0, len(signs), step):
        differing = (signs.shape[1] - signs[first : first + step] @ signs[first:].T) / 2
        rows, columns = np.nonzero(differing <= distance)
        chosen = columns > rows
        for values in unlike:
            chosen &= values[rows + first] != values[columns + first]
        for i, j in zip(rows[chosen].tolist(), columns[chosen].tolist(), strict=True):
            yield i + first, j + first, int(differing[i, j])


def _identical_files(root: Path, paths: Sequence[str]) -> list[list[int]]:
    """Indices of files with the same bytes, in sets of two and more."""
    sets: list[list[int]] = [list(range(len(paths)))]
    for key in (lambda path: path.stat().st_size, _middle, file_sha256):
        sets = [alike for members in sets for alike in _parted(root, paths, members, key)]
    return sets


def _parted(
    root: Path, paths: Sequence[str], members: Iterable[int], key: Callable[[Path], object]
) -> list[list[int]]:
    by_key: dict[object, list[int]] = defaultdict(list)
    for index in members:
        by_key[key(root / paths[index])].append(index)
    return [alike for alike in by_key.values() if len(alike) > 1]


def _middle(path: Path) -> bytes:
    """Some bytes from the middle, which tell images of equal length apart without reading all."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size // 2 - _SAMPLE // 2))
        return file.read(_SAMPLE)


def _is_plain(root: Path, path: str, form: PixelForm) -> bool:
    image = overview(root, path, form)
    return bool((image == image[0, 0]).all())
