"""Masks of several annotators, as they are read: files of their own, or one array an image."""

import numpy as np
import pytest
from downloads import CELLS, cell_map, cells, save

from competition.data.catalog import build_catalog
from competition.data.labels import LabelCache, label_files, load_labels, read_labels
from competition.doctor import examine
from competition.errors import InputFault
from competition.masks import Runs
from competition.workspace import Workspace

INDEX = {"kind": "masks", "files": "masks/{stem}.png", "values": "index"}
FILES = "annotators/{stem}_*.png"
ARRAY = "annotators/{stem}.npy"


def drawn_by(number: int, annotator: int) -> np.ndarray:
    """uint8 (20, 30): what this annotator drew of an image."""
    return np.roll(cell_map(number), annotator, axis=1).astype(np.uint8)


def annotated(root, pattern=FILES, images=range(4), many=3, **changes):
    """Cells whose labels are the first annotator's; further annotators drew them further right."""
    labels = INDEX | {"annotators": pattern} | changes
    competition = cells(root, labels, exclusive=True)
    for number in range(4):
        save(root / f"masks/{number:04}.png", drawn_by(number, 0))
    for number in images:
        masks = [drawn_by(number, k) for k in range(many)]
        if pattern == FILES:
            for k, mask in enumerate(masks):
                save(root / f"annotators/{number:04}_{k}.png", mask)
        else:
            (root / "annotators").mkdir(exist_ok=True)
            stacked = np.stack(masks, axis=-1)[:, :, None]
            np.save(root / f"annotators/{number:04}.npy", stacked)
    return competition


def labels_of(competition) -> LabelCache:
    return read_labels(competition, build_catalog(competition))


def fault_of(competition) -> str:
    with pytest.raises(InputFault) as caught:
        labels_of(competition)
    return str(caught.value)


@pytest.mark.parametrize("pattern", [FILES, ARRAY])
def test_all_annotators_are_kept_beside_the_labels(tmp_path, pattern):
    found = labels_of(annotated(tmp_path, pattern))
    for number, image in enumerate(found):
        assert found[image] == Runs.from_label_map(cell_map(number), 2)
        expected = [Runs.from_label_map(drawn_by(number, k).astype(int), 2) for k in range(3)]
        assert found.annotators[image] == Runs.stack(expected)


def test_images_without_annotators_have_their_labels_alone(tmp_path):
    found = labels_of(annotated(tmp_path, images=[1, 2], many=2))
    assert list(found) == [f"{n:04}" for n in range(4)]
    assert {image: masks.classes for image, masks in found.annotators.items()} == {
        "0001": 4,
        "0002": 4,
    }


def test_they_are_kept_with_the_labels_and_read_anew_when_they_change(tmp_path):
    competition, space = annotated(tmp_path), Workspace(tmp_path, "cells")
    catalog = build_catalog(competition)
    first = load_labels(competition, space, catalog)
    again = load_labels(competition, space, catalog)
    assert dict(again.annotators.items()) == dict(first.annotators.items())
    save(tmp_path / "annotators/0000_0.png", drawn_by(0, 9))
    changed = load_labels(competition, space, catalog).annotators["0000"]
    assert changed != first.annotators["0000"]
    assert tmp_path / "annotators/0000_0.png" in label_files(competition, catalog)


def test_pixels_that_do_not_count_are_of_no_annotator(tmp_path):
    competition = annotated(tmp_path, ignore=255)
    values = drawn_by(0, 0)
    values[:, :20] = 255
    save(tmp_path / "masks/0000.png", values)
    masks = labels_of(competition).annotators["0000"].to_dense()
    assert not masks[..., :20].any() and masks[..., 20:].any()


@pytest.mark.parametrize(
    ("pattern", "say"),
    [
        ("annotators/{stem}.png", r"set a \* where its annotators differ"),
        ("annotators/{class}/{stem}_*.png", "not a file a {class}"),
    ],
)
def test_one_file_of_one_annotator_is_refused(tmp_path, pattern, say):
    with pytest.raises(InputFault, match=say):
        annotated(tmp_path, pattern)


def test_annotators_that_lie_nowhere_or_are_the_labels_are_refused(tmp_path):
    competition = annotated(tmp_path, images=[])
    assert "check annotators in [labels]" in fault_of(competition)
    competition = annotated(tmp_path / "b", annotators="masks/{stem}*.png")
    assert "masks/0000.png is met by files and by annotators" in fault_of(competition)


def test_masks_of_annotators_may_lie_among_the_labels(tmp_path):
    competition = annotated(tmp_path, annotators="masks/{stem}_by_*.png")
    for number in range(4):
        save(tmp_path / f"masks/{number:04}_by_me.png", drawn_by(number, 1))
    assert {m.classes for m in labels_of(competition).annotators.values()} == {2}


def test_an_array_of_another_size_shape_or_kind_is_named(tmp_path):
    competition = annotated(tmp_path, ARRAY)
    for array, say in (
        (np.zeros((20, 31, 1, 3), np.uint8), "20 × 31 pixels"),
        (np.zeros((20, 30), np.uint8), "expected (H, W, R) or (H, W, 1, R)"),
        (np.zeros((20, 30, 1, 3)), "a mask has whole numbers"),
        (np.full((20, 30, 1, 3), 3, np.uint8), "has values out of 0…2"),
    ):
        np.save(tmp_path / "annotators/0002.npy", array)
        fault = fault_of(competition)
        assert say in fault and "0002.npy" in fault and "\n" not in fault


def test_the_doctor_says_how_well_they_agree(tmp_path):
    competition = annotated(tmp_path, many=2)
    text = examine(competition, Workspace(tmp_path, "cells")).text()
    dice = []
    for number in range(4):
        one, other = (drawn_by(number, k) for k in range(2))
        for k in range(1, len(CELLS) + 1):
            shared, both = ((one == k) & (other == k)).sum(), (one == k).sum() + (other == k).sum()
            dice += [2 * shared / both] if both else []
    assert f"2 of an image, in 4 images; two of them agree to a Dice of {np.mean(dice):.3f}" in text
