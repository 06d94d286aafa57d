"""The prediction store: quantised logits per image with their geometry, written once, read in a stream.

A store is a folder: `logits.zst` one compressed frame an image (its K planes of uint8 codes and one
plane of disagreement, see quantisation.py and disagreement.py), `index.csv` one row an image, and
`store.json` saying whose predictions these are. It appears complete or not at all.
"""

import csv
import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from competition.errors import InputFault
from competition.inference.quantisation import OFFSET, SCALE, packed, quantise, unpacked
from competition.settings import Settings
from competition.workspace import file_sha256, read_json, whole_folder, write_text

FORMAT = "zstd-rows-2"
"""Of a store; predictions in another format are stale."""

_LOGITS, _INDEX = "logits.zst", "index.csv"
_COLUMNS = ("image", "height", "width", "top", "left", "region_height", "region_width", "bytes")


@dataclass(frozen=True)
class Geometry:
    """Where an image lies on the grid of its logits.

    size: native (height, width) in pixels; region: (top, left, height, width) of the part of the
    logit grid that shows the image (the rest is padding), in pixels of that grid, fractions too.
    """

    size: tuple[int, int]
    region: tuple[float, float, float, float]


PredictedSplit = Literal["oof", "test", "unlabelled", "holdout"]


class Provenance(Settings):
    """Whose predictions a store holds. `checkpoints` are the sha256 of the networks' files."""

    member: str
    recipe: str
    recipe_sha256: str
    folds: tuple[int, ...]
    part: PredictedSplit
    classes: tuple[str, ...]
    checkpoints: tuple[str, ...] = ()


class _Header(Settings):
    """`store.json`."""

    provenance: Provenance
    format: Literal["zstd-rows-2"]
    images: int
    grid: tuple[int, int]
    scale: float
    offset: float
    logits_sha256: str
    index_sha256: str
    """Equal logits under other names are another store: what reads them by name is stale."""


@dataclass(frozen=True)
class _Row:
    """A row of `index.csv`: size is that of the image's frame in bytes."""

    geometry: Geometry
    size: int


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


class StoreWriter:
    """Writes a store image by image; a context manager, and nothing appears before it ends well.

    with StoreWriter(folder, provenance) as writer:
        writer.add(image, logits, geometry)
    """

    def __init__(self, folder: Path, provenance: Provenance) -> None:
        self._target = folder
        self._provenance = provenance
        self._rows: dict[str, _Row] = {}
        self._grid: tuple[int, int] | None = None
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        self._open = ExitStack()
        self._working = self._open.enter_context(whole_folder(self._target))
        self._file = self._open.enter_context(open(self._working / _LOGITS, "wb"))
        return self

    def __exit__(self, *raised: Any) -> None:
        if raised[0] is not None:
            self._open.__exit__(*raised)
            return
        with self._open:
            self._finish()

    def add(
        self,
        image: str,
        logits: np.ndarray,
        geometry: Geometry,
        *,
        disagreement: np.ndarray | None = None,
    ) -> None:
        """Append one image; logits float32 (K, h, w), of the same size for every image.

        disagreement: uint8 (h, w) as `disagreement.py` defines it; None: there is one view only.
        """
        try:
            codes = quantise(logits)
        except InputFault as fault:
            raise InputFault(f"image {image!r}: {fault}") from None
        self.add_codes(image, codes, geometry, disagreement=disagreement)

    def add_codes(
        self,
        image: str,
        codes: np.ndarray,
        geometry: Geometry,
        *,
        disagreement: np.ndarray | None = None,
    ) -> None:
        """Append one image that is quantised already; codes uint8 (K, h, w)."""
        self._check(image, codes, geometry)
        self._grid = codes.shape[1:]
        plane = np.zeros(self._grid, np.uint8) if disagreement is None else disagreement
        if plane.shape != self._grid or plane.dtype != np.uint8:
            raise InputFault(f"image {image!r}: disagreement {plane.dtype} {plane.shape}")
        frame = packed(np.concatenate([codes, plane[None]]))
        self._file.write(frame)
        self._digest.update(frame)
        self._rows[image] = _Row(geometry, len(frame))

    def _check(self, image: str, codes: np.ndarray, geometry: Geometry) -> None:
        if image in self._rows:
            raise InputFault(f"image {image!r} is added twice to {self._target}")
        classes = len(self._provenance.classes)
        if codes.ndim != 3 or codes.shape[0] != classes or codes.dtype != np.uint8:
            raise InputFault(
                f"image {image!r}: found {codes.dtype} {codes.shape}; "
                f"a store of {classes} classes takes ({classes}, h, w)"
            )
        grid = codes.shape[1:]
        if self._grid is not None and grid != self._grid:
            raise InputFault(f"image {image!r}: {grid} differs from {self._grid} before it")
        top, left, height, width = geometry.region
        inside = top >= 0 and left >= 0 and height > 0 and width > 0
        if not inside or top + height > grid[0] or left + width > grid[1]:
            raise InputFault(f"image {image!r}: region {geometry.region} leaves the grid {grid}")

    def _finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        write_text(self._working / _INDEX, _index_text(self._rows))
        header = _Header(
            provenance=self._provenance,
            format=FORMAT,
            images=len(self._rows),
            grid=self._grid or (0, 0),
            scale=SCALE,
            offset=OFFSET,
            logits_sha256=self._digest.hexdigest(),
            index_sha256=file_sha256(self._working / _INDEX),
        )
        header.write(self._working / "store.json")


