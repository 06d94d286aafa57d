"""Pixels that do not count, as they are read: values, names, mask files of their own."""

import copy
import json

import numpy as np
import pytest
from downloads import (
    HAND_BONE,
    SALT,
    hand_bone,
    parsed,
    picture,
    salt,
    save,
    write_annotations,
    write_csv,
)

from competition.data.catalog import build_catalog
from competition.data.labels import label_files, labels_key, load_labels, read_labels
from competition.data.readers.rle import read_label_objects
from competition.doctor import examine
from competition.errors import InputFault
from competition.masks import RleFormat, Runs, encode
from competition.project import Project
from competition.steps import data_sheets
from competition.steps.data_sheets import draw_label_sheet
from competition.workspace import Workspace

INDEX = {"kind": "masks", "files": "train/masks/{stem}.png", "values": "index"}
TWO = {"classes": ["cell", "rim"]}


def labels_of(competition):
    return read_labels(competition, build_catalog(competition))


def fault_of(competition) -> str:
    with pytest.raises(InputFault) as caught:
        labels_of(competition)
    return str(caught.value)


def label_map(number: int) -> np.ndarray:
    """uint8 (20, 30): classes 1 and 2, with a column and a corner of other values."""
    values = np.zeros((20, 30), np.uint8)
    values[2:9, 3 : 12 + number] = 1
    values[5:15, 10:20] = 2
    values[:, 14] = 255
    values[:3, :2] = 254 if number == 2 else 0
    return values


def index_masks(root, **labels):
    competition = salt(root, labels={**INDEX, **labels}, **TWO)
    for number in range(6):
        save(root / f"train/masks/{number:04}.png", label_map(number))
    return competition


# Values


@pytest.mark.parametrize("ignore", [[254, 255], [255, 254]])
def test_ignored_values_are_of_no_class_and_told_apart(tmp_path, ignore):
    labels = labels_of(index_masks(tmp_path, ignore=ignore))
    for number, image in enumerate(labels):
        values = label_map(number)
        assert np.array_equal(labels[image].to_dense(), values == np.array([[[1]], [[2]]]))
        assert np.array_equal(labels.ignored[image].to_dense(), (values >= 254)[None])


def test_one_value_stands_for_a_list_of_it(tmp_path):
    competition = salt(tmp_path, labels={**INDEX, "ignore": 255}, **TWO)
    assert competition.labels.ignore == (255,)


def test_the_background_may_be_what_does_not_count(tmp_path):
    labels = labels_of(index_masks(tmp_path, ignore=[0, 254, 255]))
    for image, masks in labels.items():
        assert labels.ignored[image][0] == ~masks.any_mask()


def test_a_first_class_of_zero_is_no_background(tmp_path):
    competition = index_masks(tmp_path, ignore=[2, 254, 255], first=0)
    labels = labels_of(competition)
    values = label_map(0)
    assert np.array_equal(labels["0000"].to_dense(), values == np.array([[[0]], [[1]]]))
    assert np.array_equal(labels.ignored["0000"].to_dense()[0], values >= 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {**INDEX, "ignore": [255, 2]}}, r"names what is a class: 2 \('rim'\)"),
        ({"labels": {**INDEX, "ignore": 0, "first": 0}}, r"names what is a class: 0 \('cell'\)"),
        ({"labels": {**INDEX, "ignore": "void"}}, "valid integer"),
        ({"labels": {**INDEX, "ignore": -1}}, "greater than or equal to 0"),
        (
            {"labels": {**INDEX, "values": "nonzero", "ignore": 255}, "classes": ["cell"]},
            "set values = 'index'",
        ),
    ],
)
def test_what_cannot_be_ignored_is_refused(tmp_path, changes, message):
    with pytest.raises(InputFault, match=message):
        salt(tmp_path, **{**TWO, **changes})


def test_a_value_that_is_usually_ignored_names_the_key(tmp_path):
    fault = fault_of(index_masks(tmp_path, ignore=254))
    assert "255: 20 px" in fault and "254" not in fault.split("values out of")[1].split(";")[0]
    assert "add ignore = [254, 255] to [labels] if it means 'does not count'" in fault
    fault = fault_of(index_masks(tmp_path))
    assert "add ignore = 255 to [labels] if it means 'does not count'" in fault
    one = salt(tmp_path, labels={**INDEX, "values": "nonzero"})
    save(tmp_path / "train/masks/0000.png", label_map(0))
    assert "ignore = 255" in fault_of(one)


