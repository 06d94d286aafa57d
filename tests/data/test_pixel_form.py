"""What is kept of an image: how many channels, how many bits, what is black and white, which files."""

import pickle

import cv2
import numpy as np
import pytest
from dicoms import save_dicom
from downloads import SALT, parsed, picture, save
from PIL import Image
from pydantic import ValidationError

from competition.data.augment import augment, transform
from competition.data.bands import pixel_files, read_pixels
from competition.data.catalog import build_catalog
from competition.data.images import file_facts, image_size, read_image, read_index
from competition.data.letterbox import Letterbox, LetterboxedImages, letterboxed_images
from competition.data.levels import pictured
from competition.doctor import examine
from competition.doctor.kept import kept_report
from competition.entry import entry_of
from competition.errors import InputFault
from competition.project import Project
from competition.recipes import Augmentation, recipe_of
from competition.spec import PathPart, PixelForm
from competition.steps import make_split
from competition.workspace import Workspace

tifffile = pytest.importorskip("tifffile")

FIVE = np.random.default_rng(0).integers(0, 65536, (7, 9, 5)).astype(np.uint16)


def array(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)
    return path


def fault_of(path, form, read=read_image):
    with pytest.raises(InputFault) as caught:
        read(path, form)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


# Channels


@pytest.mark.parametrize("how", ["npy", "tif", "planar.tif"])
def test_five_channels_of_sixteen_bits_are_as_they_are(tmp_path, how):
    path = tmp_path / f"a.{how}"
    if how == "npy":
        array(path, FIVE)
    elif how == "tif":
        tifffile.imwrite(path, FIVE, photometric="minisblack", planarconfig="contig")
    else:
        planes = np.moveaxis(FIVE, -1, 0)
        tifffile.imwrite(path, planes, photometric="minisblack", planarconfig="separate")
    assert image_size(path) == (7, 9) and file_facts(path).depth == 16
    assert np.array_equal(read_image(path, PixelForm(channels=5, bits=16)), FIVE)
    assert np.array_equal(read_image(path, PixelForm(channels=5)), FIVE >> 8)
    assert "has 5 channels, expected 3: check channels in [data]" in fault_of(path, PixelForm())
    with pytest.raises(InputFault, match="a mask"):
        read_index(path)


def test_a_tiff_of_five_samples_says_how_tifffile_is_installed(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, FIVE, photometric="minisblack", planarconfig="contig")
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    assert "pip install 'podium[tiff]'" in fault_of_missing(path)


def fault_of_missing(path):
    with pytest.raises(InputFault) as caught:
        image_size(path)
    return str(caught.value)


