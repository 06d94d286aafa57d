"""`new` on folders of volumes: nnU-Net's layout, and images beside masks."""

import json

import numpy as np
import pytest
from downloads import write_csv
from volumes import greys, label_values, save_volume

from competition.data.bands import read_pixels
from competition.data.catalog import build_catalog, of_split
from competition.data.labels import read_labels
from competition.errors import InputFault
from competition.masks import RleFormat, Runs, encode
from competition.new.write import new_competition
from competition.spec import load_competition

CASES = 6


def found(root, tmp_path, **changes):
    target = tmp_path / "competition.toml"
    text = new_competition(None, root, target, "mine", changes=changes).text
    return text, load_competition(target)


def volumes(root, image, mask, *, test=None, scan=greys, label=label_values):
    for number in range(CASES):
        save_volume(root / image.format(number), scan(number))
        save_volume(root / mask.format(number), label(number % 3))
    for number in range(2 if test else 0):
        save_volume(root / test.format(number + CASES), scan(number + CASES))


def nnunet(root, **dataset):
    volumes(
        root,
        "imagesTr/case_{:03}_0000.nii.gz",
        "labelsTr/case_{:03}.nii.gz",
        test="imagesTs/case_{:03}_0000.nii.gz",
    )
    told = {"channel_names": {"0": "ultrasound"}, "file_ending": ".nii.gz", "numTraining": CASES}
    told["labels"] = {"background": 0, "liver": 1, "tumour": 2}
    root.joinpath("dataset.json").write_text(json.dumps(told | dataset))


def check(competition, classes=2):
    rows = of_split(build_catalog(competition), "train")
    labels = read_labels(competition, rows)
    assert len(rows) == 4 * CASES and rows["group"].nunique() == CASES
    for number in range(CASES):
        for place, values in enumerate(label_values(number % 3)):
            image = rows["image"][4 * number + place]
            assert labels[image] == Runs.from_label_map(values.astype(np.int64), classes)


def test_a_folder_as_nnunet_has_it(tmp_path):
    root = tmp_path / "data"
    nnunet(root)
    text, competition = found(root, tmp_path)
    assert competition.data.volume == "file" and competition.data.group == "volume"
    assert competition.data.train_images == "imagesTr/*.nii.gz"
    assert competition.data.test_images == "imagesTs/*.nii.gz"
    assert competition.classes == ("liver", "tumour") and competition.exclusive
    assert competition.data.spacing == (0.75, 0.5) and competition.data.slice_spacing == 2
    assert competition.questions == () and "errors: 0" in text
    check(competition)
    test = of_split(build_catalog(competition), "test")
    assert test["image"][5] == "case_007_0000_0001"


def test_what_nnunet_ignores_does_not_count(tmp_path):
    root = tmp_path / "data"
    nnunet(root, labels={"background": 0, "liver": 1, "tumour": 2, "ignore": 3})
    values = label_values(1)
    values[2, 0, :5] = 3
    save_volume(root / "labelsTr/case_001.nii.gz", values)
    _, competition = found(root, tmp_path)
    assert competition.classes == ("liver", "tumour") and competition.labels.ignore == (3,)
    rows = build_catalog(competition)
    ignored = read_labels(competition, rows).ignored
    assert ignored["case_001_0000_0002"].area().tolist() == [5]


def test_an_ignore_label_that_no_mask_has_is_no_class(tmp_path):
    root = tmp_path / "data"
    nnunet(root, labels={"background": 0, "liver": 1, "tumour": 2, "ignore": 3})
    _, competition = found(root, tmp_path)
    assert competition.classes == ("liver", "tumour") and competition.labels.ignore == ()


def test_regions_of_nnunet_are_refused_in_one_sentence(tmp_path):
    root = tmp_path / "data"
    nnunet(root, labels={"background": 0, "whole": [1, 2], "core": 2})
    with pytest.raises(
        InputFault, match=r"dataset.json says that 'whole' is several values, \[1, 2"
    ):
        found(root, tmp_path)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/case{}.nii.gz", "masks/case{}.nii.gz"),
        ("images/case{}.nii", "masks/case{}.nii"),
        ("images/stack{}.tif", "masks/stack{}.tif"),
        ("images/stack{}.npy", "masks/stack{}.npy"),
        ("train/s{}/scan.nii.gz", "train/s{}/seg.nii.gz"),
    ],
)
def test_images_beside_masks(tmp_path, image, mask):
    root = tmp_path / "data"
    volumes(root, image, mask)
    text, competition = found(root, tmp_path)
    assert competition.data.volume == "file" and "6 files hold 24 slices" in text
    check(competition)