def test_other_strange_values_do_not_name_it(tmp_path):
    competition = index_masks(tmp_path, ignore=[254, 255])
    save(tmp_path / "train/masks/0000.png", np.full((20, 30), 7, np.uint8))
    fault = fault_of(competition)
    assert "7: 600 px" in fault and "ignore" not in fault


# Names


def test_polygons_of_ignored_names_win_over_classes(tmp_path):
    competition = hand_bone(tmp_path, labels={**HAND_BONE["labels"], "ignore": ["void", "doubt"]})
    square, beside = [[2, 2], [6, 2], [6, 6], [2, 6]], [[5, 5], [8, 5], [8, 8], [5, 8]]
    write_annotations(
        tmp_path / "train/outputs_json/ID000/image0000L.json",
        [("Ulna", square), ("void", beside), ("doubt", [[0, 0]])],
    )
    labels = labels_of(competition)
    assert labels["image0000L.png"].area().tolist() == [0, 25 - 4, 0]
    assert labels.ignored["image0000L.png"].area().tolist() == [16 + 1]
    others = [mask for image, mask in labels.ignored.items() if image != "image0000L.png"]
    assert not any(len(mask) for mask in others) and {m.shape for m in others} == {(1, 20, 30)}


def test_a_name_that_is_neither_a_class_nor_ignored_is_still_refused(tmp_path):
    competition = hand_bone(tmp_path, labels={**HAND_BONE["labels"], "ignore": "void"})
    path = tmp_path / "train/outputs_json/ID000/image0000L.json"
    write_annotations(path, [("viod", [[1, 1]])])
    assert "no class 'viod'; did you mean 'void'?" in fault_of(competition)


def rle_labels(root, rows: str = "image-class", *, named=("void",), **labels):
    """Two classes as rows of a csv, with rows of a name that does not count."""
    table = copy.deepcopy(HAND_BONE)
    table["data"] |= {"train_images": "train/*.png", "test_images": "test/*.png", "group": "image"}
    table["classes"] = ["cell", "rim"]
    table["labels"] = {
        "kind": "rle",
        "file": "train.csv",
        "image": "image",
        "label": "class",
        "rle": "rle",
        "rows": rows,
        "ignore": list(named),
        **labels,
    }
    lines = [["image", "class", "rle"]]
    for number in range(4):
        save(root / f"train/{number}.png", picture(number))
        values = label_map(number)
        parts = [("cell", values == 1), ("rim", values == 2)]
        parts += [(name, values >= 254) for name in named if number < 3]
        form = RleFormat("rows", rows=rows)
        lines += [[f"{number}.png", name, encode(Runs.from_dense(m), form)] for name, m in parts]
    write_csv(root / "train.csv", lines)
    save(root / "test/9.png", picture(9))
    write_csv(
        root / "sample_submission.csv", [["image_name", "class", "rle"], ["9.png", "cell", ""]]
    )
    return parsed(table, root)


@pytest.mark.parametrize("rows", ["image-class", "object"])
def test_rows_of_ignored_names_are_read_and_need_not_be_there(tmp_path, rows):
    competition = rle_labels(tmp_path, rows)
    labels = labels_of(competition)
    for number in range(4):
        values, image = label_map(number), f"{number}.png"
        assert np.array_equal(labels[image].to_dense(), values == np.array([[[1]], [[2]]]))
        ignored = (values >= 254) & (number < 3)
        assert np.array_equal(labels.ignored[image].to_dense()[0], ignored)


def test_objects_of_ignored_names_are_no_objects(tmp_path):
    competition = rle_labels(tmp_path, "object")
    objects = read_label_objects(competition, build_catalog(competition).iloc[:4])
    assert {tuple(found.classes.tolist()) for found in objects.values()} == {(0, 1)}


def test_names_that_are_classes_or_stand_in_no_column_are_refused(tmp_path):
    with pytest.raises(InputFault, match="names what is a class: 'rim'"):
        rle_labels(tmp_path, named=["void", "rim"])
    with pytest.raises(InputFault, match="the label csv has no column of them"):
        salt(tmp_path, labels__ignore=["void"])


# Files


