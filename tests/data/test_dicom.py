"""DICOM: what a scanner stored, as the radiologist saw it; what is not read is said."""

import sys
import tracemalloc
from io import BytesIO

import numpy as np
import pytest
from dicoms import save_dicom
from downloads import SALT, parsed, picture, save, write_csv
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import (
    MPEG2MPML,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from competition.data.catalog import build_catalog
from competition.data.images import (
    FileFacts,
    file_facts,
    image_size,
    read_colours,
    read_image,
    read_index,
)
from competition.doctor.image_checks import check_images
from competition.errors import InputFault
from competition.spec import PixelForm

GREY = np.arange(256, dtype=np.uint8).reshape(8, 32)


def grey_of(path, **options) -> np.ndarray:
    """uint8 (H, W) of an image whose channels are equal."""
    image = read_image(path, **options)
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    assert (image == image[..., :1]).all() and image.shape == (*image_size(path), 3)
    return image[..., 0]


def fault_of(path, read=read_image, **options) -> str:
    with pytest.raises(InputFault) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_eight_bits_are_as_they_are_and_a_white_zero_is_turned_round(tmp_path):
    assert np.array_equal(grey_of(save_dicom(tmp_path / "a.dcm", GREY)), GREY)
    path = save_dicom(tmp_path / "b.DCM", GREY, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(grey_of(path), 255 - GREY)
    assert file_facts(path) == FileFacts("DICOM", "MONOCHROME1", 8, 1)


def test_without_a_window_the_bits_stored_are_what_counts(tmp_path):
    deep = np.array([[0, 16, 2047, 4095]], np.uint16)
    path = save_dicom(tmp_path / "a.dcm", deep, BitsStored=12)
    assert grey_of(path).tolist() == [[0, 1, 127, 255]]
    assert file_facts(path).depth == 12
    turned = {"BitsStored": 12, "PhotometricInterpretation": "MONOCHROME1"}
    path = save_dicom(tmp_path / "b.dcm", deep, **turned)
    assert grey_of(path).tolist() == [[255, 254, 128, 0]]
    path = save_dicom(tmp_path / "c.dcm", deep)
    assert grey_of(path).tolist() == [[0, 0, 7, 15]]
    assert grey_of(path, form=PixelForm(depth=12)).tolist() == [[0, 1, 127, 255]]
    assert np.array_equal(
        grey_of(save_dicom(tmp_path / "d.dcm", GREY), form=PixelForm(depth=12)), GREY
    )
    twelve = save_dicom(tmp_path / "e.dcm", np.dstack([deep] * 3), BitsStored=16)
    assert grey_of(twelve, form=PixelForm(depth=12)).tolist() == [[0, 1, 127, 255]]
    assert "values 0…4095; 11 bits hold 0…2047: check depth" in fault_of(
        path, form=PixelForm(depth=11)
    )


def test_signed_values_begin_with_the_lowest(tmp_path):
    values = np.array([[-2048, -1, 0, 2047]], np.int16)
    path = save_dicom(tmp_path / "a.dcm", values, BitsStored=12)
    assert grey_of(path).tolist() == [[0, 127, 128, 255]]
    unused = (values.view(np.uint16) & 0x0FFF).view(np.int16)  # a sign that stops at its 12th bit
    path = save_dicom(tmp_path / "b.dcm", unused, BitsStored=12)
    assert grey_of(path).tolist() == [[0, 127, 128, 255]]
    path = save_dicom(tmp_path / "c.dcm", values)
    assert grey_of(path, form=PixelForm(depth=12)).tolist() == [[0, 127, 128, 255]]


def test_the_first_window_decides(tmp_path):
    values = np.array([[-3000, -160, 39, 40, 239, 240, 3000]], np.int16)
    window = {"WindowCenter": [40, 600], "WindowWidth": [400, 1500]}
    path = save_dicom(tmp_path / "a.dcm", values, **window)
    # ((x - 39.5) / 399 + .5) * 255 (DICOM PS3.3, C.11.2.1.2.1)
    expected = [0, 0, 127, 128, 255, 255, 255]
    assert grey_of(path).tolist() == [expected]
    assert file_facts(path).depth == 8
    assert grey_of(path, form=PixelForm(depth=9)).tolist() == [expected]
    path = save_dicom(tmp_path / "b.dcm", values, PhotometricInterpretation="MONOCHROME1", **window)
    assert grey_of(path).tolist() == [[255 - value for value in expected]]


@pytest.mark.parametrize(
    ("shape", "width", "expected"),
    [
        ("LINEAR", 1, [0, 0, 0, 255, 255]),
        ("LINEAR_EXACT", 4, [0, 64, 128, 191, 255]),
        ("LINEAR_EXACT", 0.5, [0, 0, 128, 255, 255]),
        ("SIGMOID", 4, [30, 69, 128, 186, 225]),
    ],
)
def test_a_window_has_the_shape_that_the_file_names(tmp_path, shape, width, expected):
    values = np.array([[8, 9, 10, 11, 12]], np.uint16)
    tags = {"WindowCenter": 11 if width == 1 else 10, "WindowWidth": width}
    path = save_dicom(tmp_path / "a.dcm", values, VOILUTFunction=shape, **tags)
    assert grey_of(path).tolist() == [expected]


def test_a_window_is_of_rescaled_values(tmp_path):
    stored = np.array([[0, 912, 1011, 1012, 1111, 4000]], np.uint16)
    window = {"WindowCenter": 40, "WindowWidth": 400}
    rescaled = {"RescaleSlope": 2, "RescaleIntercept": -1984}
    path = save_dicom(tmp_path / "a.dcm", stored, **window, **rescaled)
    values = (stored.astype(np.int16) * 2 - 1984).astype(np.int16)
    plain = save_dicom(tmp_path / "b.dcm", values, **window)
    assert np.array_equal(grey_of(path), grey_of(plain)) and len(set(grey_of(path)[0])) == 5


def test_a_slope_below_zero_turns_dark_and_bright(tmp_path):
    path = save_dicom(tmp_path / "a.dcm", GREY, RescaleSlope=-1, RescaleIntercept=255)
    assert np.array_equal(grey_of(path), 255 - GREY)
    window = {"WindowCenter": 128, "WindowWidth": 256}  # 0 to 255: all of them
    path = save_dicom(tmp_path / "b.dcm", GREY, RescaleSlope=-1, RescaleIntercept=255, **window)
    assert np.array_equal(grey_of(path), 255 - GREY)


def test_half_a_window_is_none(tmp_path):
    path = save_dicom(tmp_path / "a.dcm", GREY, WindowCenter=40, WindowWidth=None)
    assert np.array_equal(grey_of(path), GREY)


def test_colours_are_rgb(tmp_path):
    rgb = picture(1)
    path = save_dicom(tmp_path / "a.dcm", rgb)
    assert np.array_equal(read_image(path), rgb) and image_size(path) == (20, 30)
    planes = np.moveaxis(rgb, -1, 0)
    tags = {"PlanarConfiguration": 1, "Rows": 20, "Columns": 30}
    tags |= {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}
    path = save_dicom(tmp_path / "b.dcm", planes, **tags)
    assert np.array_equal(read_image(path), rgb)
    deep = save_dicom(tmp_path / "c.dcm", rgb.astype(np.uint16) * 257)
    assert np.array_equal(read_image(deep), rgb)


def compressed(pixels: np.ndarray, kind: str, **options) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def test_what_is_compressed_is_decoded(tmp_path):
    smooth = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8)
    frame = compressed(smooth, "JPEG", quality=95)
    path = save_dicom(tmp_path / "a.dcm", smooth, syntax=JPEGBaseline8Bit, frame=frame)
    assert np.array_equal(grey_of(path), np.asarray(Image.open(BytesIO(frame))))
    frame = compressed(smooth, "JPEG2000", no_jp2=True)
    path = save_dicom(tmp_path / "b.dcm", smooth, syntax=JPEG2000Lossless, frame=frame)
    assert np.array_equal(grey_of(path), smooth)
    rgb = np.dstack([smooth, smooth[::-1], smooth[:, ::-1]])
    frame = compressed(rgb, "JPEG", quality=95, subsampling=0)
    tags = {"PhotometricInterpretation": "YBR_FULL_422", "syntax": JPEGBaseline8Bit, "frame": frame}
    path = save_dicom(tmp_path / "c.dcm", rgb, **tags)
    assert np.abs(read_image(path).astype(int) - rgb).max() < 10
    path = save_dicom(tmp_path / "d.dcm", rgb)
    data = dcmread(path)
    data.compress(RLELossless)
    data.save_as(path)
    assert np.array_equal(read_image(path), rgb) and read_image(path).flags.c_contiguous


def test_a_compression_that_needs_another_package_names_it(tmp_path):
    path = save_dicom(tmp_path / "a.dcm", GREY, syntax=JPEGLSLossless, frame=b"\xff\xd8\xff\xf7")
    assert image_size(path) == (8, 32)
    said = fault_of(path)
    assert f"{path} is compressed as JPEG-LS Lossless" in said and "pyjpegls" in said
    path = save_dicom(tmp_path / "b.dcm", GREY, syntax=MPEG2MPML, frame=b"\0\0\1\xb3")
    assert "which pydicom does not decode; save it uncompressed" in fault_of(path)
    tags = {"syntax": JPEGExtended12Bit, "frame": compressed(GREY, "JPEG"), "BitsStored": 12}
    path = save_dicom(tmp_path / "c.dcm", GREY.astype(np.uint16), **tags)
    said = fault_of(path)
    assert "12-bit precision" in said and "where that does not help, install" in said


TABLE = Dataset()
TABLE.LUTDescriptor, TABLE.LUTData = [2, 0, 16], b"\0\0\1\0"


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"NumberOfFrames": 2}, "it holds 2 pictures; expected one"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "its pixels are PALETTE COLOR; expected"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "its values have 32 bits; expected 8 to 16"),
        ({"ModalityLUTSequence": [TABLE]}, "a table (Modality LUT), which is not read"),
        ({"RescaleSlope": 0}, "its RescaleSlope is 0"),
        ({"RescaleSlope": "nan"}, "its RescaleSlope is nan"),
        ({"WindowCenter": 4, "WindowWidth": 0}, "its WindowWidth is 0"),
        (
            {"WindowCenter": 4, "WindowWidth": 9, "VOILUTFunction": "CUBIC"},
            "VOILUTFunction is CUBIC",
        ),
        ({"Rows": None}, "its header has no Rows; is it cut off?"),
        ({"Columns": 0}, "it has 8 × 0 pixels"),
        ({"BitsStored": None}, "its header has no BitsStored"),
    ],
)
def test_what_is_not_read_is_said(tmp_path, tags, message):
    path = save_dicom(tmp_path / "a.dcm", GREY, **tags)
    for read in (image_size, read_image, file_facts):
        said = fault_of(path, read)
        assert said.startswith(f"{path} is not an image that can be read: ") and message in said