class Store:
    """A finished store, read one image at a time: memory does not grow with its images."""

    def __init__(self, folder: Path, header: _Header, rows: dict[str, _Row]) -> None:
        self.folder = folder
        self.provenance = header.provenance
        self.scale, self.offset = header.scale, header.offset
        self.grid = header.grid
        """Height and width of the logits, padding included."""
        self.images = tuple(rows)
        self._header, self._rows = header, rows
        self._path = folder / _LOGITS
        stops = accumulate(row.size for row in rows.values())
        self._starts = {
            image: stop - row.size for (image, row), stop in zip(rows.items(), stops, strict=True)
        }

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
        rows = _read_index(folder / _INDEX)
        if file_sha256(folder / _INDEX) != header.index_sha256:
            raise InputFault(f"{folder / _INDEX} was changed since it was written; predict again")
        _check_size(folder / _LOGITS, sum(row.size for row in rows.values()))
        return cls(folder, header, rows)

    def __len__(self) -> int:
        return len(self.images)

    def __contains__(self, image: object) -> bool:
        return image in self._rows

    def geometry(self, image: str) -> Geometry:
        return self._row(image).geometry

    def codes(self, image: str) -> np.ndarray:
        """uint8 (K, h, w), padding included; InputFault where a byte of them has changed."""
        return self._planes(image)[:-1]

    def disagreement(self, image: str) -> np.ndarray:
        """uint8 (h, w): how far folds and views are apart, see `disagreement.py`."""
        return self._planes(image)[-1]

    def views(self, image: str) -> tuple[np.ndarray, np.ndarray]:
        """Codes uint8 (K, h, w) and disagreement uint8 (h, w), read at once."""
        planes = self._planes(image)
        return planes[:-1], planes[-1]

    def read(self, image: str) -> StoredLogits:
        """The image's codes with what it takes to understand them."""
        return StoredLogits(self.codes(image), self.scale, self.offset, self.geometry(image))

    def _planes(self, image: str) -> np.ndarray:
        size = self._row(image).size
        shape = (len(self.provenance.classes) + 1, *self.grid)
        try:
            with open(self._path, "rb") as file:
                file.seek(self._starts[image])
                return unpacked(file.read(size), shape)
        except (OSError, ValueError) as error:
            raise InputFault(
                f"{self._path}: image {image!r} was changed since it was written ({error}); "
                "predict again"
            ) from error

    def _row(self, image: str) -> _Row:
        if image not in self._rows:
            raise InputFault(f"image {image!r} is not among the {len(self)} of {self.folder}")
        return self._rows[image]


def _index_text(rows: Mapping[str, _Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(
        (image, *row.geometry.size, *row.geometry.region, row.size) for image, row in rows.items()
    )
    return text.getvalue()


def _read_index(path: Path) -> dict[str, _Row]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return dict(_parsed_rows(csv.reader(file)))
    except (OSError, ValueError) as error:
        raise InputFault(f"{path} cannot be read ({error}); predict again") from error


def _parsed_rows(lines: Iterator[list[str]]) -> Iterator[tuple[str, _Row]]:
    if tuple(next(lines, [])) != _COLUMNS:
        raise ValueError(f"its columns are not {', '.join(_COLUMNS)}")
    for image, height, width, *region, size in lines:
        top, left, high, wide = map(float, region)
        yield image, _Row(Geometry((int(height), int(width)), (top, left, high, wide)), int(size))


def _read_header(path: Path) -> _Header:
    content = read_json(path)
    written = content.get("format") if isinstance(content, dict) else None
    if written != FORMAT:
        raise InputFault(f"{path} has the format {written!r}, not {FORMAT!r}; predict again")
    return _Header.read(path, what="a store's description", again="predict again")


def _check_size(path: Path, expected: int) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise InputFault(f"{path} cannot be read ({error}); predict again") from error
    if found != expected:
        raise InputFault(f"{path} has {found} bytes, index.csv says {expected}; predict again")
