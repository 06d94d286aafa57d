"""Ways to keep uint8 codes (K, h, w) of many images on disk, to be measured beside each other."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lz4.block
import numpy as np
import zarr
import zstandard

from competition.inference.codes import pack, unpack

Shape = tuple[int, int, int]
Reading = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class Form:
    """write(folder, images): all of them; read(folder, shape, count) → the codes of the nth image."""

    name: str
    write: Callable[[Path, Sequence[np.ndarray]], None]
    read: Callable[[Path, Shape, int], Reading]


def framed(
    name: str, encode: Callable[[np.ndarray], bytes], decode: Callable[[bytes, Shape], np.ndarray]
) -> Form:
    """A compressed file an image."""

    def write(folder: Path, images: Sequence[np.ndarray]) -> None:
        for place, codes in enumerate(images):
            (folder / str(place)).write_bytes(encode(codes))

    def read(folder: Path, shape: Shape, count: int) -> Reading:
        return lambda place: decode((folder / str(place)).read_bytes(), shape)

    return Form(name, write, read)


def zarr_form(name: str, codec: "zarr.abc.codec.BytesBytesCodec") -> Form:
    """One zarr 3 array of all images, a chunk an image."""

    def write(folder: Path, images: Sequence[np.ndarray]) -> None:
        shape = (len(images), *images[0].shape)
        array = zarr.create_array(
            folder / "codes.zarr",
            shape=shape,
            chunks=(1, *shape[1:]),
            dtype="uint8",
            compressors=codec,
            overwrite=True,
        )
        for place, codes in enumerate(images):
            array[place] = codes

    def read(folder: Path, shape: Shape, count: int) -> Reading:
        array = zarr.open_array(folder / "codes.zarr", mode="r")
        return lambda place: array[place]

    return Form(name, write, read)


def memory_map() -> Form:
    """One .npy file, mapped; an image is copied out, as whatever uses all of it does."""

    def write(folder: Path, images: Sequence[np.ndarray]) -> None:
        np.save(folder / "codes.npy", np.stack(images))

    def read(folder: Path, shape: Shape, count: int) -> Reading:
        array = np.load(folder / "codes.npy", mmap_mode="r")
        return lambda place: np.array(array[place])

    return Form("memory map", write, read)


def coarse(codes: np.ndarray) -> np.ndarray:
    """Codes rounded to multiples of 4 where the logit is beyond ±4: steps of .25 there.

    >>> coarse(np.array([0, 61, 62, 70, 128, 190, 193, 255], np.uint8))
    array([  0,  60,  64,  70, 128, 190, 192, 255], dtype=uint8)
    """
    wide = codes.astype(np.int16)
    rounded = np.minimum((wide + 2) // 4 * 4, 255)
    return np.where(np.abs(wide - 127.5) > 64, rounded, wide).astype(np.uint8)


def _bare(content: bytes, shape: Shape) -> np.ndarray:
    return np.frombuffer(content, np.uint8).reshape(shape)


def _rows(codes: np.ndarray) -> np.ndarray:
    differences = codes.copy()
    differences[:, 1:] -= codes[:, :-1]
    return differences


def _added(content: bytes, shape: Shape) -> np.ndarray:
    planes = _bare(content, shape).copy()
    for row in range(1, shape[1]):
        planes[:, row] += planes[:, row - 1]
    return planes


def _zstd(level: int) -> Callable[[bytes], bytes]:
    return zstandard.ZstdCompressor(level=level, write_checksum=True).compress


def _zstd_back(content: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(content)


FORMS = (
    framed("plain files", lambda codes: codes.tobytes(), _bare),
    memory_map(),
    zarr_form("zarr 3, its own choice (zstd)", zarr.codecs.ZstdCodec()),
    zarr_form(
        "zarr 3, blosc lz4 + bit shuffle", zarr.codecs.BloscCodec(cname="lz4", shuffle="bitshuffle")
    ),
    zarr_form(
        "zarr 3, blosc zstd + bit shuffle",
        zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
    ),
    framed(
        "lz4",
        lambda c: lz4.block.compress(c.tobytes()),
        lambda b, s: _bare(lz4.block.decompress(b), s),
    ),
    framed(
        "zlib 1", lambda c: zlib.compress(c.tobytes(), 1), lambda b, s: _bare(zlib.decompress(b), s)
    ),
    framed("zstd 1", lambda c: _zstd(1)(c.tobytes()), lambda b, s: _bare(_zstd_back(b), s)),
    framed(
        "lz4 of row differences",
        lambda c: lz4.block.compress(_rows(c).tobytes()),
        lambda b, s: _added(lz4.block.decompress(b), s),
    ),
    framed(
        "zlib 1 of row differences",
        lambda c: zlib.compress(_rows(c).tobytes(), 1),
        lambda b, s: _added(zlib.decompress(b), s),
    ),
    framed("zstd 1 of row differences (the store)", pack, unpack),
    framed(
        "zstd 3 of row differences",
        lambda c: _zstd(3)(_rows(c).tobytes()),
        lambda b, s: _added(_zstd_back(b), s),
    ),
    framed(
        "coarse beyond ±4, zstd 1",
        lambda c: _zstd(1)(coarse(c).tobytes()),
        lambda b, s: _bare(_zstd_back(b), s),
    ),
    framed("coarse beyond ±4, the store", lambda c: pack(coarse(c)), unpack),
)
