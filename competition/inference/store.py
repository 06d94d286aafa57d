"""The prediction store: quantised logits per image with their geometry, written once, read in a stream.

A store is a folder: `logits.npy` (N, K, h, w) uint8 codes, `index.csv` one row an image, and
`store.json` saying whose predictions these are. It appears complete or not at all.
"""

import csv
import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from competition.errors import InputFault
from competition.workspace import read_json, whole_folder, write_json, write_text

CLIP = 8.0
"""Logits are kept between ±8: probabilities of .0003 and .9997."""
SCALE = 2 * CLIP / 255
OFFSET = -CLIP
"""logit = code · SCALE + OFFSET. The code step is .063; 127 and 128 lie on either side of p = .5,
so that a threshold of .5 decides every pixel as it would before quantisation."""

_COLUMNS = ("image", "height", "width", "top", "left", "region_height", "region_width")


@dataclass(frozen=True)
class Geometry:
    """Where an image lies on the grid of its logits.

    size: native (height, width) in pixels; region: (top, left, height, width) of the part of the
    logit grid that shows the image (the rest is padding), in pixels of that grid, fractions too.
    """

    size: tuple[int, int]
    region: tuple[float, float, float, float]


class Provenance(BaseModel):
    """Whose predictions a store holds. `checkpoints` are the sha256 of the networks' files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    member: str
    recipe: str
    recipe_sha256: str
    folds: tuple[int, ...]
    part: Literal["oof", "test"]
    classes: tuple[str, ...]
    checkpoints: tuple[str, ...] = ()


class _Header(BaseModel):
    """`store.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provenance: Provenance
    images: int
    scale: float
    offset: float
    logits_sha256: str


@dataclass(frozen=True)
class StoredLogits:
    """One image's codes, uint8 (K, h, w) padding included: logit = code · scale + offset."""

    codes: np.ndarray
    scale: float
    offset: float
    geometry: Geometry

    def logits(self) -> np.ndarray:
        """float32 (K, h, w)."""
        return self.codes * np.float32(self.scale) + np.float32(self.offset)


def quantise(logits: np.ndarray) -> np.ndarray:
    """uint8 codes of float logits of any shape: clipped to ±CLIP, rounded to the nearest code.

    A logit above 0 gets a code of 128 or more, one below 0 a code of 127 or less. NaN is an
    InputFault: thresholded later it would look like an empty mask.

    >>> quantise(np.array([-100.0, -0.001, 0.001, 8.0], np.float32))
    array([  0, 127, 128, 255], dtype=uint8)
    """
    scaled = np.multiply(logits, np.float32(1 / SCALE), dtype=np.float32)
    if np.isnan(scaled.min(initial=0)):
        count = int(np.isnan(scaled).sum())
        raise InputFault(f"{count} of {scaled.size} logits are NaN: the network is broken")
    scaled += np.float32(-OFFSET / SCALE + 0.5)
    np.clip(scaled, 0, 255.5, out=scaled)
    return scaled.astype(np.uint8)


class StoreWriter:
    """Writes a store image by image; a context manager, and nothing appears before it ends well.

    with StoreWriter(folder, provenance) as writer:
        writer.add(image, logits, geometry)
    """

    def __init__(self, folder: Path, provenance: Provenance) -> None:
        self._target = folder
        self._provenance = provenance
        self._rows: dict[str, Geometry] = {}
        self._grid: tuple[int, ...] | None = None
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        self._open = ExitStack()
        self._working = self._open.enter_context(whole_folder(self._target))
        self._file = self._open.enter_context(open(self._working / "logits.npy", "wb"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._open.__exit__(kind, error, trace)
            return
        with self._open:
            self._finish()

    def add(self, image: str, logits: np.ndarray, geometry: Geometry) -> None:
        """Append one image; logits float32 (K, h, w), of the same size for every image."""
        try:
            codes = quantise(logits)
        except InputFault as fault:
            raise InputFault(f"image {image!r}: {fault}") from None
        self.add_codes(image, codes, geometry)

    def add_codes(self, image: str, codes: np.ndarray, geometry: Geometry) -> None:
        """Append one image that is quantised already; codes uint8 (K, h, w)."""
        self._check(image, codes, geometry)
        if self._grid is None:
            self._grid = codes.shape
            self._write_npy_header(0)
        contiguous = np.ascontiguousarray(codes)
        self._file.write(contiguous.data)
        self._digest.update(contiguous.data)
        self._rows[image] = geometry

    def _check(self, image: str, codes: np.ndarray, geometry: Geometry) -> None:
        if image in self._rows:
            raise InputFault(f"image {image!r} is added twice to {self._target}")
        classes = len(self._provenance.classes)
        if codes.ndim != 3 or codes.shape[0] != classes or codes.dtype != np.uint8:
            raise InputFault(
                f"image {image!r}: found {codes.dtype} {codes.shape}; "
                f"a store of {classes} classes takes ({classes}, h, w)"
            )
        if self._grid is not None and codes.shape != self._grid:
            raise InputFault(f"image {image!r}: {codes.shape} differs from {self._grid} before it")
        top, left, height, width = geometry.region
        inside = 0 <= top and 0 <= left and height > 0 and width > 0
        if not inside or top + height > codes.shape[1] or left + width > codes.shape[2]:
            raise InputFault(
                f"image {image!r}: region {geometry.region} leaves the grid {codes.shape[1:]}"
            )

    def _write_npy_header(self, images: int) -> None:
        shape = (images, *(self._grid or (len(self._provenance.classes), 0, 0)))
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)

    def _finish(self) -> None:
        if self._grid is not None:
            self._file.seek(0)  # numpy pads the header so that the first axis may grow in place
        self._write_npy_header(len(self._rows))
        self._file.flush()
        os.fsync(self._file.fileno())
        write_text(self._working / "index.csv", _index_text(self._rows))
        header = _Header(
            provenance=self._provenance, images=len(self._rows), scale=SCALE, offset=OFFSET,
            logits_sha256=self._digest.hexdigest(),
        )
        write_json(self._working / "store.json", header.model_dump(mode="json"))


class Store:
    """A finished store, read one image at a time: memory does not grow with its images."""

    def __init__(self, folder: Path, header: _Header, rows: dict[str, Geometry]) -> None:
        self.folder = folder
        self.provenance = header.provenance
        self.scale, self.offset = header.scale, header.offset
        self.images = tuple(rows)
        self._header, self._rows = header, rows
        self._places = {image: place for place, image in enumerate(rows)}
        self._path = folder / "logits.npy"
        self._start, self._grid = _read_npy_header(self._path, len(rows))

    @classmethod
    def open(cls, folder: Path, *, classes: Sequence[str]) -> "Store":
        """Open a store; InputFault where it is damaged or its class list is not `classes`."""
        header = _read_header(folder / "store.json")
        known = header.provenance.classes
        if known != tuple(classes):
            raise InputFault(
                f"{folder} was predicted for the classes {list(known)}; "
                f"the competition has {list(classes)}; predict again"
            )
        rows = _read_index(folder / "index.csv")
        if len(rows) != header.images:
            raise InputFault(
                f"{folder / 'index.csv'} has {len(rows)} images, store.json says {header.images}; "
                "delete the folder and predict again"
            )
        return cls(folder, header, rows)

    def __len__(self) -> int:
        return len(self.images)

    def __contains__(self, image: object) -> bool:
        return image in self._rows

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the logits, padding included."""
        return self._grid[1:]

    def geometry(self, image: str) -> Geometry:
        self._place(image)
        return self._rows[image]

    def codes(self, image: str) -> np.ndarray:
        """uint8 (K, h, w), padding included.

        Read rather than memory-mapped: pages of a map count as this process's memory until the
        kernel wants them back (.8 ms against .2 ms for 29 × 512²).
        """
        count = int(np.prod(self._grid))
        start = self._start + self._place(image) * count
        return np.fromfile(self._path, np.uint8, count=count, offset=start).reshape(self._grid)

    def read(self, image: str) -> StoredLogits:
        """The image's codes with what it takes to understand them."""
        return StoredLogits(self.codes(image), self.scale, self.offset, self.geometry(image))

    def verify(self) -> None:
        """InputFault when a byte of the logits is not what was written."""
        digest = hashlib.sha256()
        with open(self._path, "rb") as file:
            file.seek(self._start)
            while chunk := file.read(1 << 22):
                digest.update(chunk)
        if digest.hexdigest() != self._header.logits_sha256:
            raise InputFault(f"{self._path} was changed since it was written; predict again")

    def _place(self, image: str) -> int:
        try:
            return self._places[image]
        except KeyError:
            raise InputFault(f"image {image!r} is not among the {len(self)} of {self.folder}") from None


def _index_text(rows: Mapping[str, Geometry]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((image, *g.size, *g.region) for image, g in rows.items())
    return text.getvalue()


def _read_index(path: Path) -> dict[str, Geometry]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return dict(_parsed_rows(csv.reader(file)))
    except (OSError, ValueError) as error:
        raise InputFault(f"{path} cannot be read ({error}); predict again") from error


def _parsed_rows(lines: Iterator[list[str]]) -> Iterator[tuple[str, Geometry]]:
    if tuple(next(lines, [])) != _COLUMNS:
        raise ValueError(f"its columns are not {', '.join(_COLUMNS)}")
    for image, *numbers in lines:
        top, left, height, width = map(float, numbers[2:])
        yield image, Geometry((int(numbers[0]), int(numbers[1])), (top, left, height, width))


def _read_header(path: Path) -> _Header:
    try:
        return _Header.model_validate(read_json(path))
    except ValidationError as error:
        raise InputFault(f"{path} is not a store's description ({error}); predict again") from error


def _read_npy_header(path: Path, images: int) -> tuple[int, tuple[int, int, int]]:
    """Offset of the first code and the shape (K, h, w) of one image; the file's size is checked."""
    try:
        with open(path, "rb") as file:
            np.lib.format.read_magic(file)
            shape, _, kind = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
    except (OSError, ValueError) as error:
        raise InputFault(f"{path} cannot be read ({error}); predict again") from error
    expected, found = start + int(np.prod(shape)), path.stat().st_size
    if kind != np.uint8 or len(shape) != 4 or shape[0] != images or found != expected:
        raise InputFault(
            f"{path} holds {kind} {shape} in {found} bytes; expected {images} images of uint8 "
            f"in {expected} bytes; predict again"
        )
    return start, shape[1:]
