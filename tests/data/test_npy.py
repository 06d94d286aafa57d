"""Arrays of numpy as images and masks."""

import pickle

import numpy as np
import pytest
from downloads import SALT, parsed, picture, write_csv

from competition.data.catalog import build_catalog
from competition.data.images import (
    FileFacts,
    file_facts,
    image_size,
    read_colours,
    read_image,
    read_index,
)
from competition.data.labels import read_labels
from competition.errors import InputFault
from competition.spec import PixelForm

GREY = np.arange(256, dtype=np.uint8).reshape(8, 32)


def saved(path, array):
    np.save(path, array)
    return path


def fault_of(path, read=read_image, **options) -> str:
    with pytest.raises(InputFault) as caught:
        read(path, **options)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("shape", [(8, 32), (8, 32, 1)])
def test_grey_of_eight_bits_is_as_it_is(tmp_path, shape):
    path = saved(tmp_path / "a.npy", GREY.reshape(shape))
    image = read_image(path)
    assert image.dtype == np.uint8 and image_size(path) == (8, 32)
    assert np.array_equal(image, np.repeat(GREY[..., None], 3, axis=2))
    image[:] = 0  # not the file's own memory


@pytest.mark.parametrize("order", ["C", "F"])
def test_colours_are_red_green_blue_in_either_memory_order(tmp_path, order):
    path = saved(tmp_path / "a.npy", np.asarray(picture(1), order=order))
    image = read_image(path)
    assert np.array_equal(image, picture(1)) and image.flags.c_contiguous and image.flags.writeable


@pytest.mark.parametrize("kind", ["<u2", ">u2"])
def test_sixteen_bits_lose_their_low_ones_by_depth(tmp_path, kind):
    path = saved(tmp_path / "a.npy", np.array([[0, 16, 256, 4095]], kind))
    assert read_image(path)[0, :, 0].tolist() == [0, 0, 1, 15]
    assert read_image(path, PixelForm(depth=12))[0, :, 1].tolist() == [0, 1, 16, 255]
    assert file_facts(path) == FileFacts("NPY", "uint16", 16, 1)
    assert "values 0…4095; 11 bits hold 0…2047: check depth" in fault_of(
        path, form=PixelForm(depth=11)
    )


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_decimals_are_shares_of_white(tmp_path, kind):
    path = saved(tmp_path / "a.npy", np.array([[0, 0.25, 0.5, 1]], kind))
    assert read_image(path)[0, :, 2].tolist() == [0, 64, 128, 255]
    assert file_facts(path).depth == 8


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([0, 1.5], "0…1.5"),
        ([-0.25, 1], "-0.25…1"),
        ([190.5, 310], "190.5…310"),
        ([0, np.nan], "nan"),
    ],
)
def test_other_decimals_are_refused_with_their_range(tmp_path, values, found):
    said = fault_of(saved(tmp_path / "a.npy", np.array([values], np.float32)))
    assert found in said and "expected 0…1" in said


@pytest.mark.parametrize("kind", [bool, np.uint32, np.complex64])
def test_other_numbers_are_no_image(tmp_path, kind):
    said = fault_of(saved(tmp_path / "a.npy", np.ones((2, 3), kind)))
    assert f"an array of {np.dtype(kind).name}; expected uint8, uint16, decimals, or signed" in said