def with_files(root, competition_of, **labels):
    for number in range(6):
        values = np.zeros((20, 30), np.uint8)
        values[10:12, number : number + 9] = 1 + 50 * number
        save(root / f"ignore/{number:04}.png", values)
    return competition_of(root, labels__ignore_files="ignore/{stem}.png", **labels)


def test_mask_files_of_ignored_pixels_go_with_labels_of_any_kind(tmp_path):
    competition = with_files(tmp_path, salt)
    labels, plain = labels_of(competition), labels_of(salt(tmp_path))
    for number, image in enumerate(labels):
        mask = np.zeros((20, 30), bool)
        mask[10:12, number : number + 9] = True
        assert np.array_equal(labels.ignored[image].to_dense()[0], mask)
        assert labels[image] == plain[image].without(Runs.from_dense(mask))
    assert any(labels[image] != plain[image] for image in labels)


def test_files_may_show_what_counts(tmp_path):
    competition = with_files(tmp_path, salt, labels__ignore_at="zero")
    labels = labels_of(competition)
    for number, image in enumerate(labels):
        mask = np.ones((20, 30), bool)
        mask[10:12, number : number + 9] = False
        assert np.array_equal(labels.ignored[image].to_dense()[0], mask)
    with pytest.raises(InputFault, match="ignore_at says which pixels of ignore_files"):
        salt(tmp_path, labels__ignore_at="zero")


def test_files_and_values_add_up(tmp_path):
    files = {"ignore_files": "ignore/{stem}.png", "ignore": [254, 255]}
    with_files(tmp_path, salt)
    labels = labels_of(index_masks(tmp_path, **files))
    assert labels.ignored["0000"].area().tolist() == [20 + 2 * 9]
    assert not len(labels["0000"] & labels.ignored["0000"].select([0, 0]))


def test_ignore_files_are_checked_as_label_files_are(tmp_path):
    competition = with_files(tmp_path, salt)
    (tmp_path / "ignore/0000.png").rename(tmp_path / "ignore/000.png")
    save(tmp_path / "ignore/0001.png", np.zeros((30, 20), np.uint8))
    fault = fault_of(competition)
    assert "label file 'ignore/0000.png' of image 'train/images/0000.png' does not exist" in fault
    assert "label file 'ignore/000.png' belongs to no training image" in fault
    assert "(transposed?)" in fault
    shared = parsed_with(competition, "ignore/0002.png")
    assert "ignore_files in [labels] must tell them apart" in fault_of(shared)


def parsed_with(competition, pattern):
    labels = competition.labels.model_copy(update={"ignore_files": pattern})
    return competition.model_copy(update={"labels": labels})


def test_a_changed_ignore_file_is_read_again(tmp_path):
    competition, space = with_files(tmp_path, salt), Workspace(tmp_path, "salt")
    catalog = build_catalog(competition)
    before = load_labels(competition, space, catalog)
    again = load_labels(competition, space, catalog)
    assert dict(again.ignored) == dict(before.ignored) == dict(labels_of(competition).ignored)
    assert tmp_path / "ignore/0000.png" in label_files(competition, catalog)
    save(tmp_path / "ignore/0000.png", np.ones((20, 30), np.uint8))
    after = load_labels(competition, space, catalog)
    assert after.ignored["0000"] == Runs.full((1, 20, 30)) and not len(after["0000"])


# What the doctor says of them


def said(competition, root):
    return examine(competition, Workspace(root, competition.name))


def of_kind(report, kind="ignored pixels"):
    return [finding.text for finding in report.doubtful if finding.kind == kind]


def test_the_doctor_tells_the_share_of_ignored_pixels(tmp_path):
    report = said(index_masks(tmp_path, ignore=[254, 255]), tmp_path)
    share = (6 * 20 + 6) / (6 * 20 * 30)
    assert ("ignored", f"{share:.2%} of the pixels, 6 images") in report.found
    assert not of_kind(report)
    plain = said(salt(tmp_path), tmp_path)
    assert "ignored" not in dict(plain.found) and not of_kind(plain)


def test_a_value_that_occurs_nowhere_is_a_warning(tmp_path):
    report = said(index_masks(tmp_path, ignore=[100, 254, 255]), tmp_path)
    assert of_kind(report) == ["ignore in [labels] names 100, which no label has"]


