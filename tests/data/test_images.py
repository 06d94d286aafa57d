"""The one image loader."""

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from downloads import picture, save
from PIL import Image, ImageOps

from competition.data.images import (
    file_facts,
    image_size,
    read_image,
    read_index,
    safe_path,
)
from competition.errors import InputFault
from competition.spec import PixelForm


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_obeyed_by_pixels_and_by_size(tmp_path, orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"image.{ending}"
    Image.fromarray(picture(1)).save(path, exif=exif)
    with Image.open(path) as image:
        seen = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert np.array_equal(read_image(path), seen)
    assert image_size(path) == seen.shape[:2] == ((20, 30) if orientation < 5 else (30, 20))


def test_a_mask_is_turned_with_its_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    mask = np.zeros((4, 6), np.uint8)
    mask[0, :] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png", exif=exif)
    assert read_index(tmp_path / "mask.png")[:, -1].tolist() == [255] * 6


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_keep_their_high_byte(tmp_path, ending):
    # Pillow's own convert("RGB") makes every value above 255 white
    deep = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    path = save(tmp_path / f"deep.{ending}", deep)
    image = read_image(path)
    assert image.shape == (16, 16, 3) and image.dtype == np.uint8
    assert np.array_equal(image[..., 1].ravel(), np.arange(256))
    assert file_facts(path).depth == 16


def test_twelve_bits_in_a_sixteen_bit_file_are_scaled_by_the_declared_depth(tmp_path):
    path = save(tmp_path / "scan.png", np.array([[0, 16, 4095]], np.uint16))
    assert read_image(path, PixelForm(depth=12))[0, :, 0].tolist() == [0, 1, 255]
    path = save(tmp_path / "deeper.png", np.array([[0, 4096]], np.uint16))
    with pytest.raises(InputFault, match=r"deeper.png has values 0…4096; 12 bits hold 0…4095"):
        read_image(path, PixelForm(depth=12))


def test_depth_leaves_eight_bit_images_alone(tmp_path):
    path = save(tmp_path / "image.png", picture(1))
    assert np.array_equal(read_image(path, PixelForm(depth=12)), picture(1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_kind_of_image_has_three_channels(tmp_path, mode):
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    Image.fromarray(picture(2)).convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (20, 30, 3) and image.dtype == np.uint8 and image.max() > 200


def test_an_image_of_one_colour_is_an_image(tmp_path):
    path = save(tmp_path / "black.png", np.zeros((3, 4), np.uint8))
    assert np.array_equal(read_image(path), np.zeros((3, 4, 3), np.uint8))


def test_opaque_alpha_changes_nothing_and_the_transparent_is_black(tmp_path):
    rgba = np.dstack([picture(3), np.full((20, 30), 255, np.uint8)])
    assert np.array_equal(read_image(save(tmp_path / "a.png", rgba)), picture(3))
    rgba[:10, :, 3] = 0
    half = read_image(save(tmp_path / "b.png", rgba))
    assert half[:10].max() == 0 and np.array_equal(half[10:], picture(3)[10:])


def _palette(path: Path, index: np.ndarray, colours: list[int]) -> Path:
    image = Image.new("P", index.shape[::-1])
    image.putdata(index.ravel().tolist())
    image.putpalette(colours)
    image.save(path)
    return path


def test_a_palette_gives_colours_to_an_image_and_its_index_to_a_mask(tmp_path):
    index = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    one = _palette(tmp_path / "one.png", index, [0, 0, 0, 255, 0, 0, 0, 0, 255])
    other = _palette(tmp_path / "other.png", index, [0, 0, 0, 0, 0, 255, 255, 0, 0])
    assert read_image(one)[0, 1].tolist() == [255, 0, 0]
    assert read_image(other)[0, 1].tolist() == [0, 0, 255]
    assert np.array_equal(read_index(one), index) and np.array_equal(read_index(other), index)


def test_masks_of_one_bit_eight_and_sixteen_bits_keep_their_numbers(tmp_path):
    mask = np.array([[0, 1], [1, 0]])
    deep = save(tmp_path / "16.png", (mask * 65535).astype(np.uint16))
    assert read_index(deep).tolist() == [[0, 65535], [65535, 0]]
    assert read_index(save(tmp_path / "1.png", mask.astype(bool))).tolist() == mask.tolist()
    three = np.repeat(mask[..., None] * 255, 3, axis=2).astype(np.uint8)
    assert read_index(save(tmp_path / "3.png", three)).tolist() == (mask * 255).tolist()


def test_a_colour_picture_is_no_mask(tmp_path):
    with pytest.raises(InputFault, match=r"colour.png is a colour picture \(RGB\)"):
        read_index(save(tmp_path / "colour.png", picture(1)))


def test_a_mask_in_jpeg_needs_a_threshold(tmp_path):
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    path = save(tmp_path / "mask.jpg", mask, quality=60)
    with pytest.raises(InputFault, match=r"mask in JPEG has smeared values; set threshold"):
        read_index(path)
    assert np.array_equal(read_index(path, threshold=128), mask // 255)


def _damaged(tmp_path: Path, kind: str) -> Path:
    png = save(tmp_path / "whole.png", picture(4)).read_bytes()
    jpeg = save(tmp_path / "whole.jpg", picture(4)).read_bytes()
    at = len(png) // 2
    content = {
        "empty": b"",
        "text": b"<html>not found</html>",
        "half-png": png[:at],
        "no-end-png": png[:-12],
        "flipped-png": png[:at] + bytes([png[at] ^ 1]) + png[at + 1 :],
        "half-jpeg": jpeg[: len(jpeg) // 2],
    }[kind]
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "kind", ["empty", "text", "half-png", "no-end-png", "flipped-png", "half-jpeg"]
)
def test_a_damaged_file_is_named_and_never_becomes_pixels(tmp_path, kind):
    path = _damaged(tmp_path, kind)
    for read in (read_image, read_index):
        with pytest.raises(InputFault, match=r"broken.png"):
            read(path, **({"threshold": 1} if read is read_index else {}))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputFault, match=r"gone.png does not exist"):
        image_size(tmp_path / "gone.png")


def test_several_pictures_in_one_file_are_refused(tmp_path):
    frames = [Image.fromarray(picture(n)) for n in (1, 2)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputFault, match=r"holds 2 pictures; expected one"):
        read_image(tmp_path / "moving.gif")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_a_huge_image_is_refused_by_its_header(tmp_path):
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
        + _chunk(b"IEND", b"")
    )
    assert image_size(path) == (40_000, 40_000)
    tracemalloc.start()
    with pytest.raises(InputFault, match=r"bomb.png has 40000 × 40000 pixels; the limit is"):
        read_image(path)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_the_limit_is_the_callers(tmp_path):
    path = save(tmp_path / "image.png", picture(1))
    assert read_image(path, limit=600).shape == (20, 30, 3)
    with pytest.raises(InputFault, match=r"the limit is 599"):
        read_image(path, limit=599)


@pytest.mark.parametrize(
    "path",
    ["../secret.png", "a/../../secret.png", "/etc/passwd", "a\\b.png", "C:/x.png", "", "a\0b"],
)
def test_a_path_that_leaves_the_data_folder_is_refused(tmp_path, path):
    with pytest.raises(InputFault, match=r"path "):
        safe_path(tmp_path, path)


def test_links_may_lead_around_inside_the_data_folder_but_not_out_of_it(tmp_path):
    root = tmp_path / "data"
    save(root / "a" / "image.png", picture(1))
    secret = save(tmp_path / "secret.png", picture(2))
    (root / "inside.png").symlink_to(root / "a" / "image.png")
    (root / "out.png").symlink_to(secret)
    (root / "outer").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    assert safe_path(root, "inside.png") == root / "inside.png"
    for path in ("out.png", "outer/secret.png", "outer/absent.png"):
        with pytest.raises(InputFault, match=r"is a link out of the data folder"):
            safe_path(root, path)
    with pytest.raises(InputFault, match=r"cannot be followed"):
        safe_path(root, "loop")