def test_pixels_of_another_shape_than_the_header_says_are_damage(tmp_path):
    path = save_dicom(tmp_path / "a.dcm", picture(1), PhotometricInterpretation="MONOCHROME2")
    assert "is damaged: pixels of the shape (20, 30, 3), and its header says (20, 30)" in fault_of(
        path
    )
    path = save_dicom(tmp_path / "b.dcm", GREY, Rows=9)
    assert "is damaged" in fault_of(path) and image_size(path) == (9, 32)


def test_the_size_is_read_off_the_header_alone(tmp_path):
    path = save_dicom(tmp_path / "a.dcm", GREY)
    content = path.read_bytes()
    path.write_bytes(content[: -GREY.size])  # no pixel is left
    assert image_size(path) == (8, 32) and file_facts(path).depth == 8
    assert f"{path} is damaged: " in fault_of(path)
    path = save_dicom(tmp_path / "b.dcm", np.zeros((4096, 4096), np.uint8))
    tracemalloc.start()
    assert image_size(path) == (4096, 4096)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_a_cut_or_changed_file_is_named_and_never_raises_otherwise(tmp_path):
    frame = compressed(GREY, "JPEG")
    whole = [
        save_dicom(tmp_path / "a.dcm", GREY, WindowCenter=[40, 50], WindowWidth=[400, 500]),
        save_dicom(tmp_path / "b.dcm", GREY, syntax=JPEGBaseline8Bit, frame=frame),
    ]
    for path in whole:
        content = path.read_bytes()
        for end in range(0, len(content) - 8, 7):
            path.write_bytes(content[:end])
            assert str(path) in fault_of(path)
        random = np.random.default_rng(0)
        said = []
        for _ in range(400):
            changed = bytearray(content)
            for place in random.integers(128, len(content), 3):
                changed[place] = random.integers(256)
            path.write_bytes(changed)
            for read in (image_size, file_facts, read_image):
                try:
                    read(path)
                except InputFault as fault:
                    said.append(str(fault))
        assert said and all(text.startswith(str(path)) and "\n" not in text for text in said)


