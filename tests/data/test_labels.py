"""The readers of labels in files of their own: polygons and mask images."""

import json

import numpy as np
import pytest
from downloads import (
    BONES,
    HAND_BONE,
    SALT_MASKS,
    blob,
    hand_bone,
    parsed,
    salt,
    save,
    write_annotations,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.data.catalog import build_catalog, of_split
from competition.data.labels import label_files, read_labels
from competition.errors import InputFault
from competition.masks import Runs, polygons_from_runs

SQUARE = [[2, 2], [6, 2], [6, 6], [2, 6]]


def labels_of(competition):
    return read_labels(competition, build_catalog(competition))


def fault_of(competition) -> str:
    with pytest.raises(InputFault) as caught:
        labels_of(competition)
    return str(caught.value)


# Polygons


def test_polygons_have_the_classes_of_the_spec_in_its_order(tmp_path):
    competition = hand_bone(tmp_path)
    labels = labels_of(competition)
    assert list(labels) == of_split(build_catalog(competition), "train")["image"].tolist()
    first = labels["image0000L.png"]
    assert first.shape == (3, 20, 30)
    assert (first.area() > 0).tolist() == [False, True, True]
    assert first[1].bounding_boxes().tolist() == [[2, 2, 10, 9]]


def test_the_order_of_appearance_does_not_matter(tmp_path):
    competition = hand_bone(tmp_path)
    before = labels_of(competition)
    for path in (tmp_path / "train/outputs_json").rglob("*.json"):
        content = json.loads(path.read_text())
        content["annotations"].reverse()
        path.write_text(json.dumps(content))
    assert labels_of(competition) == before


def test_numbered_classes_are_never_sorted(tmp_path):
    names = ["finger-2", "finger-10", "finger-1"]
    competition = hand_bone(tmp_path, people=2, classes=names)
    for path in (tmp_path / "train/outputs_json").rglob("*.json"):
        write_annotations(path, [("finger-10", SQUARE), ("finger-2", SQUARE[:1])])
    assert labels_of(competition)["image0000L.png"].area().tolist() == [1, 25, 0]


def test_several_polygons_of_a_class_are_united_and_overlap_is_no_hole(tmp_path):
    competition = hand_bone(tmp_path, people=3)
    moved = [[x + 2, y + 2] for x, y in SQUARE]
    write_annotations(
        tmp_path / "train/outputs_json/ID000/image0000L.json",
        [("Ulna", SQUARE), ("Ulna", moved), ("Ulna", [[20, 15]])],
    )
    mask = labels_of(competition)["image0000L.png"]
    assert mask[1].area().tolist() == [25 + 25 - 9 + 1]


def test_labels_that_the_spec_does_not_know_are_listed_with_the_nearest_name(tmp_path):
    competition = hand_bone(tmp_path)
    for name, label in (("image0000L", "wrist "), ("image0001R", "Elbow")):
        write_annotations(tmp_path / f"train/outputs_json/ID000/{name}.json", [(label, SQUARE)])
    lines = fault_of(competition).splitlines()
    assert "image0000L.json annotation 0: no class 'wrist '; did you mean 'Wrist'?" in lines[0]
    assert "image0001R.json annotation 0: no class 'Elbow'; classes are" in lines[1]


def test_all_misspelt_classes_of_a_file_are_listed(tmp_path):
    competition = hand_bone(tmp_path)
    path = tmp_path / "train/outputs_json/ID000/image0000L.json"
    write_annotations(path, [("wrist ", SQUARE), ("Ulna", SQUARE), ("Elbow", SQUARE)])
    first, second = fault_of(competition).splitlines()
    assert "annotation 0: no class 'wrist '; did you mean 'Wrist'?" in first
    assert "annotation 2: no class 'Elbow'" in second


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"annotations": [', "is not whole JSON"),
        ("<html>", "is not whole JSON"),
        ('{"shapes": []}', 'has no list "annotations"'),
        ("[]", 'has no list "annotations"'),
        ('{"annotations": [{"label": "Ulna"}]}', "expected the keys 'label' and 'points'"),
        ('{"annotations": [{"label": "Ulna", "points": [[NaN, 1]]}]}', "a coordinate is NaN"),
        ('{"annotations": [{"label": "Ulna", "points": [[1e9, 1]]}]}', "class 'Ulna': polygon 0"),
        ('{"annotations": [{"label": "Ulna", "points": [["a", 1]]}]}', "class 'Ulna': polygon 0"),
        ('{"annotations": [{"label": "Ulna", "points": []}]}', "class 'Ulna': polygon 0"),
        ('{"annotations": [{"label": ["x"], "points": [[1, 1]]}]}', r"no class ['x']"),
        ('{"annotations": [{"label": "Ulna", "points": [[1, 1]], "type": "box"}]}', "type 'box'"),
    ],
)
def test_a_strange_annotation_file_is_named(tmp_path, content, message):
    competition = hand_bone(tmp_path, people=3)
    (tmp_path / "train/outputs_json/ID000/image0000L.json").write_text(content)
    fault = fault_of(competition)
    assert "image0000L.json" in fault and message in fault


def test_missing_and_left_over_label_files_are_both_listed(tmp_path):
    competition = hand_bone(tmp_path)
    folder = tmp_path / "train/outputs_json/ID001"
    (folder / "image0002L.json").rename(folder / "image0002X.json")
    (folder / "._image0003R.json").write_text("left by a Mac")
    fault = fault_of(competition)
    assert "image0002L.json' of image 'train/DCM/ID001/image0002L.png' does not exist" in fault
    assert "image0002X.json' belongs to no training image; did you mean" in fault
    assert "._image0003R" not in fault


