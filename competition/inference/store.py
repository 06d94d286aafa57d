"""The prediction store: quantised logits per image with their geometry, written once, read in a stream.

A store is a folder: `logits.zst` one compressed frame an image (its K planes of uint8 codes and one
plane of disagreement, see quantisation.py and disagreement.py), `index.csv` one row an image, and
`store.json` saying whose predictions these are. It appears complete or not at all.

Predictions by tiles have a grid of their own for each image, and a frame for each strip of its rows
(`STRIPS`), so that an image is never whole in memory.
"""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import ceil, floor
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from competition.errors import InputFault
from competition.inference.quantisation import OFFSET, SCALE, packed, quantise, unpacked
from competition.settings import Settings
from competition.workspace import file_sha256, read_json, whole_folder, write_text

FORMAT = "zstd-rows-2"
"""Of a store; predictions in another format are stale."""

STRIPS = "zstd-strips-1"
"""Of one whose images have grids of their own, in strips of rows."""

_LOGITS, _INDEX = "logits.zst", "index.csv"
_COLUMNS = ("image", "height", "width", "top", "left", "region_height", "region_width", "bytes")
_FURTHER = ("grid_height", "grid_width", "rows")
"""Columns of a store in strips; `rows` and `bytes` are those of each strip, with blanks between."""

PIECE = 2**26
"""Codes of an image that are read together, at least a strip of it: 64 MB, four times that as logits."""


@dataclass(frozen=True)
class Geometry:
    """Where an image lies on the grid of its logits.

    size: native (height, width) in pixels; region: (top, left, height, width) of the part of the
    logit grid that shows the image (the rest is padding), in pixels of that grid, fractions too.
    """

    size: tuple[int, int]
    region: tuple[float, float, float, float]


class RowSpan(NamedTuple):
    """Some rows of an image that is `of` rows high: from `first` up to `stop`."""

    first: int
    stop: int
    of: int


def place_of_rows(geometry: Geometry, nodes: int, rows: RowSpan) -> tuple[slice, Geometry]:
    """Which rows of the grid, of `nodes` rows, those of the image are sampled from (two more on either
    side, for a coarser grid beside it), and where they lie in these.

    >>> place_of_rows(Geometry((8, 8), (0.0, 0.0, 4.0, 4.0)), 4, RowSpan(4, 8, 8))
    (slice(0, 4, None), Geometry(size=(4, 8), region=(2.0, 0.0, 2.0, 4.0)))
    """
    top, left, height, width = geometry.region
    first, last = top + rows.first * height / rows.of, top + rows.stop * height / rows.of
    begin, end = max(0, floor(first - 0.5) - 1), min(nodes, ceil(last + 0.5) + 1)
    size = rows.stop - rows.first, geometry.size[1]
    return slice(begin, end), Geometry(size, (first - begin, left, last - first, width))


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
    format: Literal["zstd-rows-2", "zstd-strips-1"]
    images: int
    grid: tuple[int, int]
    """(0, 0) in strips."""
    scale: float
    offset: float
    logits_sha256: str
    index_sha256: str
    """Equal logits under other names are another store: what reads them by name is stale."""


@dataclass(frozen=True)
class _Row:
    """A row of `index.csv`: sizes are those of the image's frames in bytes, rows those of its grid in
    each; without strips there is one, of all rows.
    """

    geometry: Geometry
    sizes: tuple[int, ...]
    grid: tuple[int, int]
    rows: tuple[int, ...]