def test_an_empty_file_a_text_and_none_at_all_are_told_apart(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"")
    assert fault_of(tmp_path / "a.dcm").endswith("not an image that can be read: it is empty")
    (tmp_path / "b.dcm").write_text("<html>not found</html>" * 20)
    assert "it does not begin as DICOM does" in fault_of(tmp_path / "b.dcm")
    assert fault_of(tmp_path / "c.dcm", image_size) == f"{tmp_path / 'c.dcm'} does not exist"


def test_a_huge_picture_is_refused_by_its_header(tmp_path):
    path = save_dicom(tmp_path / "a.dcm", GREY, Rows=60_000, Columns=60_000)
    assert "has 60000 × 60000 pixels; the limit is" in fault_of(path)
    path = save_dicom(tmp_path / "b.dcm", GREY)
    assert "the limit is 255" in fault_of(path, limit=255)


def test_dicom_is_no_mask(tmp_path):
    path = save_dicom(tmp_path / "a.dcm", GREY)
    assert fault_of(path, read_index).endswith("a mask in DICOM is not read; save it as PNG")
    assert "colours of masks are not read from DICOM" in fault_of(path, read_colours)


def scans(root, values, depth=None, **tags):
    """A competition of 4 scans with these values here and there."""
    for number in range(4):
        image = np.random.default_rng(number).choice(values, (20, 30))
        image[0, :2] = values[0], values[-1]
        save_dicom(root / f"{'train' if number < 3 else 'test'}/{number}.dcm", image, **tags)
    globs = {"train_images": "train/*.dcm", "test_images": "test/*.dcm", "depth": depth}
    return parsed(SALT, root, data={**SALT["data"], **globs})