def test_a_damaged_tiff_of_five_samples_is_named(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, FIVE, photometric="minisblack", planarconfig="contig", compression="zlib"
    )
    content = path.read_bytes()
    for end in (5, 60, len(content) // 2, len(content) - 40):
        path.write_bytes(content[:end])
        with pytest.raises(InputFault) as caught:
            read_image(path, PixelForm(channels=5, bits=16))
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_grey_has_one_channel_where_one_is_asked_for(tmp_path):
    grey = picture(1)[..., 0]
    assert np.array_equal(
        read_image(save(tmp_path / "a.png", grey), PixelForm(channels=1)), grey[..., None]
    )
    equal = np.repeat(grey[..., None], 3, axis=2)
    found = read_image(save(tmp_path / "b.png", equal), PixelForm(channels=1))
    assert np.array_equal(found, grey[..., None])
    path = save(tmp_path / "c.png", picture(1))
    assert "channels = 1 in [data]" in fault_of(path, PixelForm(channels=1))


def test_alpha_is_a_channel_where_four_or_two_are_asked_for(tmp_path):
    rgba = np.random.default_rng(1).integers(0, 256, (7, 9, 4)).astype(np.uint8)
    for ending in ("png", "tif"):
        path = save(tmp_path / f"a.{ending}", rgba)
        assert np.array_equal(read_image(path, PixelForm(channels=4)), rgba)
        assert read_image(path).shape == (7, 9, 3)
    Image.fromarray(rgba[..., :2], "LA").save(tmp_path / "la.png")
    assert np.array_equal(read_image(tmp_path / "la.png", PixelForm(channels=2)), rgba[..., :2])
    assert "has 3 channels, expected 4" in fault_of(
        save(tmp_path / "b.png", picture(1)), PixelForm(channels=4)
    )


# Bits


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_kept_of_grey_and_of_colours(tmp_path, ending, channels):
    path = tmp_path / f"a.{ending}"
    values = FIVE[..., 0] if channels == 1 else FIVE[..., :channels]
    if ending == "tif":
        kind = "minisblack" if channels == 1 else "rgb"
        tifffile.imwrite(path, values, photometric=kind)
    else:
        order = [2, 1, 0, 3][:channels]
        assert cv2.imwrite(str(path), values if channels == 1 else values[..., order])
    form = PixelForm(channels=channels, bits=16)
    assert np.array_equal(read_image(path, form).squeeze(), values)


def test_shallower_files_are_spread_so_that_white_is_white(tmp_path):
    path = save(tmp_path / "a.png", np.array([[0, 1, 128, 255]], np.uint8))
    found = read_image(path, PixelForm(channels=1, bits=16)).ravel()
    assert found.tolist() == [0, 257, 128 * 257, 65535]
    path = save(tmp_path / "b.png", np.array([[0, 1, 4095]], np.uint16))
    found = read_image(path, PixelForm(channels=1, bits=16, depth=12)).ravel()
    assert found.tolist() == [0, 16, 65535]


def test_a_dicom_window_gives_as_many_bits_as_are_kept(tmp_path):
    values = np.arange(0, 1000, dtype=np.uint16).reshape(20, 50)
    path = save_dicom(tmp_path / "a.dcm", values, WindowCenter=500, WindowWidth=1000)
    found = read_image(path, PixelForm(channels=1, bits=16))
    assert len(np.unique(found)) > 990 and found.max() > 65000
    assert np.abs(read_image(path)[..., 0] - found[..., 0] / 257.0).max() <= 0.5


@pytest.mark.parametrize(("high", "depth"), [(65535, None), (4095, None), (4095, 12)])
def test_deep_colours_of_a_ppm_are_kept(tmp_path, high, depth):
    values = FIVE[..., :3] & high
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6\n9 7\n%d\n" % high + values.astype(">u2").tobytes())
    found = read_image(path, PixelForm(bits=16, depth=depth))
    assert np.array_equal(found, np.rint(values * (65535 / high)))
    assert np.abs(read_image(path).astype(int) - values * (255 / high)).max() <= 1


# Range


def test_a_range_says_what_is_black_and_white_and_clips(tmp_path):
    path = array(tmp_path / "a.npy", np.array([[180, 190, 250, 310, 400]], np.float32))
    form = PixelForm(channels=1, range=(190, 310))
    assert read_image(path, form).ravel().tolist() == [0, 0, 128, 255, 255]
    deep = read_image(path, PixelForm(channels=1, bits=16, range=(190, 310)))
    assert deep.ravel().tolist() == [0, 0, 32768, 65535, 65535]
    turned = PixelForm(channels=1, range=(310, 190))
    assert read_image(path, turned).ravel().tolist() == [255, 255, 128, 0, 0]


def test_each_channel_may_have_a_range_of_its_own(tmp_path):
    path = array(tmp_path / "a.npy", np.array([[[1.0, 10, -5]]]))
    form = PixelForm(range=[[0, 2], [0, 100], [-10, 0]])
    assert read_image(path, form).ravel().tolist() == [128, 26, 128]


@pytest.mark.parametrize("ending", ["png", "npy", "tif"])
def test_a_range_is_in_the_numbers_that_are_stored(tmp_path, ending):
    values = np.array([[1000, 1500, 2000, 3000]], np.uint16)
    path = tmp_path / f"a.{ending}"
    array(path, values) if ending == "npy" else save(path, values)
    form = PixelForm(channels=1, range=(1000, 2000))
    assert read_image(path, form).ravel().tolist() == [0, 128, 255, 255]


def test_hounsfield_units_are_what_a_range_of_dicom_is_in(tmp_path):
    values = np.array([[0, 1024, 1424, 3000]], np.uint16)
    tags = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 0, "WindowWidth": 10}
    path = save_dicom(tmp_path / "a.dcm", values, **tags)
    form = PixelForm(channels=1, range=(-400, 400))
    assert read_image(path, form).ravel().tolist() == [0, 128, 255, 255]


