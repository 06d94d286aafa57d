"""Files of several slices: each slice is an image, with the same slice of its label file."""

import sys

import numpy as np
import pytest
from downloads import parsed, save, write_csv
from PIL import Image
from volumes import SCANS, SIZE, greys, label_values, save_volume, scans

from competition.data import nifti
from competition.data.bands import read_pixels
from competition.data.catalog import build_catalog
from competition.data.images import file_facts, image_size, page_count, read_image, read_index
from competition.data.labels import label_files, read_labels
from competition.data.letterbox import letterboxed_images
from competition.doctor import examine
from competition.doctor.kept import kept_report
from competition.errors import InputFault
from competition.masks import Runs
from competition.project import Project
from competition.spec import PixelForm
from competition.steps.data_sheets import draw_label_sheet, draw_look_alikes
from competition.workspace import Workspace

FORMS = ["nii", "nii.gz", "tif", "npy", "dcm"]


def fault_of(read, *given, **options) -> str:
    with pytest.raises(InputFault) as caught:
        read(*given, **options)
    return str(caught.value)


def labels_of(competition):
    return read_labels(competition, build_catalog(competition))


@pytest.mark.parametrize("form", FORMS)
def test_each_slice_of_a_file_is_an_image(tmp_path, form):
    rows = build_catalog(scans(tmp_path, form))
    assert rows["image"].tolist() == [f"case_{c}_{k:04}" for c in range(2) for k in range(4)]
    assert rows["path"][5] == f"images/case_1.{form}#0001"
    assert rows["volume"].tolist() == rows["group"].tolist()
    assert rows["volume"][5] == f"images/case_1.{form}" and rows["slice"][5] == 1
    assert {*zip(rows["height"], rows["width"], strict=True)} == {SIZE}
    for case in range(2):
        for number, expected in enumerate(greys(case)):
            path = tmp_path / rows["path"][4 * case + number]
            pixels = read_image(path)
            assert np.array_equal(pixels, np.repeat(expected[..., None], 3, axis=2))
            assert image_size(path) == SIZE and file_facts(path).depth == 8


@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_slices_is_refused_with_the_key_unless_it_is_a_volume(tmp_path, form):
    path = save_volume(tmp_path / f"a.{form}", greys(0))
    assert 'volume = "file" in [data]' in fault_of(read_image, path)
    assert fault_of(read_image, tmp_path / f"a.{form}#0004").count("from 0") == 1
    assert page_count(path) == 4


@pytest.mark.parametrize("form", ["nii", "nii.gz", "tif", "npy"])
def test_slice_k_of_the_labels_belongs_to_slice_k_of_the_images(tmp_path, form):
    found = labels_of(scans(tmp_path, labels=form))
    for case in range(2):
        for number, values in enumerate(label_values(case)):
            assert found[f"case_{case}_{number:04}"] == Runs.from_label_map(values, 2)


def test_label_files_of_slices_are_named_once(tmp_path):
    competition = scans(tmp_path)
    files = label_files(competition, build_catalog(competition))
    assert [path.name for path in files] == ["case_0.nii.gz", "case_1.nii.gz"]


def test_labels_of_another_count_or_size_are_one_message(tmp_path):
    competition = scans(tmp_path)
    save_volume(tmp_path / "labels/case_1.nii.gz", label_values(1)[:3])
    fault = fault_of(labels_of, competition)
    assert fault.count("\n") == 0 and "has 3 slices and its images' file 'images/case_1" in fault
    save_volume(tmp_path / "labels/case_1.nii.gz", label_values(1, size=(20, 31)))
    fault = fault_of(labels_of, competition)
    assert (
        fault.count("\n") == 0 and "20 × 31 pixels (height × width) and its image 20 × 30" in fault
    )


def test_missing_and_left_over_label_files_are_told_once_a_file(tmp_path):
    competition = scans(tmp_path)
    (tmp_path / "labels/case_1.nii.gz").rename(tmp_path / "labels/case_7.nii.gz")
    lines = fault_of(labels_of, competition).splitlines()
    assert len(lines) == 2
    assert "'labels/case_1.nii.gz' of image 'images/case_1.nii.gz' does not exist" in lines[0]
    assert "'labels/case_7.nii.gz' belongs to no training image" in lines[1]


def test_one_mask_picture_for_several_slices_is_refused(tmp_path):
    competition = scans(tmp_path, labels__files="masks/{stem}.png")
    for number in range(2):
        save(tmp_path / f"masks/case_{number}.png", label_values(0)[0])
    assert "is that of 4 images" in fault_of(labels_of, competition)


