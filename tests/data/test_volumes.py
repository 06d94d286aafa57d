"""Slices of scans: which images are one volume, in which order, and what is refused."""

import pytest
from downloads import SALT, parsed, picture, save

from competition.data.catalog import build_catalog
from competition.errors import InputFault

SCAN = {"pattern": "(case[0-9]+)", "value": "\\1"}


def slices(root, *names: str, size: tuple[int, int] = (20, 30)) -> None:
    for place, name in enumerate(names):
        save(root / f"{name}.png", picture(place, size))


def scans(root, **changes):
    """The file of a set whose training images lie in `train/`, one folder a scan."""
    table = {"data__train_images": "train/*/*.png", "data__test_images": None}
    table |= {"data__image_id": "path", "data__volume": "folder", "data__group": "volume"}
    table |= {"submission__sample": None}
    return parsed(SALT, root, **(table | changes))


def catalogued(competition) -> list[tuple[str, str, int]]:
    rows = build_catalog(competition)
    return sorted(zip(rows["volume"], rows["slice"], rows["image"], strict=True))


def fault_of(competition) -> str:
    with pytest.raises(InputFault) as caught:
        build_catalog(competition)
    return str(caught.value)


def test_slices_lie_in_the_order_of_their_paths_with_numbers_as_numbers(tmp_path):
    slices(tmp_path / "train", "case1/s9", "case1/s10", "case1/s100", "case2/s1")
    assert catalogued(scans(tmp_path)) == [
        ("case1", 0, "case1/s9.png"),
        ("case1", 1, "case1/s10.png"),
        ("case1", 2, "case1/s100.png"),
        ("case2", 0, "case2/s1.png"),
    ]


def test_a_number_in_the_path_orders_the_slices(tmp_path):
    slices(tmp_path / "train", "case1/b_2_x", "case1/a_3_x", "case1/c_1_x")
    number = {"pattern": "_([0-9]+)_", "value": "\\1"}
    found = catalogued(scans(tmp_path, data__slice_number=number, data__volume=SCAN))
    assert [image for *_, image in found] == [
        "case1/c_1_x.png",
        "case1/b_2_x.png",
        "case1/a_3_x.png",
    ]


def test_two_slices_of_one_number_are_refused(tmp_path):
    slices(tmp_path / "train", "case1/a_1_", "case1/b_01_")
    number = {"pattern": "_([0-9]+)_", "value": "\\1"}
    message = fault_of(scans(tmp_path, data__slice_number=number))
    assert "'case1'" in message and "slice_number in [data]" in message
    assert "a_1_.png" in message and "b_01_.png" in message


def test_images_that_stand_alone_have_no_volume(tmp_path):
    slices(tmp_path / "train", "case1/s1", "case1/s2")
    rows = build_catalog(scans(tmp_path, data__volume=None, data__group="folder"))
    assert rows["volume"].tolist() == ["", ""] and rows["slice"].tolist() == [0, 0]


def test_a_volume_in_two_groups_is_refused_with_the_key(tmp_path):
    slices(tmp_path / "train", "case1/left_1", "case1/right_2")
    message = fault_of(scans(tmp_path, data__group={"pattern": "left|right"}))
    assert "volume 'case1' has slices in the groups 'left' and 'right'" in message
    assert "group in [data]" in message


def test_slices_of_two_sizes_are_refused(tmp_path):
    slices(tmp_path / "train", "case1/s1")
    slices(tmp_path / "train", "case1/s2", size=(20, 31))
    message = fault_of(scans(tmp_path))
    assert "'case1'" in message and "20 × 30" in message and "20 × 31" in message


def test_a_volume_on_both_sides_of_the_test_is_refused(tmp_path):
    slices(tmp_path, "train/case1/s1", "test/case1/s2")
    message = fault_of(scans(tmp_path, data__test_images="test/*/*.png", data__volume=SCAN))
    assert "volume 'case1' has slices in the parts 'train' and 'test'" in message


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data__group": "image"}, "group = 'volume'"),
        ({"data__volume": None}, "volume says what they are"),
        (
            {"data__volume": None, "data__group": "folder", "data__slice_spacing": 2.0},
            "slice_spacing",
        ),
        (
            {"data__volume": None, "data__group": "folder", "metric": {"name": "dice-hausdorff"}},
            "volume in [data]",
        ),
    ],
)
def test_keys_about_volumes_need_each_other(tmp_path, changes, named):
    with pytest.raises(InputFault, match=named.replace("[", r"\[")):
        scans(tmp_path, **changes)