@pytest.mark.parametrize(
    "values",
    [
        np.array([[-5, 7]], np.int16),
        np.array([[0.0, 1.5]], np.float32),
        np.array([[0.0, np.nan]], np.float32),
    ],
)
def test_numbers_that_nothing_places_name_the_key(tmp_path, values):
    path = array(tmp_path / "a.npy", values)
    assert "set range = [black, white] in [data]" in fault_of(path, PixelForm(channels=1))
    if np.isnan(values).any():
        assert "1 values that are no number" in fault_of(path, PixelForm(channels=1, range=(0, 1)))


def test_signed_numbers_in_a_tiff_are_read_by_their_range(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.array([[-1000, 0, 400, 1500]], np.int16))
    said = fault_of(path, PixelForm())
    assert "has signed values -1000…1500" in said and "set range" in said
    found = read_image(path, PixelForm(channels=1, range=(-1000, 1000)))
    assert found.ravel().tolist() == [0, 128, 178, 255]


def test_decimals_in_a_tiff_are_shares_of_white_or_have_a_range(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(np.array([[0, 0.25, 1]], np.float32)).save(path)
    assert read_image(path)[..., 0].tolist() == [[0, 64, 255]]
    Image.fromarray(np.array([[-1, 0, 1]], np.float32)).save(path)
    assert "set range" in fault_of(path, PixelForm())
    assert read_image(path, PixelForm(range=(-1, 1)))[..., 1].tolist() == [[0, 128, 255]]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"bands": ["a.png", "b.png"], "channels": 3}, "bands names 2 files"),
        ({"bands": ["a.png", "a.png"]}, "stands twice"),
        ({"range": [[0, 1], [0, 2]]}, "range has 2 pairs; expected one, or 3"),
        ({"range": [1, 1]}, "what is black and what is white differ"),
        ({"range": [0, 1], "depth": 12}, "keep range"),
        ({"bands": ["{part}/a.png"]}, "part says what"),
        ({"bits": 12}, "8 or 16"),
        ({"channels": 0}, "greater than or equal to 1"),
    ],
)
def test_keys_that_do_not_fit_together_are_refused(keys, said):
    with pytest.raises(ValidationError, match=said):
        PixelForm(**keys)


# Bands and frames


def test_a_frame_of_a_further_axis_is_the_image(tmp_path):
    times = np.random.default_rng(0).random((6, 8, 4), np.float32)
    path = array(tmp_path / "a.npy", times)
    found = read_image(path, PixelForm(channels=1, bits=16, frame=2))[..., 0]
    assert np.array_equal(found, np.rint(times[..., 2].astype(float) * 65535))
    assert "asks for a place" in fault_of(path, PixelForm(channels=1, frame=4))
    path = array(tmp_path / "b.npy", times.reshape(6, 8, 2, 2))
    assert read_image(path, PixelForm(channels=2, frame=1)).shape == (6, 8, 2)
    png = save(tmp_path / "c.png", picture(1))
    assert "frame in [data] is for arrays" in fault_of(png, PixelForm(frame=0))


