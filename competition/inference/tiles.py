"""Tiles: an image of any size through a network of one size, its logits blended strip by strip.

Tiles lie in rows, as far apart as their overlap says; the last of a row and the last row end with the
image. Where several show a pixel its logits are their mean, with Gaussian weights about the middle of
each tile (a deviation of an eighth of its side, as in nnU-Net and MONAI): what lies at the border of a
tile is seen without what is around it. One row of tiles is held at a time; what no further row will show
is given away. An image that is smaller than a tile is shown in its top left corner, beside black.

Nothing is as large as the image: its pixels are read window by window, and masks are cut from strips.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from competition.data.letterbox import GridSize
from competition.data.loader import channels_first
from competition.data.scaled import ScaledImages
from competition.errors import InputFault
from competition.inference.store import Geometry, RowSpan, place_of_rows
from competition.masks import Runs
from competition.masks.geometry import join_rows
from competition.models import SegmentationNetwork

LEAST_WEIGHT = 1e-3
"""Of a pixel of a tile, where its middle has 1."""


@dataclass(frozen=True)
class Tiling:
    """side: height and width of a tile in laid-out pixels; logits: those of its logits; overlap: share
    of a side that the next tile shows again.
    """

    side: GridSize
    logits: GridSize
    overlap: float

    @classmethod
    def of(cls, network: SegmentationNetwork, side: GridSize, overlap: float) -> "Tiling":
        """Of a network, which is asked for the size of its logits; InputFault where they are not a whole
        number of times smaller than the tile.
        """
        device = next(network.parameters(), torch.empty(0)).device
        training = network.training
        with torch.inference_mode():
            black = torch.zeros(1, getattr(network, "channels", 3), *side, device=device)
            found = network.eval()(network.normalised(black)).logits.shape[-2:]
        network.train(training)
        logits = int(found[0]), int(found[1])
        stride = side[0] // logits[0]
        if (logits[0] * stride, logits[1] * stride) != tuple(side):
            raise InputFault(
                f"tiles of {side[0]} × {side[1]} have logits of {logits[0]} × {logits[1]}; they must be "
                "a whole number of times as large: set size to multiples of 32"
            )
        return cls(side, logits, overlap)

    @property
    def stride(self) -> int:
        """Laid-out pixels for each logit, along a side."""
        return self.side[0] // self.logits[0]

    def cover(self, image: GridSize) -> "Cover":
        """The tiles of an image of laid-out (h, w)."""
        return Cover(self, image)


@dataclass(frozen=True)
class Cover:
    """The tiles of one image of laid-out (h, w), row by row."""

    tiling: Tiling
    image: GridSize

    @property
    def grid(self) -> GridSize:
        """Height and width of the image's logits; the last may reach a fraction beyond it."""
        stride = self.tiling.stride
        return -(-self.image[0] // stride), -(-self.image[1] // stride)

    @property
    def tops(self) -> tuple[int, ...]:
        """First logit of each row of tiles."""
        return _starts(self.grid[0], self.tiling.logits[0], self.tiling.overlap)

    @property
    def lefts(self) -> tuple[int, ...]:
        """First logit of each tile of a row."""
        return _starts(self.grid[1], self.tiling.logits[1], self.tiling.overlap)

    @property
    def places(self) -> Iterator[tuple[int, int]]:
        """Top and left of each tile in laid-out pixels, in order."""
        stride = self.tiling.stride
        return ((top * stride, left * stride) for top in self.tops for left in self.lefts)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def geometry(self, native: GridSize) -> Geometry:
        """Where the image lies in the grid of its logits."""
        stride = self.tiling.stride
        return Geometry(native, (0.0, 0.0, self.image[0] / stride, self.image[1] / stride))


def _starts(length: int, side: int, overlap: float) -> tuple[int, ...]:
    """Where tiles begin that cover `length`; the last one ends with it.

    >>> _starts(10, 4, 0.5), _starts(5, 4, 0.5), _starts(3, 4, 0.5)
    ((0, 2, 4, 6), (0, 1), (0,))
    """
    step, last = max(1, int(side * (1 - overlap))), max(0, length - side)
    count = ceil(last / step) + 1
    return tuple(min(place * step, last) for place in range(count))


@lru_cache(maxsize=8)
def tile_weights(size: GridSize) -> np.ndarray:
    """float32 (h, w): of the logits of a tile, 1 in its middle, `LEAST_WEIGHT` at least; read only."""
    axes = [np.exp(-0.5 * ((np.arange(side) - (side - 1) / 2) / (side / 8)) ** 2) for side in size]
    found = np.maximum(np.outer(*axes), LEAST_WEIGHT).astype(np.float32)
    found.flags.writeable = False
    return found


class Blending:
    """The mean of an image's tiles, which come in the order of its cover."""

    def __init__(self, cover: Cover) -> None:
        self.cover, self._tops, self._lefts = cover, cover.tops, cover.lefts
        alone = len(cover) == 1  # its own mean, to the last bit
        size = cover.tiling.logits
        self._weights = np.ones(size, np.float32) if alone else tile_weights(size)
        self._row = self._column = 0
        self._total = self._weight = np.empty(0)

    @property
    def done(self) -> bool:
        """Whether the last tile has come."""
        return self._row == len(self._tops)

    def add(self, values: np.ndarray) -> np.ndarray | None:
        """The next tile, float32 (P, h', w') → the rows that no further tile shows, float32
        (P, rows, w) of the image's grid; None before the end of a row of tiles.
        """
        height, width = self.cover.tiling.logits
        if not self._total.size:
            across = max(width, self.cover.grid[1])
            self._total = np.zeros((len(values), height, across), np.float32)
            self._weight = np.zeros((height, across), np.float32)
        columns = slice(self._lefts[self._column], self._lefts[self._column] + width)
        self._total[:, :, columns] += values * self._weights
        self._weight[:, columns] += self._weights
        self._column += 1
        if self._column < len(self._lefts):
            return None
        top, self._row, self._column = self._tops[self._row], self._row + 1, 0
        rows = height if self.done else self._tops[self._row] - top
        grid = self.cover.grid
        shown = self._total[:, :rows] / self._weight[:rows]
        for held in (self._total, self._weight):
            kept = held[..., rows:, :].copy()
            held[:] = 0
            held[..., : height - rows, :] = kept
        return shown[:, : grid[0] - top, : grid[1]]


class TileSet(Dataset[dict[str, Any]]):
    """The tiles of images at a scale, image by image, each in the order of its cover."""

    def __init__(self, images: tuple[str, ...], laid_out: ScaledImages, tiling: Tiling) -> None:
        self.images, self.laid_out, self.tiling = images, laid_out, tiling
        self._places = [
            (image, place)
            for image in images
            for place in tiling.cover(laid_out.letterboxes[image].size).places
        ]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, place = self._places[index]
        pixels = self.laid_out.window(image, (*place, *self.tiling.side))
        return {"image": image, "images": channels_first(pixels)}


def strips_by_image(
    images: Iterable[str], covers: Callable[[str], Cover], tiles: Iterator[np.ndarray]
) -> Iterator[tuple[str, Cover, Iterator[np.ndarray]]]:
    """(image, its cover, the strips of its blended values) of tiles (P, h', w') of all images in order.

    The strips of an image have to be taken before the next image.
    """

    def strips(blending: Blending) -> Iterator[np.ndarray]:
        while not blending.done:
            strip = blending.add(next(tiles))
            if strip is not None:
                yield strip

    for image in images:
        cover = covers(image)
        yield image, cover, strips(Blending(cover))


class StripMasks:
    """The masks of an image from strips of its logits as they come, without the whole of them.

    decide: logits (K, h', w') and where some rows of the image lie in them → their masks.
    """

    def __init__(
        self, geometry: Geometry, grid: GridSize, decide: Callable[[np.ndarray, Geometry], Runs]
    ) -> None:
        self.geometry, self.grid, self.decide = geometry, grid, decide
        self._held, self._first = np.empty(0), 0
        self._parts: list[Runs] = []
        self._done = 0

    def add(self, strip: np.ndarray) -> None:
        """The next rows of logits, float32 (K, rows, w)."""
        self._held = np.concatenate([self._held, strip], axis=1) if self._held.size else strip
        known, height = self._first + self._held.shape[1], self.geometry.size[0]
        ready = height
        if known < self.grid[0]:  # only rows that need no further logits
            share = self.geometry.region[2] / height
            ready = int((known - 3 - self.geometry.region[0]) / share)
        if ready <= self._done:
            return
        rows, place = place_of_rows(self.geometry, self.grid[0], RowSpan(self._done, ready, height))
        nodes = self._held[:, rows.start - self._first : rows.stop - self._first]
        self._parts.append(self.decide(nodes, place))
        self._done = ready
        if ready < height:
            following, _ = place_of_rows(
                self.geometry, self.grid[0], RowSpan(ready, height, height)
            )
            self._held = self._held[:, following.start - self._first :].copy()
            self._first = following.start

    def runs(self) -> Runs:
        """(K, H, W), after the last strip."""
        return join_rows(self._parts)