def said_of_depth(competition):
    report = check_images(competition, build_catalog(competition), {})
    return [line for line in (*report.errors, *report.warnings) if "bits" in line]


def test_signed_scans_that_use_few_of_their_bits_are_told(tmp_path):
    values = np.arange(-1000, 1900, dtype=np.int16)
    (line,) = said_of_depth(scans(tmp_path, values))
    assert line.startswith(
        "4 images declare more than 8 bits and have no greys but 124…135 of 0…255"
    )
    assert not said_of_depth(scans(tmp_path, values, depth=12))
    assert not said_of_depth(scans(tmp_path, values, WindowCenter=400, WindowWidth=2000))


def test_dark_scans_of_twelve_bits_are_told_in_bits_of_theirs(tmp_path):
    (line,) = said_of_depth(scans(tmp_path, np.arange(1000, dtype=np.uint16), BitsStored=12))
    assert line.endswith("none uses more than 10 of them: set depth = 10 in [data]")
    assert not said_of_depth(scans(tmp_path, np.arange(2000, dtype=np.uint16), BitsStored=12))


def without_pydicom(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "pydicom"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydicom", None)


def test_without_pydicom_one_line_names_the_extra_however_many_images_there_are(
    tmp_path, monkeypatch
):
    for number in range(20):
        save_dicom(tmp_path / f"train/images/{number}.dcm", GREY)
    save(tmp_path / "test/images/t.png", picture(1))
    write_csv(tmp_path / "train.csv", [["id", "rle_mask"], *([str(n), ""] for n in range(20))])
    data = {**SALT["data"], "train_images": "train/images/*.dcm"}
    competition = parsed(SALT, tmp_path, data=data)
    assert build_catalog(competition)["height"].tolist() == [8] * 20 + [20]
    without_pydicom(monkeypatch)
    said = "images that end in .dcm need pydicom: python -m pip install 'podium[dicom]'"
    assert fault_of(tmp_path / "train/images/0.dcm") == said
    assert fault_of(tmp_path / "train/images/0.dcm", image_size) == said
    assert fault_of(competition, build_catalog) == said
    assert read_image(tmp_path / "test/images/t.png").shape == (20, 30, 3)