def banded(root, **data):
    """A competition of images in folders, each of two bands; the masks in a third file."""
    for number in range(6):
        part = "train" if number < 4 else "test"
        for band in (1, 2):
            values = np.random.default_rng((number, band)).integers(0, 65536, (20, 30))
            array(root / f"{part}/{number:04}/band_{band}.npy", values.astype(np.uint16))
        array(root / f"{part}/{number:04}/mask.npy", np.eye(20, 30, dtype=np.uint8))
    keys = {
        "root": ".",
        "train_images": "train/*/band_1.npy",
        "test_images": "test/*/band_1.npy",
        "image_id": "folder",
        "bands": ["band_2.npy", "band_1.npy"],
        "bits": 16,
    }
    labels = {"kind": "masks", "files": "train/{folder}/mask.npy"}
    form = {**SALT["submission"], "sample": None}
    return parsed(SALT, root, data={**keys, **data}, labels=labels, submission=form)


def test_bands_are_the_channels_in_their_order(tmp_path):
    competition = banded(tmp_path)
    catalog = build_catalog(competition)
    assert catalog["image"].tolist() == [f"{n:04}" for n in range(6)]
    assert (competition.data.channels, competition.data.bits) == (2, 16)
    found = read_pixels(tmp_path, "test/0005/band_1.npy", competition.data)
    expected = [np.random.default_rng((5, band)).integers(0, 65536, (20, 30)) for band in (2, 1)]
    assert np.array_equal(found, np.stack(expected, axis=2))


@pytest.mark.parametrize(
    ("bands", "found"),
    [
        (["{stem}_nir.tif"], "x/red/a.b_nir.tif"),
        (["{part}/nir/{stem}.tif"], "x/nir/a.b.tif"),
        (["all/{folder}-{stem}.tif"], "all/red-a.b.tif"),
    ],
)
def test_a_band_lies_beside_the_image_or_below_root(bands, found):
    part = PathPart(pattern="^[^/]+") if "{part}" in bands[0] else None
    assert pixel_files("x/red/a.b.tif", PixelForm(bands=bands, part=part)) == (found,)


def test_what_is_filled_into_a_band_is_not_looked_at_again():
    assert pixel_files("x/{stem}/b.tif", PixelForm(bands=["y/{folder}_{stem}.tif"])) == (
        "y/{stem}_b.tif",
    )


def catalog_fault(competition):
    with pytest.raises(InputFault) as caught:
        build_catalog(competition)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_band_and_one_of_another_size_are_named(tmp_path):
    competition = banded(tmp_path)
    other = tmp_path / "train/0002/band_2.npy"
    array(other, np.zeros((20, 31), np.uint16))
    assert "20 × 30 pixels" in (said := catalog_fault(competition)) and str(other) in said
    other.unlink()
    said = catalog_fault(competition)
    assert f"has no band {other}: check bands in [data]" in said


def test_a_band_of_colours_is_refused(tmp_path):
    competition = banded(tmp_path)
    path = array(tmp_path / "train/0002/band_2.npy", picture(3))
    with pytest.raises(InputFault, match="one channel .* each of bands") as said:
        read_pixels(tmp_path, "train/0002/band_1.npy", competition.data)
    assert str(path) in str(said.value)


def test_a_band_that_leads_out_of_the_data_is_refused(tmp_path):
    competition = banded(tmp_path / "data")
    outside = array(tmp_path / "b.npy", np.zeros((20, 30), np.uint16))
    inside = tmp_path / "data/train/0002/band_2.npy"
    inside.unlink()
    inside.symlink_to(outside)
    assert "is a link out of the data folder" in catalog_fault(competition)


# The cache


def laid(competition, cache, form=None):
    catalog = build_catalog(competition)
    return letterboxed_images(
        catalog[catalog["split"] == "train"].reset_index(drop=True),
        competition.root,
        cache,
        form=((16, 18), "pad"),
        pixels=form or competition.data,
    )


