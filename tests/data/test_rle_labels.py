"""Run-length label rows: of images, of image × class, of objects."""

import pytest
from downloads import BONES, HAND_BONE, SALT_MASKS, blob, parsed, picture, salt, save, write_csv

from competition.data.catalog import build_catalog, of_split
from competition.data.labels import read_labels
from competition.data.readers.rle import read_label_objects
from competition.errors import InputFault
from competition.masks import RleFormat, Runs, encode


def labels_of(competition):
    return read_labels(competition, build_catalog(competition))


def fault_of(competition) -> str:
    with pytest.raises(InputFault) as caught:
        labels_of(competition)
    return str(caught.value)


def write_rows(root, rows, header=("id", "rle_mask")):
    return write_csv(root / "train.csv", [header, *rows])


def rows_of(root):
    lines = (root / "train.csv").read_text().splitlines()[1:]
    return [line.split(",") for line in lines]


def test_a_csv_and_mask_images_of_the_same_labels_agree(tmp_path):
    texts = labels_of(salt(tmp_path))
    pictures = labels_of(salt(tmp_path, labels=SALT_MASKS))
    assert texts == pictures and texts["0000"] == Runs.stack([blob(0)])
    assert len(texts["0001"]) == 0


def test_rows_in_another_order_give_the_same_labels(tmp_path):
    competition = salt(tmp_path)
    before = labels_of(competition)
    write_rows(tmp_path, rows_of(tmp_path)[::-1])
    after = labels_of(competition)
    assert after == before and list(after) == list(before)


def test_ids_that_look_like_something_else_stay_text(tmp_path):
    names = ["NA", "null", "1e5", "True", "0010", "10", "9747413253", "nan"]
    competition = salt(tmp_path, count=0)
    for seed, name in enumerate(names):
        save(tmp_path / f"train/images/{name}.png", picture(seed + 10))
    write_rows(tmp_path, [[n, encode(blob(k), RleFormat("columns"))] for k, n in enumerate(names)])
    labels = labels_of(competition)
    assert all(labels[name][0] == blob(seed) for seed, name in enumerate(names))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", "has no partner"),
        ("1 3 2 4", "overlaps"),
        ("0 3", "a start here is 1 to 600"),
        ("601 1", "a start here is 1 to 600"),
        ("600 2", "length of this run is 1 to 1"),
        ("3 0", "length"),
        ("3 -1", "digits"),
        ("-1", "digits"),
        ("１ 3", "digits"),
        ("1\t3", "digits"),
        ("1.0 3", "digits"),
    ],
)
def test_an_illegal_text_is_named_by_file_line_image_and_class(tmp_path, text, message):
    competition = salt(tmp_path)
    rows = rows_of(tmp_path)
    rows[3][1] = text
    write_rows(tmp_path, rows)
    fault = fault_of(competition)
    assert "train.csv line 5: image '0003', class 'salt': " in fault and message in fault


def test_a_csv_that_is_cut_is_noticed_by_its_missing_rows(tmp_path):
    competition = salt(tmp_path)
    content = (tmp_path / "train.csv").read_bytes()
    (tmp_path / "train.csv").write_bytes(
        content[: content.rindex(b" ")].rsplit(b"\n", 1)[0] + b"\n"
    )
    fault = fault_of(competition)
    assert (
        "train.csv has 5 rows; 1 of 6 are missing" in fault and "no row for image '0005'" in fault
    )


@pytest.mark.parametrize("rows", ["image", "object"])
def test_a_csv_that_is_cut_between_two_runs_is_noticed_by_its_open_last_line(tmp_path, rows):
    # every row is there, and the last mask only lost its end: nothing else can tell
    competition = salt(tmp_path, labels__rows=rows)
    content = (tmp_path / "train.csv").read_text()
    (tmp_path / "train.csv").write_text(" ".join(content.split(" ")[:-2]))
    fault = fault_of(competition)
    assert "train.csv line 7: the last line has no end, so the file may be cut" in fault


def test_many_faults_are_listed_as_ten_and_a_count(tmp_path):
    competition = salt(tmp_path, count=30)
    write_rows(tmp_path, rows_of(tmp_path)[:5])
    lines = fault_of(competition).splitlines()
    assert len(lines) == 11 and lines[-1] == "… and 16 more"


def test_a_row_that_stands_twice_is_refused(tmp_path):
    competition = salt(tmp_path)
    rows = rows_of(tmp_path)
    write_rows(tmp_path, [*rows, rows[2]])
    assert "train.csv line 8: image '0002', class 'salt': 2 rows of one key" in fault_of(
        competition
    )


def test_rows_of_unknown_images_are_refused(tmp_path):
    competition = salt(tmp_path)
    write_rows(tmp_path, [*rows_of(tmp_path), ["00O2", ""]])
    assert "line 8: image '00O2', class 'salt': no such training image; did you mean '0002'?" in (
        fault_of(competition)
    )


STEEL = {
    "kind": "rle",
    "file": "train.csv",
    "image": "id",
    "label": "class",
    "rle": "rle_mask",
    "rows": "image-class",
    "order": "columns",
}
"""Rows of image × class."""