def test_a_label_path_that_two_images_share_is_refused(tmp_path):
    competition = hand_bone(tmp_path, people=3)
    write_annotations(tmp_path / "all/ID000.json", [])
    labels = {"kind": "polygons", "files": "all/{folder}.json"}
    assert "'all/ID000.json' is that of 2 images" in fault_of(
        parsed({**HAND_BONE, "labels": labels}, competition.root)
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_masks_survive_polygons(tmp_path_factory, seed):
    root = tmp_path_factory.mktemp("hands")
    competition = hand_bone(root, people=3)
    mask = Runs.from_dense(np.random.default_rng(seed).random((20, 30)) < 0.6)
    polygons = [("Wrist", polygon.tolist()) for polygon in polygons_from_runs(mask)]
    write_annotations(root / "train/outputs_json/ID000/image0000L.json", polygons)
    assert labels_of(competition)["image0000L.png"][2] == mask


# Mask images


def masks(root, count=3, **labels):
    return salt(root, count, labels={**SALT_MASKS, **labels})


def test_masks_of_one_set_may_mix_eight_and_sixteen_bits(tmp_path):
    competition = masks(tmp_path)
    deep = blob(0).to_dense().astype(np.uint16) * 65535
    save(tmp_path / "train/masks/0000.png", deep)
    assert labels_of(competition)["0000"][0] == blob(0)


def test_a_smeared_mask_is_refused_with_its_values(tmp_path):
    competition = masks(tmp_path)
    smeared = blob(0).to_dense().astype(np.uint8) * 255
    smeared[0, :3] = (7, 128, 128)
    save(tmp_path / "train/masks/0000.png", smeared)
    fault = fault_of(competition)
    assert "0000.png has 4 values" in fault and "7: 1 px, 128: 2 px" in fault
    assert "set threshold in [labels]" in fault
    assert labels_of(masks(tmp_path, threshold=100))


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path):
    competition = masks(tmp_path)
    save(tmp_path / "train/masks/0000.png", np.zeros((30, 20), np.uint8))
    save(tmp_path / "train/masks/0001.png", np.zeros((10, 15), np.uint8))
    first, second = fault_of(competition).splitlines()
    assert (
        "0000.png has 30 × 20 pixels (height × width) and its image 20 × 30 (transposed?)" in first
    )
    assert "0001.png has 10 × 15 pixels (height × width) and its image 20 × 30" in second
    assert "transposed" not in second


def test_an_index_mask_gives_the_kth_class(tmp_path):
    competition = masks(tmp_path)
    index = np.zeros((20, 30), np.uint8)
    index[:, 3:6], index[:, 10:12] = 1, 3
    for number in range(3):
        save(tmp_path / f"train/masks/000{number}.png", index)
    table = competition.model_dump()
    table |= {"classes": BONES, "labels": {**SALT_MASKS, "values": "index"}, "recipes": {}}
    table["submission"] |= {"rows": "image-class", "label": "class"}
    assert labels_of(parsed(table, tmp_path))["0000"].area().tolist() == [60, 0, 40]
    index[0, 0], index[1, :2] = 4, 255
    save(tmp_path / "train/masks/0001.png", index)
    assert "0001.png has values out of 0…3: 4: 1 px, 255: 2 px" in fault_of(parsed(table, tmp_path))


def test_missing_masks_and_masks_of_no_image_are_both_listed(tmp_path):
    competition = masks(tmp_path)
    (tmp_path / "train/masks/0000.png").rename(tmp_path / "train/masks/0009.png")
    fault = fault_of(competition)
    assert "'train/masks/0000.png' of image 'train/images/0000.png' does not exist" in fault
    assert "'train/masks/0009.png' belongs to no training image" in fault


def test_a_missing_mask_does_not_hide_one_of_another_size(tmp_path):
    competition = masks(tmp_path)
    (tmp_path / "train/masks/0000.png").unlink()
    save(tmp_path / "train/masks/0002.png", np.zeros((10, 7), np.uint8))
    fault = fault_of(competition)
    assert "'train/masks/0000.png' of image 'train/images/0000.png' does not exist" in fault
    assert "masks/0002.png has 10 × 7 pixels (height × width) and its image" in fault


def test_a_damaged_mask_is_named(tmp_path):
    competition = masks(tmp_path)
    (tmp_path / "train/masks/0000.png").write_bytes(b"")
    assert "masks/0000.png is not an image that can be read: it is empty" in fault_of(competition)


@pytest.mark.parametrize("files", ["../{stem}.png", "/etc/{stem}.png", "a\\{stem}.png"])
def test_label_files_never_leave_the_data_folder(tmp_path, files):
    assert "path " in fault_of(masks(tmp_path, files=files))


def test_a_label_file_that_links_out_of_the_data_folder_is_refused(tmp_path):
    competition = masks(tmp_path / "data")
    path = tmp_path / "data/train/masks/0000.png"
    path.rename(tmp_path / "secret.png")
    path.symlink_to(tmp_path / "secret.png")
    assert "is a link out of the data folder" in fault_of(competition)


def test_label_files_are_those_that_are_read(tmp_path):
    competition = masks(tmp_path)
    catalog = build_catalog(competition)
    assert [path.name for path in label_files(competition, catalog)] == [
        "0000.png",
        "0001.png",
        "0002.png",
    ]
    assert label_files(salt(tmp_path), catalog) == [tmp_path / "train.csv"]