def test_the_cache_keeps_channels_and_bits_and_is_made_anew_when_they_change(tmp_path):
    competition, cache = banded(tmp_path), tmp_path / "cache"
    images = laid(competition, cache)
    assert images.pixels.shape == (4, 16, 18, 2) and images.pixels.dtype == np.uint16
    native = read_pixels(tmp_path, "train/0001/band_1.npy", competition.data)
    alone = Letterbox.of((20, 30), (16, 18), "pad").image(native[..., 1:])
    assert np.array_equal(images["0001"][..., 1:], alone)
    assert isinstance(pickle.loads(pickle.dumps(images)), LetterboxedImages)
    key = (cache / "train-16x18-pad/key.txt").read_text()
    laid(competition, cache)
    assert (cache / "train-16x18-pad/key.txt").read_text() == key
    for change in ({"range": ((0.0, 9.0),)}, {"bits": 8}, {"bands": ("band_1.npy", "band_2.npy")}):
        anew = laid(
            competition, cache, PixelForm(**{**competition.data.pixels.model_dump(), **change})
        )
        changed = (cache / "train-16x18-pad/key.txt").read_text()
        assert changed != key and not np.array_equal(anew["0001"], images["0001"])
    again = laid(competition, cache)
    array(tmp_path / "train/0001/band_2.npy", np.zeros((20, 30), np.uint16))
    assert again["0001"].any() and not laid(competition, cache)["0001"][..., 0].any()


def test_a_changed_band_counts_in_receipts_and_in_the_kept_report(tmp_path):
    competition, workspace = banded(tmp_path), Workspace(tmp_path / "work", "salt")
    catalog = build_catalog(competition)
    project = Project(competition, tmp_path / "work", say=lambda line: None)
    make_split(project)
    step = project.pipeline.train(entry_of(competition).members[0], 0)
    said, before = examine(competition, workspace), step.inputs()
    assert kept_report(competition, workspace, catalog) == said
    array(tmp_path / "train/0001/band_2.npy", np.zeros((20, 30), np.uint16))
    assert kept_report(competition, workspace, catalog) is None
    after = step.inputs()
    assert {key for key in after if after[key] != before[key]} == {"images"}


def sliced(root, **data):
    """Two volumes of five and three slices whose paths are not in the order of their names."""
    for volume, count in (("a", 5), ("b", 3)):
        for number in range(count):
            values = np.full((20, 30), 10 * (number + 1) + (100 if volume == "b" else 0), np.uint8)
            save(root / f"train/{volume}/{8 + number}.png", values)
            save(root / f"masks/{volume}/{8 + number}.png", np.eye(20, 30, dtype=np.uint8))
    keys = {"root": ".", "train_images": "train/*/*.png", "image_id": "path", "volume": "folder"}
    keys |= {"group": "volume", "test_images": None, "channels": 1, "neighbours": 1}
    labels = {"kind": "masks", "files": "masks/{folder}/{stem}.png"}
    form = {**SALT["submission"], "sample": None}
    return parsed(SALT, root, data={**keys, **data}, labels=labels, submission=form)


def test_neighbours_in_the_volume_are_channels_and_ends_repeat_the_last_slice(tmp_path):
    competition, cache = sliced(tmp_path), tmp_path / "cache"
    images = laid(competition, cache)
    assert images.pixels.shape == (8, 16, 18, 1)  # no slice lies there twice

    def shown(image, of=images):
        return of[image][0, 0].tolist()

    assert [shown(f"a/{n}.png") for n in range(8, 13)] == [
        [10, 10, 20],
        [10, 20, 30],
        [20, 30, 40],
        [30, 40, 50],
        [40, 50, 50],
    ]
    assert shown("b/8.png") == [110, 110, 120] and shown("b/10.png") == [120, 130, 130]
    assert shown("a/10.png", pickle.loads(pickle.dumps(images))) == [20, 30, 40]
    wider = laid(competition, cache, competition.data.model_copy(update={"neighbours": 2}))
    assert shown("a/8.png", wider) == [10, 10, 10, 20, 30]
    assert recipe_of(competition, "unet-resnet18-cpu").network.channels == 3
    colours = sliced(tmp_path, channels=3, neighbours=2)
    assert recipe_of(colours, "unet-resnet18-cpu").network.channels == 15