@dataclass(frozen=True)
class StoredLogits:
    """One image's codes, uint8 (K, h, w) padding included: logit = code · scale + offset. Of some of its
    rows geometry says where these lie in the codes.
    """

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

    def __init__(self, folder: Path, provenance: Provenance, *, strips: bool = False) -> None:
        """strips: each image has a grid of its own."""
        self._target, self._strips = folder, strips
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
        self._check(image, codes)
        plane = np.zeros(codes.shape[1:], np.uint8) if disagreement is None else disagreement
        self.add_strips(image, [(codes, plane)], geometry, codes.shape[1:])

    def add_strips(
        self,
        image: str,
        strips: Iterable[tuple[np.ndarray, np.ndarray]],
        geometry: Geometry,
        grid: tuple[int, int],
    ) -> None:
        """Append one image of the logit grid (h, w), some rows at a time, top to bottom: each codes
        uint8 (K, rows, w) and disagreement uint8 (rows, w).
        """
        self._check_place(image, geometry, grid)
        self._grid = grid
        sizes, rows = [], []
        for codes, plane in strips:
            self._check(image, codes)
            if plane.shape != codes.shape[1:] or plane.dtype != np.uint8:
                raise InputFault(f"image {image!r}: disagreement {plane.dtype} {plane.shape}")
            frame = packed(np.concatenate([codes, plane[None]]))
            self._file.write(frame)
            self._digest.update(frame)
            sizes.append(len(frame))
            rows.append(codes.shape[1])
        if sum(rows) != grid[0]:
            raise InputFault(f"image {image!r}: strips of {sum(rows)} rows for {grid[0]}")
        self._rows[image] = _Row(geometry, tuple(sizes), grid, tuple(rows))

    def _check(self, image: str, codes: np.ndarray) -> None:
        classes = len(self._provenance.classes)
        if codes.ndim != 3 or codes.shape[0] != classes or codes.dtype != np.uint8:
            raise InputFault(
                f"image {image!r}: found {codes.dtype} {codes.shape}; "
                f"a store of {classes} classes takes ({classes}, h, w)"
            )

    def _check_place(self, image: str, geometry: Geometry, grid: tuple[int, int]) -> None:
        if image in self._rows:
            raise InputFault(f"image {image!r} is added twice to {self._target}")
        if not self._strips and self._grid is not None and grid != self._grid:
            raise InputFault(f"image {image!r}: {grid} differs from {self._grid} before it")
        top, left, height, width = geometry.region
        inside = top >= 0 and left >= 0 and height > 0 and width > 0
        if not inside or top + height > grid[0] or left + width > grid[1]:
            raise InputFault(f"image {image!r}: region {geometry.region} leaves the grid {grid}")

    def _finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        write_text(self._working / _INDEX, _index_text(self._rows, strips=self._strips))
        header = _Header(
            provenance=self._provenance,
            format=STRIPS if self._strips else FORMAT,
            images=len(self._rows),
            grid=(0, 0) if self._strips else self._grid or (0, 0),
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
        """Height and width of the logits, padding included; (0, 0) where each image has its own."""
        self.strips = header.format == STRIPS
        """Whether it is so, in strips of rows."""
        self.images = tuple(rows)
        self._header, self._rows = header, rows
        self._path = folder / _LOGITS
        stops = accumulate(sum(row.sizes) for row in rows.values())
        self._starts = {
            image: stop - sum(row.sizes)
            for (image, row), stop in zip(rows.items(), stops, strict=True)
        }
        # Strips that follow each other are read with some rows of the next one.
        self._last_read = lru_cache(maxsize=2)(self._frame)

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
        rows = _read_index(folder / _INDEX, header)
        if file_sha256(folder / _INDEX) != header.index_sha256:
            raise InputFault(f"{folder / _INDEX} was changed since it was written; predict again")
        _check_size(folder / _LOGITS, sum(sum(row.sizes) for row in rows.values()))
        return cls(folder, header, rows)

    def __len__(self) -> int:
        return len(self.images)

    def __contains__(self, image: object) -> bool:
        return image in self._rows

    def geometry(self, image: str) -> Geometry:
        return self._row(image).geometry

    def grid_of(self, image: str) -> tuple[int, int]:
        """Height and width of its logits, padding included."""
        return self._row(image).grid

    def strip_rows(self, image: str) -> tuple[int, ...]:
        """Rows of its grid in each strip; without strips all in one."""
        return self._row(image).rows

    def pieces(self, image: str) -> tuple[int, ...]:
        """Rows of its grid that are read together, top to bottom: strips, up to `PIECE` codes."""
        row, pieces = self._row(image), [0]
        most = PIECE // (len(self.provenance.classes) * row.grid[1])
        for rows in row.rows:
            if pieces[-1] and pieces[-1] + rows > most:
                pieces.append(0)
            pieces[-1] += rows
        return tuple(pieces)

    def codes(self, image: str) -> np.ndarray:
        """uint8 (K, h, w), padding included; InputFault where a byte of them has changed."""
        return self._planes(image)[:-1]

    def disagreement(self, image: str, rows: RowSpan | None = None) -> np.ndarray:
        """uint8 (h, w): how far folds and views are apart, see `disagreement.py`; rows: as `read`."""
        if rows is None:
            count = len(self._row(image).rows)
            return np.concatenate([self._frame(image, strip)[-1].copy() for strip in range(count)])
        nodes, _ = place_of_rows(self.geometry(image), self.grid_of(image)[0], rows)
        return self._planes(image, nodes)[-1]

    def views(self, image: str, strip: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Codes uint8 (K, rows, w) and disagreement uint8 (rows, w) of a strip, read at once; of all
        rows where there are no strips.
        """
        planes = self._frame(image, strip)
        return planes[:-1], planes[-1]

    def read(self, image: str, rows: RowSpan | None = None) -> StoredLogits:
        """The image's codes with what it takes to understand them; rows: those that show these rows of
        the image alone.
        """
        place = self.geometry(image)
        if rows is None:
            return StoredLogits(self.codes(image), self.scale, self.offset, place)
        nodes, place = place_of_rows(place, self.grid_of(image)[0], rows)
        return StoredLogits(self._planes(image, nodes)[:-1], self.scale, self.offset, place)

    def _planes(self, image: str, nodes: slice | None = None) -> np.ndarray:
        """uint8 (K + 1, h, w), or of some rows of the grid."""
        row = self._row(image)
        if len(row.rows) == 1:
            planes = self._frame(image, 0)
            return planes if nodes is None else planes[:, nodes]
        nodes = slice(0, row.grid[0]) if nodes is None else nodes
        stops = np.cumsum(row.rows)
        found = []
        for strip in np.flatnonzero((stops > nodes.start) & (stops - row.rows < nodes.stop)):
            first = int(stops[strip] - row.rows[strip])
            planes = self._last_read(image, int(strip))
            found.append(planes[:, max(0, nodes.start - first) : nodes.stop - first])
        return np.concatenate(found, axis=1)

    def _frame(self, image: str, strip: int) -> np.ndarray:
        """uint8 (K + 1, rows, w) of a strip."""
        row = self._row(image)
        shape = (len(self.provenance.classes) + 1, row.rows[strip], row.grid[1])
        try:
            with open(self._path, "rb") as file:
                file.seek(self._starts[image] + sum(row.sizes[:strip]))
                return unpacked(file.read(row.sizes[strip]), shape)
        except (OSError, ValueError) as error:
            raise InputFault(
                f"{self._path}: image {image!r} was changed since it was written ({error}); "
                "predict again"
            ) from error

    def _row(self, image: str) -> _Row:
        if image not in self._rows:
            raise InputFault(f"image {image!r} is not among the {len(self)} of {self.folder}")
        return self._rows[image]


def _index_text(rows: Mapping[str, _Row], *, strips: bool) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_COLUMNS, *_FURTHER) if strips else _COLUMNS)
    for image, row in rows.items():
        further = (*row.grid, " ".join(map(str, row.rows))) if strips else ()
        sizes = " ".join(map(str, row.sizes))
        writer.writerow((image, *row.geometry.size, *row.geometry.region, sizes, *further))
    return text.getvalue()


def _read_index(path: Path, header: _Header) -> dict[str, _Row]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return dict(_parsed_rows(csv.reader(file), header))
    except (OSError, ValueError) as error:
        raise InputFault(f"{path} cannot be read ({error}); predict again") from error


def _parsed_rows(lines: Iterator[list[str]], header: _Header) -> Iterator[tuple[str, _Row]]:
    strips = header.format == STRIPS
    columns = (*_COLUMNS, *_FURTHER) if strips else _COLUMNS
    if tuple(next(lines, [])) != columns:
        raise ValueError(f"its columns are not {', '.join(columns)}")
    for image, height, width, *rest in lines:
        top, left, high, wide = map(float, rest[:4])
        geometry = Geometry((int(height), int(width)), (top, left, high, wide))
        sizes = tuple(map(int, rest[4].split()))
        grid = (int(rest[5]), int(rest[6])) if strips else header.grid
        rows = tuple(map(int, rest[7].split())) if strips else (header.grid[0],)
        if len(rows) != len(sizes) or sum(rows) != grid[0]:
            raise ValueError(f"image {image!r} has strips of {rows} rows and {sizes} bytes")
        yield image, _Row(geometry, sizes, grid, rows)


def _read_header(path: Path) -> _Header:
    content = read_json(path)
    written = content.get("format") if isinstance(content, dict) else None
    if written not in (FORMAT, STRIPS):
        raise InputFault(f"{path} has the format {written!r}, not {FORMAT!r}; predict again")
    return _Header.read(path, what="a store's description", again="predict again")


def _check_size(path: Path, expected: int) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise InputFault(f"{path} cannot be read ({error}); predict again") from error
    if found != expected:
        raise InputFault(f"{path} has {found} bytes, index.csv says {expected}; predict again")