@pytest.mark.parametrize(
    "affine", [np.diag([-0.5, 0.75, 2.0, 1.0]), np.diag([0.5, 0.75, 2.5, 1.0])]
)
def test_labels_that_lie_otherwise_in_space_are_refused(tmp_path, affine):
    competition = scans(tmp_path)
    save_volume(tmp_path / "labels/case_1.nii.gz", label_values(1), affine=affine)
    fault = fault_of(labels_of, competition)
    assert "labels/case_1.nii.gz lies otherwise in space than its image" in fault
    assert ("orientation LAS and RAS" in fault) == (affine[0, 0] < 0)


@pytest.mark.parametrize(
    ("form", "axis", "shape"),
    [("nii.gz", 0, (4, 20)), ("nii", 1, (4, 30)), ("npy", 1, (4, 30)), ("npy", 2, (4, 20))],
)
def test_slices_along_another_axis(tmp_path, form, axis, shape):
    """NIfTI counts axes as x, y, z, an array as slices, rows, columns."""
    rows = build_catalog(scans(tmp_path, form, data__slice_axis=axis))
    assert len(rows) == 2 * (SIZE[1] if shape[1] == 20 else SIZE[0])
    assert rows["path"][7] == f"images/case_0.{form}#0007@{axis}"
    stored = greys(0)
    expected = stored[:, :, 7] if shape[1] == 20 else stored[:, 7]
    assert np.array_equal(read_image(tmp_path / rows["path"][7])[..., 0], expected)


def test_an_axis_is_for_arrays_alone(tmp_path):
    competition = scans(tmp_path, "tif", data__slice_axis=1)
    assert "slice_axis = 1 in [data] is for arrays" in fault_of(build_catalog, competition)


def test_ids_by_a_part_of_the_path_see_the_number(tmp_path):
    way = {"pattern": "case_(\\d+).*#(\\d+)", "value": "\\1/\\2"}
    rows = build_catalog(scans(tmp_path, data__image_id=way))
    assert rows["image"][5] == "1/0001"
    rows = build_catalog(scans(tmp_path, data__image_id="path"))
    assert rows["image"][5] == "case_1.nii.gz_0001"


def test_a_csv_of_groups_may_name_whole_files(tmp_path):
    write_csv(tmp_path / "groups.csv", [["id", "who"], ["case_0", "A"], ["case_1.nii.gz", "B"]])
    groups = {"file": "groups.csv", "image": "id", "value": "who"}
    rows = build_catalog(scans(tmp_path, data__group=groups))
    assert rows["group"].tolist() == ["A"] * 4 + ["B"] * 4


def test_a_file_or_a_slice_may_be_left_out(tmp_path):
    out = ["images/case_0.nii.gz", "case_1_0002"]
    competition = scans(tmp_path, data__exclude=out)
    rows = build_catalog(competition)
    assert rows["image"].tolist() == ["case_1_0000", "case_1_0001", "case_1_0003"]
    found = read_labels(competition, rows)
    assert found["case_1_0003"] == Runs.from_label_map(label_values(1)[3], 2)


def test_copies_of_a_volume_join_their_groups(tmp_path):
    competition = scans(tmp_path)
    for number in range(2):
        volume = greys(0)
        volume[0] = 0  # most scans begin in air
        save_volume(tmp_path / f"images/case_{number}.nii", volume)
        (tmp_path / f"images/case_{number}.nii.gz").unlink()
    assert build_catalog(competition)["group"].nunique() == 1


def test_a_compressed_volume_is_decompressed_once(tmp_path, monkeypatch):
    competition = scans(tmp_path)
    rows = build_catalog(competition)
    decompressed = []
    volume = type(nifti._volume(tmp_path / "images/case_0.nii.gz")[0].dataobj)
    whole = volume.get_unscaled
    monkeypatch.setattr(volume, "get_unscaled", lambda self: decompressed.append(1) or whole(self))
    form = ((8, 8), "stretch")
    letterboxed_images(rows, tmp_path, tmp_path / "cache", form=form)
    read_labels(competition, rows)
    assert len(decompressed) == 4


def test_a_changed_volume_is_read_anew(tmp_path):
    path = save_volume(tmp_path / "a.nii.gz", greys(0))
    assert read_image(tmp_path / "a.nii.gz#0001")[0, 0, 0] == greys(0)[1, 0, 0]
    save_volume(path, greys(5, slices=5))
    assert np.array_equal(read_image(tmp_path / "a.nii.gz#0001")[..., 0], greys(5, slices=5)[1])