def test_neighbours_need_a_volume(tmp_path):
    with pytest.raises(InputFault, match="neighbours are slices of a volume"):
        sliced(tmp_path, volume=None, group="folder")


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(11, 13), (60, 44)])
def test_each_channel_is_resized_as_if_alone(channels, dtype, size):
    white = np.iinfo(dtype).max
    image = np.random.default_rng(0).integers(0, white, (24, 31, channels)).astype(dtype)
    letterbox = Letterbox.of((24, 31), size, "stretch")
    found = letterbox.image(image)
    assert found.dtype == dtype and found.shape == (*size, channels)
    for k in range(channels):
        alone = letterbox.image(np.repeat(image[..., k : k + 1], 3, axis=2))[..., 0]
        assert np.abs(found[..., k].astype(int) - alone).max() <= 1


# Augmentation


def changed(image, settings, seed=(0, 1, 2)):
    planes = (np.random.default_rng(0).random((1, *image.shape[:2])) > 0.5).astype(np.uint8)
    change = transform(settings)
    return augment(image, planes, change=change, flip=(0.5, (0,)), seed=seed)


def smooth(channels):
    """uint8 (40, 50, C): soft spots, each channel other ones."""
    noise = np.random.default_rng(5).random((channels, 40, 50))
    soft = np.stack([cv2.GaussianBlur(one, (0, 0), 4) for one in noise], axis=2)
    return np.rint(255 * (soft - soft.min()) / np.ptp(soft)).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("part", ["rotate", "scale", "shift", "intensity", "all"])
def test_sixteen_bits_are_changed_as_eight_are(channels, part):
    settings = {"rotate": 0, "scale": 0, "shift": 0, "intensity": 0, "noise": 0}
    settings |= Augmentation().model_dump(exclude={"flip"}) if part == "all" else {}
    settings |= {part: {"rotate": 20, "scale": 0.2, "shift": 0.1, "intensity": 0.3}.get(part, 0)}
    settings.pop("all", None)
    image = smooth(channels)
    for seed in range(4):
        shallow, planes = changed(image, Augmentation(**settings), (seed, 0, 0))
        deep, same = changed(image.astype(np.uint16) * 257, Augmentation(**settings), (seed, 0, 0))
        assert deep.dtype == np.uint16 and shallow.dtype == np.uint8
        assert deep.shape == shallow.shape == image.shape and np.array_equal(planes, same)
        assert np.abs(deep / 257 - shallow).max() < 4


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_no_channel_is_mixed_with_another_or_clipped(channels, dtype):
    """Channel k alone, the others black, gives channel k; blur, too; noise adds to each its own."""
    scale = 257 if dtype == np.uint16 else 1
    image = smooth(channels).astype(dtype) * dtype(scale)
    settings = Augmentation(rotate=20, scale=0.2, shift=0.1, intensity=0)
    whole, _ = changed(image, settings)
    for k in range(channels):
        alone = np.zeros_like(image)
        alone[..., k] = image[..., k]
        found, _ = changed(alone, settings)
        assert np.abs(found[..., k].astype(int) - whole[..., k]).max() <= scale
        assert not np.delete(found, k, axis=2).any()
    for seed in range(10):  # blur or noise
        noisy, _ = changed(image, Augmentation(intensity=0, noise=1.0), (seed, 0, 0))
        assert noisy.dtype == dtype and noisy.shape == image.shape
        assert noisy.max() > 150 * scale


def test_nothing_to_change_changes_no_bit():
    settings = Augmentation(rotate=0, scale=0, shift=0, intensity=0, noise=0)
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    found, _ = augment(
        every,
        np.zeros((1, 256, 256), np.uint8),
        change=transform(settings),
        flip=(0.0, (0,)),
        seed=(0, 0, 0),
    )
    assert np.array_equal(found, every)


# For eyes


def test_a_picture_shows_the_first_three_channels_or_grey():
    assert np.array_equal(pictured(FIVE), FIVE[..., :3] >> 8)
    two = pictured(FIVE[..., :2])
    assert np.array_equal(two, np.repeat(FIVE[..., :1] >> 8, 3, axis=2)) and two.dtype == np.uint8
    assert np.array_equal(pictured(picture(1)), picture(1))
