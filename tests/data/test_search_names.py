"""Names that belong together though they differ: parts of paths, zeros, two folders of masks."""

import re

import numpy as np
import pytest
from downloads import save, write_csv
from test_search import MASKS, TRAIN, found, photograph

from competition.data.catalog import build_catalog
from competition.data.labels import read_labels
from competition.errors import InputFault
from competition.masks import RleFormat, Runs, encode
from competition.new.write import new_competition

NUMBERS = dict(enumerate(TRAIN, 1))


def masks_by_number(competition):
    """Number in the name of each image → its mask (H, W) of all classes."""
    catalog = build_catalog(competition)
    labels = read_labels(competition, catalog)
    number = [int(re.findall(r"\d+", path)[-1]) for path in catalog["path"]]
    pairs = zip(number, catalog["image"], strict=True)
    return {n: labels[image].any_mask().to_dense() for n, image in pairs}


def check(competition):
    found_masks = masks_by_number(competition)
    assert found_masks.keys() == NUMBERS.keys()
    for number, name in NUMBERS.items():
        np.testing.assert_array_equal(found_masks[number], MASKS[name] > 0)


def write_rows(root, ids):
    texts = [encode(Runs.from_dense(MASKS[name] > 0), RleFormat("rows")) for name in TRAIN]
    write_csv(root / "train.csv", [["id", "rle"], *map(list, zip(ids, texts, strict=True))])


@pytest.mark.parametrize(
    ("path", "identity"),
    [
        ("train/case{c}/day{d}/slice_{n}.png", "case{c}_day{d}_slice_{n}"),
        ("train/case{c}/day{d}/slice_{n}.png", "case{c}-slice_{n}.png"),
        ("train/case{c}/scans/{n}.png", "case{c}_{n}"),
    ],
)
def test_ids_may_be_parts_of_the_path_that_are_joined(tmp_path, path, identity):
    root, ids = tmp_path / "data", []
    for n, name in NUMBERS.items():
        place = {"c": n // 4, "d": n // 2 % 2, "n": n}
        save(root / path.format(**place), photograph(name))
        ids.append(identity.format(**place))
    write_rows(root, ids)
    text, competition = found(root, tmp_path)
    check(competition)
    assert set(build_catalog(competition)["image"]) == set(ids)
    assert "its values name images by a part of their path, all of them" in text


def test_ids_that_no_part_of_the_path_gives_are_none(tmp_path):
    """Each of them must be met: one that is not may as well be another image's."""
    root = tmp_path / "data"
    for n, name in NUMBERS.items():
        save(root / f"train/case{n // 4}/{n}.png", photograph(name))
    write_rows(root, [f"case{n // 4}_{n if n < 12 else 99}" for n in NUMBERS])
    with pytest.raises(InputFault, match="no labels found for these images"):
        new_competition(None, root, tmp_path / "competition.toml", "mine")


@pytest.mark.parametrize(("image", "identity"), [("{:04}", "{}"), ("{}", "{:04}")])
def test_ids_may_have_other_zeros_than_files(tmp_path, image, identity):
    root = tmp_path / "data"
    for n, name in NUMBERS.items():
        save(root / f"train/{image.format(n)}.png", photograph(name))
    write_rows(root, [identity.format(n) for n in NUMBERS])
    _, competition = found(root, tmp_path)
    check(competition)


@pytest.mark.parametrize(
    ("image", "mask"),
    [("{}", "{:04}"), ("{:04}", "{}"), ("img_{}", "mask_{:03}"), ("scan{:03}_rgb", "{:02}_gt")],
)
def test_masks_may_have_other_zeros_than_images(tmp_path, image, mask):
    root = tmp_path / "data"
    for n, name in NUMBERS.items():
        save(root / f"images/{image.format(n)}.png", photograph(name))
        save(root / f"masks/{mask.format(n)}.png", (MASKS[name] > 0) * np.uint8(255))
    text, competition = found(root, tmp_path)
    check(competition)
    assert "their number, with other zeros before it: 12 files, each of one image" in text


@pytest.mark.parametrize("other", ["masks/0099.png", "masks/00001.png", "images/01.png"])
def test_numbers_that_are_not_one_to_one_tell_nothing(tmp_path, other):
    root = tmp_path / "data"
    for n, name in NUMBERS.items():
        save(root / f"images/{n}.png", photograph(name))
        save(root / f"masks/{n:04}.png", (MASKS[name] > 0) * np.uint8(255))
    drawn = photograph("a01") if "images" in other else (MASKS["a01"] > 0) * np.uint8(255)
    save(root / other, drawn)
    with pytest.raises(InputFault, match="no labels found for these images"):
        new_competition(None, root, tmp_path / "competition.toml", "mine")


def sides(root):
    """Masks as those of Montgomery's chest X-rays lie: a folder of left, one of right lungs."""
    for name, mask in MASKS.items():
        save(root / f"CXR_png/{name}.png", photograph(name))
        for value, side in enumerate(("left", "right"), 1):
            save(root / f"ManualMask/{side}Mask/{name}.png", (mask == value) * np.uint8(255))


def test_two_folders_of_masks_are_two_classes_or_one_which_is_asked(tmp_path):
    sides(tmp_path / "data")
    with pytest.raises(InputFault) as caught:
        new_competition(None, tmp_path / "data", tmp_path / "competition.toml", "mine")
    for files in ("ManualMask/{class}/{stem}.png", "ManualMask/*/{stem}.png"):
        assert f"--set labels.files={files}" in str(caught.value)


@pytest.mark.parametrize(
    ("files", "classes"),
    [
        ("ManualMask/{class}/{stem}.png", ("leftMask", "rightMask")),
        ("ManualMask/*/{stem}.png", ("mine",)),
        ("ManualMask/leftMask/{stem}.png", ("mine",)),
    ],
)
def test_what_was_said_of_two_folders_is_read(tmp_path, files, classes):
    sides(tmp_path / "data")
    _, competition = found(tmp_path / "data", tmp_path, **{"labels.files": files})
    assert competition.classes == classes
    catalog = build_catalog(competition)
    labels = read_labels(competition, catalog)
    for path, image in zip(catalog["path"], catalog["image"], strict=True):
        mask = MASKS[re.search(r"a\d\d", path)[0]]
        expected = (
            [mask == 1, mask == 2]
            if len(classes) > 1
            else [mask > 0 if "*" in files else mask == 1]
        )
        np.testing.assert_array_equal(labels[image].to_dense(), expected)