def steel(root, rows, **labels):
    """The salt images with three classes, and label rows of image × class."""
    salt(root, count=3)
    write_rows(root, rows, header=["id", "class", "rle_mask"])
    table = {**HAND_BONE, "labels": {**STEEL, **labels}}
    data = {
        "train_images": "train/images/*.png",
        "test_images": "test/images/*.png",
        "root": ".",
        "image_id": "stem",
    }
    return parsed({**table, "data": data}, root)


def test_every_image_needs_a_row_for_every_class(tmp_path):
    rows = [[f"000{n}", bone, ""] for n in range(3) for bone in BONES if (n, bone) != (1, "Ulna")]
    fault = fault_of(steel(tmp_path, rows))
    assert "train.csv has 8 rows; 1 of 9 are missing" in fault
    assert "no row for image '0001', class 'Ulna'" in fault


def test_positives_only_lets_rows_be_absent(tmp_path):
    text = encode(blob(5), RleFormat("columns"))
    labels = labels_of(steel(tmp_path, [["0001", "Ulna", text]], positives_only=True))
    assert labels["0001"][1] == blob(5) and len(labels["0001"]) == len(blob(5))
    assert [len(labels[image]) for image in ("0000", "0002")] == [0, 0]


@pytest.mark.parametrize("classes", [BONES[::-1], (BONES[1], BONES[2], BONES[0])], ids=str)
def test_classes_stand_in_the_order_of_the_file_and_not_of_the_alphabet(tmp_path, classes):
    texts = {name: encode(blob(seed), RleFormat("columns")) for seed, name in enumerate(classes)}
    rows = [[f"000{n}", name, texts[name]] for n in range(3) for name in sorted(classes)]
    competition = steel(tmp_path, rows).model_copy(update={"classes": tuple(classes)})
    labels = labels_of(competition)["0002"]
    assert [labels[k] for k in range(3)] == [blob(seed) for seed in range(3)]
    objects = read_label_objects(competition, of_split(build_catalog(competition), "train"))["0002"]
    assert objects.to_classes(3) == labels


def test_a_class_that_is_written_otherwise_is_refused(tmp_path):
    fault = fault_of(steel(tmp_path, [["0001", "wrist ", "1 2"]], positives_only=True))
    assert "class 'wrist ': no such class; did you mean 'Wrist'?; classes are" in fault


def test_a_key_that_holds_the_class_is_split_from_the_right(tmp_path):
    salt(tmp_path, count=2)
    for number in range(2):
        (tmp_path / f"train/images/000{number}.png").rename(
            tmp_path / f"train/images/a_{number}.png"
        )
    rows = [
        [f"a_{n}.png_{bone}", "7 2" if bone == "Ulna" else ""] for n in (0, 1) for bone in BONES
    ]
    write_rows(tmp_path, rows)
    labels = {
        "kind": "rle",
        "file": "train.csv",
        "image": "id",
        "rle": "rle_mask",
        "rows": "image-class",
    }
    data = {"train_images": "train/images/*.png", "test_images": "test/images/*.png", "root": "."}
    submission = {**HAND_BONE["submission"], "label": None, "separator": "_"}
    table = {**HAND_BONE, "labels": labels, "data": data, "submission": submission}
    found = labels_of(parsed(table, tmp_path))
    assert found["a_1.png"].area().tolist() == [0, 2, 0]


def test_objects_of_an_image_are_united_and_keep_their_identity(tmp_path):
    form = RleFormat("columns", rows="object")
    competition = salt(tmp_path, labels__rows="object")
    rows = [[f"000{n}", ""] for n in range(5)]
    rows += [["0005", encode(blob(seed), form)] for seed in (7, 8, 7)]
    write_rows(tmp_path, rows)
    assert labels_of(competition)["0005"][0] == blob(7) | blob(8)
    objects = read_label_objects(competition, of_split(build_catalog(competition), "train"))["0005"]
    assert [objects.runs[k] for k in range(3)] == [blob(7), blob(8), blob(7)]


def test_relative_texts_with_a_token_for_empty_masks_and_spaces_before_them(tmp_path):
    # as SIIM-ACR's train-rle.csv writes them, header included
    competition = salt(
        tmp_path, labels__relative=True, labels__base=0, labels__empty="-1", labels__rows="object"
    )
    form = RleFormat("columns", base=0, relative=True, empty="-1")
    texts = ["-1", encode(blob(3), form), "-1", "-1", "-1", "-1"]
    write_rows(
        tmp_path, [[f"000{n}", f" {text}"] for n, text in enumerate(texts)], ["id", " rle_mask"]
    )
    assert labels_of(competition)["0001"][0] == blob(3)


def test_the_labels_may_count_pixels_otherwise_than_the_submission(tmp_path):
    competition = salt(tmp_path, labels__order="rows")
    rows = [[f"000{n}", encode(blob(n), RleFormat("rows"))] for n in range(6)]
    write_rows(tmp_path, rows)
    assert labels_of(competition)["0004"][0] == blob(4)