def test_names_that_occur_nowhere_are_warnings(tmp_path):
    hands = hand_bone(tmp_path, labels={**HAND_BONE["labels"], "ignore": ["void", "doubt"]})
    both = [f"ignore in [labels] names {name!r}, which no label has" for name in ("void", "doubt")]
    assert of_kind(said(hands, tmp_path)) == both
    path = tmp_path / "train/outputs_json/ID000/image0000L.json"
    write_annotations(path, [("void", [[1, 1], [5, 1], [5, 5]])])
    assert of_kind(said(hands, tmp_path)) == both[1:]


def test_names_without_a_pixel_in_a_csv_are_warnings(tmp_path):
    competition = rle_labels(tmp_path, named=["void", "doubt"])
    lines = (tmp_path / "train.csv").read_text().splitlines()
    lines = [line.rpartition(",")[0] + "," if ",doubt," in line else line for line in lines]
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    report = said(competition, tmp_path)
    assert of_kind(report) == ["ignore in [labels] names 'doubt', which no label has"]


def test_an_image_without_a_pixel_that_counts_is_a_warning(tmp_path):
    competition = index_masks(tmp_path, ignore=[254, 255])
    save(tmp_path / "train/masks/0003.png", np.full((20, 30), 255, np.uint8))
    (text,) = of_kind(said(competition, tmp_path))
    assert text.startswith("image '0003' is ignored wholly") and "exclude in [data]" in text


def test_ignore_files_without_a_pixel_are_a_warning(tmp_path):
    competition = with_files(tmp_path, salt)
    assert not of_kind(said(competition, tmp_path))
    for path in (tmp_path / "ignore").glob("*.png"):
        save(path, np.zeros((20, 30), np.uint8))
    (text,) = of_kind(said(competition, tmp_path))
    assert "'ignore/{stem}.png'" in text


def test_texts_and_their_mask_images_are_compared_where_pixels_count(tmp_path):
    pictured = "train/masks/{stem}.png"
    report = said(with_files(tmp_path, salt, labels__masks=pictured), tmp_path)
    assert not report.errors
    competition = parsed(SALT, tmp_path, labels__masks=pictured)
    values = np.zeros((20, 30), np.uint8)
    values[0, 0] = 255
    save(tmp_path / "train/masks/0001.png", values)
    report = said(competition, tmp_path)
    assert any("differ from their mask images, such as '0001'" in text for text in report.errors)


def test_the_sheet_of_labels_shows_an_image_that_has_ignored_pixels(tmp_path, monkeypatch):
    competition = index_masks(tmp_path, ignore=[254, 255])
    for number in range(6):
        values = label_map(number)
        save(
            tmp_path / f"train/images/{number:04}.png", np.full((20, 30, 3), 90 + number, np.uint8)
        )
        values = values if number == 5 else np.where(values > 2, 0, values)
        save(tmp_path / f"train/masks/{number:04}.png", values)
    project = Project(competition, tmp_path)
    assert "0005" in data_sheets._showing_every_class(project)[:2]
    tiles = {}

    def kept(pictures, path, *, captions, hatched, **options):
        tiles.update(zip(captions, pictures, strict=True))
        assert hatched

    monkeypatch.setattr(data_sheets, "contact_sheet", kept)
    draw_label_sheet(project)
    one, other = (tiles[image].shape[1] * 14 // 30 for image in ("0005", "0000"))
    assert {0, 255} <= set(tiles["0005"][-40:, one + 2 : one + 12].ravel().tolist())
    assert not {0, 255} <= set(tiles["0000"][-40:, other + 2 : other + 12].ravel().tolist())


# Neither key


def test_a_project_has_ignored_pixels_beside_its_labels(tmp_path):
    project = Project(with_files(tmp_path, salt), tmp_path)
    assert list(project.ignored) == list(project.labels)
    assert project.ignored["0003"].area().tolist() == [18]


def test_keys_that_are_not_set_leave_receipts_as_they_were(tmp_path):
    project = Project(salt(tmp_path, labels=INDEX, **TWO), tmp_path)
    assert json.dumps(project.pipeline._spec("labels")) == json.dumps(
        {"labels": {"kind": "masks", "files": INDEX["files"], "values": "index", "threshold": None}}
    )
    set_ = Project(salt(tmp_path, labels={**INDEX, "ignore": 255}, **TWO), tmp_path)
    assert set_.pipeline._spec("labels")["labels"]["ignore"] == [255]
    catalog = build_catalog(set_.competition)
    assert labels_key(set_.competition, catalog) != labels_key(project.competition, catalog)