@pytest.mark.parametrize("shape", [(4,), (0, 3), (2, 3, 1, 2, 2)])
def test_another_shape_is_refused(tmp_path, shape):
    path = saved(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    for read in (image_size, read_image, read_index):
        said = fault_of(path, read)
        assert "expected (H, W), (H, W, channels)" in said and str(shape) in said


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 3, 4), (2, 3, 3, 1)])
def test_channels_and_times_that_are_not_asked_for_are_refused_with_the_key(tmp_path, shape):
    path = saved(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    assert image_size(path) == (2, 3)
    key = "frame in [data]" if len(shape) == 4 else "check channels in [data]"
    assert key in fault_of(path)
    said = fault_of(path, read_index)
    assert f"has the shape {shape}; " in said and ("a mask is (H, W)" in said or key in said)


def test_a_cut_empty_or_other_file_is_named_and_nothing_is_unpickled(tmp_path):
    content = saved(tmp_path / "a.npy", GREY).read_bytes()
    for end in (0, 3, 9, 60, 128, len(content) - 1):
        path = tmp_path / "cut.npy"
        path.write_bytes(content[:end])
        for read in (image_size, read_image, read_index):
            said = fault_of(path, read)
            assert "is not an image that can be read: " in said
            assert (end > 0) or said.endswith("it is empty")
    path.write_bytes(pickle.dumps(GREY))
    assert "not an image that can be read" in fault_of(path)
    objects = np.array([[print, 1]], object)
    np.save(path, objects, allow_pickle=True)
    assert "not an image that can be read" in fault_of(path)
    with open(path, "wb") as file:
        np.savez(file, GREY)
    assert "not an image that can be read" in fault_of(path)
    assert fault_of(tmp_path / "gone.npy", image_size).endswith("does not exist")


def test_a_changed_header_is_never_more_than_a_fault(tmp_path):
    content = saved(tmp_path / "a.npy", GREY).read_bytes()
    random, said = np.random.default_rng(0), []
    for _ in range(1000):
        changed = bytearray(content)
        for place in random.integers(0, 80, 2):
            changed[place] = random.integers(256)
        path = tmp_path / "b.npy"
        path.write_bytes(changed)
        for read in (image_size, read_image, read_index):
            try:
                read(path)
            except InputFault as fault:
                said.append(str(fault))
    assert said and all(text.startswith(str(path)) for text in said)


def test_the_size_needs_no_pixel_and_a_huge_array_is_refused_by_its_header(tmp_path):
    path = tmp_path / "a.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (40_000, 40_000)).flush()  # a sparse file
    assert image_size(path) == (40_000, 40_000)
    for read in (read_image, read_index):
        assert "has 40000 × 40000 pixels; the limit is" in fault_of(path, read)
    assert "a recipe with tiles reads it strip by strip" in fault_of(path, read_image)
    assert "tiles" not in fault_of(path, read_index)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int8, ">u2", np.int32, np.int64, np.uint64])
@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1)])
def test_a_mask_keeps_its_numbers(tmp_path, kind, shape):
    path = saved(tmp_path / "a.npy", np.array([[0, 1], [1, 0]]).astype(kind).reshape(shape))
    values = read_index(path)
    assert values.tolist() == [[0, 1], [1, 0]] and values.dtype in (np.uint8, np.uint16, np.int32)
    assert read_index(path, threshold=1).tolist() == [[0, 1], [1, 0]]


def test_what_is_no_mask_is_refused(tmp_path):
    path = saved(tmp_path / "a.npy", np.zeros((2, 2), np.float32))
    assert "an array of float32; a mask has whole numbers" in fault_of(path, read_index)
    path = saved(tmp_path / "b.npy", picture(1))
    assert "is a colour picture (uint8); a mask has one channel" in fault_of(path, read_index)
    assert "colours of masks are not read from NPY" in fault_of(path, read_colours)
    path = saved(tmp_path / "c.npy", np.array([[0, 2**40]]))
    assert f"has values 0…{2**40}; a mask has numbers of 32 bits" in fault_of(path, read_index)


def test_images_and_masks_of_a_competition_may_be_arrays(tmp_path):
    form = {**SALT["submission"], "sample": None}
    data = {
        **SALT["data"],
        "train_images": "*/image.npy",
        "image_id": "folder",
        "test_images": None,
    }
    labels = {"kind": "masks", "files": "{folder}/mask.npy", "values": "nonzero"}
    masks = {}
    for number in range(4):
        folder = tmp_path / f"{number:02}"
        folder.mkdir()
        saved(folder / "image.npy", picture(number).astype(np.float32) / 255)
        masks[folder.name] = picture(number)[..., :1] > 128
        saved(folder / "mask.npy", masks[folder.name])
    write_csv(tmp_path / "sample_submission.csv", [["id", "rle_mask"]])
    competition = parsed(SALT, tmp_path, data=data, labels=labels, submission=form)
    catalog = build_catalog(competition)
    assert catalog["height"].tolist() == [20] * 4
    found = read_labels(competition, catalog)
    for name, mask in masks.items():
        assert np.array_equal(found[name].to_dense()[0], mask[..., 0])