def test_arrays_of_colours_are_no_slices(tmp_path):
    root = tmp_path / "data"
    for number in range(CASES):
        colours = np.repeat(greys(number)[0][..., None], 3, axis=2)
        save_volume(root / f"images/a{number}.npy", colours)
        save_volume(root / f"masks/a{number}.npy", label_values(number % 3)[0])
    _, competition = found(root, tmp_path)
    assert competition.data.volume is None and len(build_catalog(competition)) == CASES


def hounsfield(number):
    return greys(number).astype(np.int16) * 8 - 1024


def test_values_that_nothing_places_are_a_question(tmp_path):
    root = tmp_path / "data"
    volumes(root, "images/c{}.nii.gz", "masks/c{}.nii.gz", scan=hounsfield)
    text, competition = found(root, tmp_path)
    (question,) = competition.questions
    assert "range in [data] is open; write [-1" in question
    low, high = competition.data.range[0]
    assert -1024 <= low < -1000 and 960 < high <= 1020
    assert (
        "values from -1024 to 1016" in text
        or "-1024" in (tmp_path / "competition.toml").read_text()
    )
    check(competition)
    (tmp_path / "competition.toml").unlink()
    _, competition = found(root, tmp_path, **{"data.range": [-150, 250]})
    assert competition.questions == () and competition.data.range == ((-150, 250),)


def test_masks_of_any_type_of_numbers(tmp_path):
    root = tmp_path / "data"
    for kind in (np.int16, np.float64):
        volumes(
            root,
            "images/c{}.nii.gz",
            "masks/c{}.nii.gz",
            label=lambda number, kind=kind: label_values(number).astype(kind),
        )
        _, competition = found(root, tmp_path)
        check(competition)
        (tmp_path / "competition.toml").unlink()


def test_the_channels_of_nnunet_are_bands(tmp_path):
    root = tmp_path / "data"
    nnunet(root, channel_names={"0": "T1", "1": "T2"})
    for number in range(CASES + 2):
        part = "imagesTr" if number < CASES else "imagesTs"
        volume = greys(number + 50).astype(np.float32) * 3
        save_volume(root / f"{part}/case_{number:03}_0001.nii.gz", volume)
        first = greys(number).astype(np.float32) - 9
        save_volume(root / f"{part}/case_{number:03}_0000.nii.gz", first)
    _, competition = found(root, tmp_path)
    assert competition.data.channels == 2 and len(competition.data.range) == 2
    assert competition.data.test_images == "imagesTs/*_0000.nii.gz"
    assert len(competition.questions) == 1 and "range" in competition.questions[0]
    check(competition)
    rows = build_catalog(competition)
    assert len(of_split(rows, "test")) == 8
    pixels = read_pixels(root, rows["path"][5], competition.data)
    assert pixels.shape == (20, 30, 2)
    low, high = competition.data.range[1]
    expected = np.clip((greys(51)[1].astype(float) * 3 - low) / (high - low), 0, 1) * 255
    assert np.array_equal(pixels[..., 1], np.rint(expected))


def test_a_csv_may_name_the_slices(tmp_path):
    root = tmp_path / "data"
    form, rows, samples = RleFormat("columns"), [["id", "class", "rle"]], [["id", "class", "rle"]]
    for number in range(CASES):
        save_volume(root / f"train/case_{number}.nii.gz", greys(number))
        for place, values in enumerate(label_values(number % 3)):
            for k, name in enumerate(("liver", "tumour"), start=1):
                text = encode(Runs.from_dense(values == k), form)
                rows.append([f"case_{number}_{place:04}", name, text])
    for number in range(CASES, CASES + 2):
        save_volume(root / f"test/case_{number}.nii.gz", greys(number))
        for place in range(4):
            samples += [[f"case_{number}_{place:04}", n, ""] for n in ("liver", "tumour")]
    write_csv(root / "train.csv", rows)
    write_csv(root / "sample_submission.csv", samples)
    _, competition = found(root, tmp_path, **{"submission.order": "columns"})
    assert competition.data.volume == "file" and competition.data.group == "volume"
    assert competition.data.image_id == "stem" and competition.labels.kind == "rle"
    assert competition.data.test_images == "test/*.nii.gz"
    assert len(of_split(build_catalog(competition), "test")) == 8
    check(competition)