def test_spacing_and_rows_of_nifti(tmp_path):
    path = save_volume(tmp_path / "a.nii.gz", greys(0))
    assert nifti.nifti_spacing(path, None) == (2.0, 0.75, 0.5)
    assert nifti.nifti_spacing(path, 0) == (0.5, 2.0, 0.75)


def test_masks_of_decimals_are_read_where_they_are_whole(tmp_path):
    save_volume(tmp_path / "a.nii.gz", label_values(0).astype(np.float32))
    assert np.array_equal(read_index(tmp_path / "a.nii.gz#0002"), label_values(0)[2])
    save_volume(tmp_path / "a.nii.gz", label_values(0) / np.float32(2))
    assert "not all whole numbers" in fault_of(read_index, tmp_path / "a.nii.gz#0002")


def test_slope_and_intercept_are_applied(tmp_path):
    save_volume(tmp_path / "a.nii", greys(0).astype(np.int16), slope=2, intercept=-1000)
    values = nifti.NiftiImage.opened(tmp_path / "a.nii", nifti.Page(1)).real()
    assert np.array_equal(values, greys(0)[1] * 2.0 - 1000)
    assert "set range = [black, white] in [data]" in fault_of(read_image, tmp_path / "a.nii#0001")
    form = PixelForm(range=(-1000, -490), channels=1)
    assert np.array_equal(read_image(tmp_path / "a.nii#0001", form)[..., 0], greys(0)[1])


@pytest.mark.parametrize("form", ["nii", "nii.gz"])
def test_a_cut_or_foreign_nifti_is_one_message(tmp_path, form):
    path = save_volume(tmp_path / f"a.{form}", greys(0, slices=40))
    content = path.read_bytes()
    for broken in (b"", b"abc", content[:200], content[:-2000], bytes(400)):
        path.write_bytes(broken)
        fault = fault_of(read_image, tmp_path / f"a.{form}#0039")
        assert fault.startswith(str(path)) and "\n" not in fault
    np.save(tmp_path / "b.npy", greys(0))
    assert "does not exist" in fault_of(read_image, tmp_path / "c.nii.gz#0000")


def test_pages_of_two_sizes_are_no_volume(tmp_path):
    pages = [Image.fromarray(greys(0)[0]), Image.fromarray(greys(0, size=(21, 30))[0])]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert "no slices of one volume" in fault_of(read_image, tmp_path / "a.tif#0001")


DEEP = [
    *(("nii.gz", kind) for kind in ("int16", "int32", "float32", "float64")),
    *(("tif", kind) for kind in ("int16", "int32", "float16", "float32", "float64")),
    *(("npy", kind) for kind in ("int16", "float32")),
    ("dcm", "int16"),
]


@pytest.mark.parametrize(("form", "kind"), DEEP)
def test_values_below_0_and_decimals_need_a_range(tmp_path, form, kind):
    """Hounsfield units, and whatever else says of no value that it is black."""
    values = greys(0, slices=3).astype(kind) * 4 - 512
    save_volume(tmp_path / f"a.{form}", values)
    path = tmp_path / f"a.{form}#0002"
    if form != "dcm":  # which is counted from the lowest of its bits
        assert "set range = [black, white] in [data]" in fault_of(read_image, path)
    found = read_image(path, PixelForm(range=(-512, 508), channels=1))
    assert np.array_equal(found[..., 0], greys(0, slices=3)[2])
    deep = read_image(path, PixelForm(range=(-512, 508), channels=1, bits=16))
    assert np.array_equal(deep[..., 0], greys(0, slices=3)[2].astype(np.uint16) * 257)


@pytest.mark.parametrize("kind", ["int16", "float32", "float64"])
def test_a_tiff_of_one_page_has_a_range_too(tmp_path, kind):
    values = greys(0, slices=1).astype(kind) - 100
    path = save_volume(tmp_path / "a.tif", values)
    assert "set range" in fault_of(read_image, path)
    assert np.array_equal(read_image(path, PixelForm(range=(-100, 155)))[..., 1], greys(0)[0])


