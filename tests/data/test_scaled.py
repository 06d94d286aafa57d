"""Images at a scale: the same pixels whether a file is read whole or strip by strip."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from competition.data import scaled, strips
from competition.data.bands import read_pixels
from competition.data.letterbox import Letterbox
from competition.data.scaled import scaled_images
from competition.data.strips import overview
from competition.errors import InputFault
from competition.spec import PixelForm

tifffile = pytest.importorskip("tifffile")

SIZE = (301, 190)


def picture(size=SIZE, dtype=np.uint8, channels=3):
    rows, columns = np.mgrid[: size[0], : size[1]]
    planes = [(rows * 7 + columns * 3 * (k + 1)) % 251 for k in range(channels)]
    found = np.stack(planes, axis=2).astype(dtype)
    return found * 257 if dtype == np.uint16 else found


def catalog_of(*names, size=SIZE, split="train"):
    rows = [(name, name, split, *size) for name in names]
    return pd.DataFrame(rows, columns=["image", "path", "split", "height", "width"])


def write_tiff(path, pixels, **options):
    tifffile.imwrite(
        path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", **options
    )


FILES = {
    "tiled.tif": {"tile": (64, 48)},
    "deflated.tif": {"tile": (64, 64), "compression": "zlib"},
    "strips.tif": {"rowsperstrip": 50},
    "one-strip.tiff": {},
}


@pytest.mark.parametrize("name", [*FILES, "array.npy"])
def test_a_large_file_is_read_strip_by_strip_into_the_same_pixels(tmp_path, monkeypatch, name):
    pixels = picture()
    if name in FILES:
        write_tiff(tmp_path / name, pixels, **FILES[name])
    else:
        np.save(tmp_path / name, pixels)
    monkeypatch.setattr(scaled, "LARGE", 1)
    monkeypatch.setattr(strips, "_ROWS", 40)
    whole = read_pixels(tmp_path, name, PixelForm())
    monkeypatch.setattr(scaled, "read_pixels", None)  # nothing is read whole
    images = scaled_images(catalog_of(name), tmp_path, tmp_path / "cache", scale=1.0)
    assert np.array_equal(images[name], whole) and np.array_equal(whole, pixels)


@pytest.mark.parametrize("form", [PixelForm(channels=1, bits=16), PixelForm(channels=1)])
def test_sixteen_bits_and_grey_are_kept_as_of_the_whole(tmp_path, monkeypatch, form):
    write_tiff(tmp_path / "a.tif", picture(dtype=np.uint16, channels=1)[..., 0], tile=(64, 64))
    whole = read_pixels(tmp_path, "a.tif", form)
    monkeypatch.setattr(scaled, "LARGE", 1)
    images = scaled_images(
        catalog_of("a.tif"), tmp_path, tmp_path / "cache", scale=1.0, pixels=form
    )
    assert np.array_equal(images["a.tif"], whole) and whole.dtype == f"uint{form.bits}"


def test_a_tiff_whose_numbers_are_not_its_colours_is_read_whole(tmp_path, monkeypatch):
    palette = Image.fromarray(picture()[..., 0]).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "palette.tif")
    whole = read_pixels(tmp_path, "palette.tif", PixelForm())
    monkeypatch.setattr(scaled, "LARGE", 1)
    images = scaled_images(catalog_of("palette.tif"), tmp_path, tmp_path / "cache", scale=1.0)
    assert np.array_equal(images["palette.tif"], whole)


@pytest.mark.parametrize("scale", [0.5, 0.31, 1.7])
def test_a_large_file_is_resized_as_the_whole_but_for_rounding(tmp_path, monkeypatch, scale):
    write_tiff(tmp_path / "a.tif", picture(), tile=(64, 64))
    letterbox = Letterbox.scaled(SIZE, scale)
    expected = letterbox.image(picture())
    rows = catalog_of("a.tif")
    whole = scaled_images(rows, tmp_path, tmp_path / "whole", scale=scale)["a.tif"]
    assert np.array_equal(whole, expected) and whole.shape[:2] == letterbox.size
    monkeypatch.setattr(scaled, "LARGE", 1)
    found = scaled_images(rows, tmp_path, tmp_path / "strips", scale=scale)["a.tif"]
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_window_shows_the_image_and_black_beyond_it(tmp_path):
    np.save(tmp_path / "a.npy", picture())
    np.save(tmp_path / "b.npy", picture() + 1)
    images = scaled_images(catalog_of("a.npy", "b.npy"), tmp_path, tmp_path / "cache", scale=1.0)
    padded = np.pad(picture() + 1, ((20, 20), (20, 20), (0, 0)))
    for top, left in ((-20, -20), (-5, 150), (100, 90), (290, 170), (301, 0)):
        found = images.window("b.npy", (top, left, 30, 40))
        part = padded[top + 20 : top + 50, left + 20 : left + 60]
        assert np.array_equal(found[: part.shape[0], : part.shape[1]], part)
        assert not found[part.shape[0] :].any() and not found[:, part.shape[1] :].any()


def test_neighbouring_slices_of_a_window_come_along(tmp_path):
    names = ("s0.npy", "s1.npy", "s2.npy")
    for place, name in enumerate(names):
        np.save(tmp_path / name, np.full((*SIZE, 1), 10 * (place + 1), np.uint8))
    rows = catalog_of(*names).assign(volume="v", slice=range(3))
    form = PixelForm(channels=1, neighbours=1)
    images = scaled_images(rows, tmp_path, tmp_path / "cache", scale=0.5, pixels=form)
    assert images.window("s1.npy", (3, 4, 5, 6))[2, 2].tolist() == [10, 20, 30]
    assert images["s0.npy"][0, 0].tolist() == [10, 10, 20]
    assert images.alone("s1.npy")[0, 0].tolist() == [20]


def test_they_are_laid_out_once_and_again_when_a_file_has_changed(tmp_path):
    np.save(tmp_path / "a.npy", picture())
    made = []
    for pixels in (None, None, picture()[::-1]):
        if pixels is not None:
            np.save(tmp_path / "a.npy", pixels[:, ::-1])
            (tmp_path / "a.npy").touch()
        images = scaled_images(
            catalog_of("a.npy"),
            tmp_path,
            tmp_path / "cache",
            scale=1.0,
            advance=lambda: made.append(1),
        )
    assert len(made) == 2 and np.array_equal(images["a.npy"], picture()[::-1, ::-1])


def test_an_image_that_is_too_large_to_be_read_whole_is_refused_with_what_would_do(
    tmp_path, monkeypatch
):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    monkeypatch.setattr(scaled, "LARGE", 1)
    monkeypatch.setattr(scaled, "PIXEL_LIMIT", 1000)
    with pytest.raises(InputFault, match=r"a\.png has 301 × 190 pixels; .* tiled TIFF"):
        scaled_images(catalog_of("a.png"), tmp_path, tmp_path / "cache", scale=1.0)
    assert not (tmp_path / "cache" / "train-scale-1.0").exists()


def test_a_damaged_tiff_is_named(tmp_path, monkeypatch):
    write_tiff(tmp_path / "a.tif", picture(), tile=(64, 64), compression="zlib")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
    (tmp_path / "a.tif").write_bytes(content)
    monkeypatch.setattr(scaled, "LARGE", 1)
    with pytest.raises(InputFault, match=r"a\.tif .*(cannot be decoded|damaged)"):
        scaled_images(catalog_of("a.tif"), tmp_path, tmp_path / "cache", scale=1.0)


def test_what_is_too_large_to_be_decoded_whole_is_looked_at_shrunk(tmp_path, monkeypatch):
    write_tiff(tmp_path / "a.tif", picture(), tile=(64, 64))
    assert np.array_equal(overview(tmp_path, "a.tif", PixelForm()), picture())
    monkeypatch.setattr(strips, "PIXEL_LIMIT", 10_000)
    monkeypatch.setattr(strips, "LARGE", 5_000)
    small = overview(tmp_path, "a.tif", PixelForm())
    assert small.shape == (89, 56, 3)
    expected = Letterbox(SIZE, (89, 56), (89, 56)).image(picture())
    assert np.abs(small.astype(int) - expected).max() <= 1