def test_the_bands_of_a_slice_are_the_same_slices_of_other_files(tmp_path):
    for number in range(2):
        save_volume(tmp_path / f"images/case_{number}_0000.nii.gz", greys(number))
        save_volume(tmp_path / f"images/case_{number}_0001.nii.gz", greys(number + 7))
        save_volume(tmp_path / f"labels/case_{number}.nii.gz", label_values(number))
    part = {"pattern": "(case_[0-9]+)_0000[.]nii[.]gz$", "value": "\\1"}
    competition = parsed(
        SCANS,
        tmp_path,
        data__train_images="images/*_0000.nii.gz",
        data__bands=["{part}_0000.nii.gz", "{part}_0001.nii.gz"],
        data__part=part,
        labels__files="labels/{part}.nii.gz",
        labels__part=part,
    )
    rows = build_catalog(competition)
    assert len(rows) == 8 and len(read_labels(competition, rows)) == 8
    pixels = read_pixels(tmp_path, rows["path"][6], competition.data)
    assert np.array_equal(pixels, np.stack([greys(1)[2], greys(8)[2]], axis=-1))
    form = ((8, 8), "stretch")
    laid = letterboxed_images(
        rows, tmp_path, tmp_path / "cache", form=form, pixels=competition.data
    )
    assert laid[rows["image"][6]].shape == (8, 8, 2)


def smooth(seed, slices=6, size=(64, 64)):
    """uint8 (slices, H, W): a pattern that hardly changes from slice to slice."""
    random = np.random.default_rng(seed)
    coarse = random.integers(30, 220, (16, 16), dtype=np.uint8)
    pattern = np.kron(coarse, np.ones((4, 4), np.uint8)).astype(int)
    drift = random.integers(-3, 4, (slices, *size))
    return np.clip(pattern + drift, 0, 255).astype(np.uint8)


def smooth_scans(root, seeds):
    for number, seed in enumerate(seeds):
        save_volume(root / f"images/case_{number}.nii.gz", smooth(seed))
        save_volume(root / f"labels/case_{number}.nii.gz", label_values(0, 6, (64, 64)))
    return parsed(SCANS, root)


def test_neighbouring_slices_of_a_volume_are_no_look_alikes(tmp_path):
    report = examine(smooth_scans(tmp_path, range(3)), Workspace(tmp_path, "scans"))
    assert report.errors == () and not [d for d in report.doubtful if d.kind == "look-alikes"]
    assert "look-alikes" not in dict(report.found)
    assert "NIfTI uint8: 18" in report.text()


def test_slices_of_two_volumes_that_look_alike_are_told(tmp_path):
    competition = smooth_scans(tmp_path, [0, 1, 2])
    again = np.clip(smooth(0).astype(int) + 5, 0, 255).astype(np.uint8)
    save_volume(tmp_path / "images/case_2.nii.gz", again)
    report = examine(competition, Workspace(tmp_path, "scans"))
    alike = [d for d in report.doubtful if d.kind == "look-alikes"]
    assert alike and "case_0_000" in alike[0].text and "case_2_000" in alike[0].text


def test_the_sheet_of_labels_shows_slices(tmp_path):
    scans(tmp_path, data__range=[0, 255], split__folds=2)
    table = parsed(SCANS, tmp_path)
    project = Project(table, tmp_path / "work", say=lambda _: None)
    assert Image.open(draw_label_sheet(project)).size[0] > 100
    assert project.pixels("case_1_0002").shape == (*SIZE, 3)
    alike = draw_look_alikes(project, [("case_0_0001", "case_1_0001")])
    assert Image.open(alike).size[0] > 100


def test_a_damaged_volume_hides_no_other_damage(tmp_path):
    competition = scans(tmp_path)
    for number, length in enumerate((150, 1500)):  # without its header, and with it
        path = tmp_path / f"images/case_{number}.nii.gz"
        path.write_bytes(path.read_bytes()[:length])
    text = examine(competition, Workspace(tmp_path, "scans")).text()
    assert "case_0.nii.gz is not an image" in text and "case_1.nii.gz is damaged" in text


def test_the_doctor_looks_again_when_a_volume_changes(tmp_path):
    competition, space = scans(tmp_path), Workspace(tmp_path, "scans")
    rows = build_catalog(competition)
    examine(competition, space)
    assert kept_report(competition, space, rows) is not None
    save_volume(tmp_path / "images/case_1.nii.gz", greys(9))
    assert kept_report(competition, space, rows) is None


def test_without_nibabel_one_line_names_the_extra(tmp_path, monkeypatch):
    competition = scans(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "nibabel"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nibabel", None)
    said = "images that end in .nii or .nii.gz need nibabel: python -m pip install 'podium[nifti]'"
    assert fault_of(build_catalog, competition) == said
