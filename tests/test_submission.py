"""The submission: written from the sample, read back before it appears, and checked of any origin."""

import csv
import json
import os
import signal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from competition import workspace
from competition.errors import InputFault, MachineFault
from competition.masks import Objects, Runs
from competition.scoring import ObjectRule
from competition.spec import parse_competition
from competition.submission import (
    check_submission,
    read_objects,
    read_receipt,
    read_submission,
    receipt_path,
    write_submission,
)

CLASSES = ("finger-1", "finger-10", "finger-2")
SIZES = {"0001": (5, 7), "NA": (6, 4)}


def competition(tmp_path, *, classes=CLASSES, **submission):
    form = {
        "sample": "sample.csv",
        "image": "image_name",
        "label": "class",
        "rle": "rle",
        "rows": "image-class",
        "order": "rows",
        **submission,
    }
    table = {
        "name": "hands",
        "classes": classes,
        "horizontal_flip": "allowed",
        "data": {"root": ".", "train_images": "train/*.png", "test_images": "test/*.png"},
        "labels": {"kind": "masks", "files": "masks/{stem}.png", "values": "index"},
        "submission": {key: value for key, value in form.items() if value is not None},
        "metric": {"name": "dice"},
        "ensemble": {"recipes": ["unet-resnet18-cpu"]},
    }
    return parse_competition(table, folder=tmp_path, source="competition.toml")


def sample_file(tmp_path, text):
    path = tmp_path / "sample.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def product_sample(tmp_path):
    """Classes in reverse, so that the order of the sample is not the order of the classes."""
    lines = [f"{image},{name},1 1" for image in SIZES for name in reversed(CLASSES)]
    return sample_file(tmp_path, "\n".join(["image_name,class,rle", *lines]) + "\n")


def random_masks(seed=0, classes=3, share=0.4):
    generator = np.random.default_rng(seed)
    return {
        image: Runs.from_dense(generator.random((classes, *size)) < share)
        for image, size in SIZES.items()
    }


def written(tmp_path, spec, sample, masks, name="sub.csv"):
    target = tmp_path / name
    write_submission(spec, sample, masks.__getitem__, target, {"members": ["small"]})
    return target


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    order=st.sampled_from(["rows", "columns"]),
    base=st.sampled_from([0, 1]),
    relative=st.booleans(),
    empty=st.sampled_from(["", "-1", "1 0"]),
)
def test_a_written_submission_reads_back_as_the_same_masks(
    tmp_path, seed, share, order, base, relative, empty
):
    spec = competition(tmp_path, order=order, base=base, relative=relative, empty=empty)
    sample = product_sample(tmp_path)
    masks = random_masks(seed, share=share)
    target = written(tmp_path, spec, sample, masks)
    assert read_submission(spec, target, SIZES) == masks
    summary = check_submission(spec, target, sample, SIZES)
    assert (summary.rows, summary.images) == (6, 2)
    assert summary.empty == sum(int((runs.area() == 0).sum()) for runs in masks.values())


def test_columns_rows_and_order_are_those_of_the_sample(tmp_path):
    spec, sample = competition(tmp_path), product_sample(tmp_path)
    lines = written(tmp_path, spec, sample, random_masks()).read_text().splitlines()
    keys = [line.rsplit(",", 1)[0] for line in sample.read_text().splitlines()]
    assert [line.rsplit(",", 1)[0] for line in lines] == keys


def test_rows_of_one_image_may_stand_apart_and_other_columns_are_handed_back(tmp_path):
    spec = competition(tmp_path)
    keys = [(image, name) for name in CLASSES for image in SIZES]
    lines = [f"7,{image},,{name}" for image, name in keys]
    sample = sample_file(tmp_path, "\n".join(["row, image_name,rle,class", *lines]) + "\n")
    masks, asked = random_masks(), []
    target = tmp_path / "sub.csv"
    write_submission(spec, sample, lambda image: asked.append(image) or masks[image], target, {})
    assert target.read_text().splitlines()[0] == "row, image_name,rle,class"
    assert all(line.startswith("7,") for line in target.read_text().splitlines()[1:])
    assert read_submission(spec, target, SIZES) == masks
    assert sorted(asked) == ["0001", "NA"]


def test_a_class_in_the_key_splits_from_the_right(tmp_path):
    spec = competition(
        tmp_path, classes=("Fish", "Sugar"), image="Image_Label", label=None, separator="_"
    )
    names = [f"a_Fish_b.jpg_{name}" for name in ("Fish", "Sugar")]
    sample = sample_file(tmp_path, "Image_Label,rle\n" + "".join(f"{n},\n" for n in names))
    masks = {"a_Fish_b.jpg": Runs.from_dense(np.eye(4)[None] > np.zeros((2, 1, 1)))}
    target = written(tmp_path, spec, sample, masks)
    assert read_submission(spec, target, {"a_Fish_b.jpg": (4, 4)}) == masks


def test_one_row_per_image_of_one_class(tmp_path):
    spec = competition(
        tmp_path, classes=("salt",), label=None, rows="image", order="columns", empty="-"
    )
    sample = sample_file(tmp_path, "image_name,rle\nNA,\n0001,\n")
    masks = {**random_masks(classes=1), "NA": Runs.empty((1, 6, 4))}
    target = written(tmp_path, spec, sample, masks)
    assert target.read_text().splitlines()[1] == "NA,-"
    assert read_submission(spec, target, SIZES) == masks


def test_two_classes_need_a_place_in_the_rows(tmp_path):
    spec = competition(tmp_path, label=None, rows="image")
    sample = sample_file(tmp_path, "image_name,rle\nNA,\n")
    with pytest.raises(InputFault, match="neither label nor separator"):
        written(tmp_path, spec, sample, random_masks())


def nuclei(tmp_path):
    spec = competition(tmp_path, classes=("nucleus",), label=None, rows="object", order="columns")
    return spec, sample_file(tmp_path, "image_name,rle\nNA,\n0001,1 1\n0001,2 1\n")


def test_every_component_is_a_row_and_an_empty_image_keeps_one(tmp_path):
    spec, sample = nuclei(tmp_path)
    dense = np.zeros((1, 5, 7), bool)
    dense[0, :2, :2] = dense[0, 3:, 4:] = True
    masks = {"0001": Runs.from_dense(dense), "NA": Runs.empty((1, 6, 4))}
    target = written(tmp_path, spec, sample, masks)
    assert target.read_text() == "image_name,rle\nNA,\n0001,1 2 6 2\n0001,24 2 29 2 34 2\n"
    assert read_submission(spec, target, SIZES) == masks
    assert [len(o) for o in read_objects(spec, target, SIZES).values()] == [0, 2]
    check_submission(spec, target, sample, SIZES)


def test_the_rule_for_objects_is_that_of_the_competition_file(tmp_path):
    spec, sample = nuclei(tmp_path)
    dense = np.zeros((1, 6, 4), bool)
    dense[0, 0, 0] = dense[0, 1, 1] = dense[0, 3:, 3] = True
    masks = {"0001": Runs.empty((1, 5, 7)), "NA": Runs.from_dense(dense)}
    rules = {8: ["NA,1 1 8 1", "NA,22 3"], 4: ["NA,1 1", "NA,8 1", "NA,22 3"]}
    for connectivity, rows in rules.items():
        ruled = spec.model_copy(update={"objects": ObjectRule(connectivity=connectivity)})
        target = written(tmp_path, ruled, sample, masks)
        assert target.read_text().splitlines()[1:] == [*rows, "0001,"]
    large = spec.model_copy(update={"objects": ObjectRule(minimum_area=3)})
    target = written(tmp_path, large, sample, masks)
    assert target.read_text().splitlines()[1:] == ["NA,22 3", "0001,"]


def test_objects_hand_back_the_other_columns_of_their_images_first_row(tmp_path):
    spec, _ = nuclei(tmp_path)
    sample = sample_file(tmp_path, "image_name,rle,height\n0001,,5\nNA,,6\n0001,,7\n")
    masks = {"0001": Runs.full((1, 5, 7)), "NA": Runs.empty((1, 6, 4))}
    target = written(tmp_path, spec, sample, masks)
    assert target.read_text() == "image_name,rle,height\n0001,1 35,5\nNA,,6\n"


def test_touching_objects_stay_two_rows(tmp_path):
    spec, sample = nuclei(tmp_path)
    stack = np.zeros((2, 5, 7), bool)
    stack[0, :, :3] = stack[1, :, 3:] = True
    masks = {
        "0001": Objects(Runs.from_dense(stack), np.zeros(2, np.int64)),
        "NA": Objects(Runs.empty((0, 6, 4)), np.zeros(0, np.int64)),
    }
    target = written(tmp_path, spec, sample, masks)
    assert read_objects(spec, target, SIZES) == {"NA": masks["NA"], "0001": masks["0001"]}


def test_objects_that_share_pixels_are_refused(tmp_path):
    spec, sample = nuclei(tmp_path)
    path = tmp_path / "sub.csv"
    path.write_text("image_name,rle\nNA,\n0001,1 3\n0001,3 2\n")
    with pytest.raises(InputFault, match="objects of image '0001' share 1 pixels"):
        check_submission(spec, path, sample, SIZES)


def test_the_empty_row_stands_alone(tmp_path):
    spec, sample = nuclei(tmp_path)
    path = tmp_path / "sub.csv"
    path.write_text("image_name,rle\nNA,\n0001,1 3\n0001,\n")
    with pytest.raises(InputFault, match="line 4, image '0001': an empty row beside other rows"):
        check_submission(spec, path, sample, SIZES)


def test_the_same_masks_give_the_same_bytes(tmp_path):
    spec, sample = competition(tmp_path), product_sample(tmp_path)
    first = written(tmp_path, spec, sample, random_masks(), "a.csv")
    backwards = dict(reversed(random_masks().items()))
    second = written(tmp_path, spec, sample, backwards, "b.csv")
    assert first.read_bytes() == second.read_bytes()


def test_the_receipt_names_the_bytes_it_belongs_to(tmp_path):
    spec, sample = competition(tmp_path), product_sample(tmp_path)
    target = written(tmp_path, spec, sample, random_masks())
    receipt = read_receipt(target)
    assert receipt["members"] == ["small"]
    assert receipt["sha256"] == workspace.file_sha256(target)
    assert json.loads(receipt_path(target).read_text()) == receipt
    target.write_text(target.read_text().replace("NA", "Na"))
    assert read_receipt(target) is None


def test_a_mask_text_longer_than_python_csv_reads_by_default_goes_through(tmp_path):
    spec = competition(tmp_path, classes=("salt",), label=None, rows="image")
    sample = sample_file(tmp_path, "image_name,rle\nboard,\n")
    board = np.indices((300, 301)).sum(axis=0)[None] % 2
    masks = {"board": Runs.from_dense(board)}
    target = written(tmp_path, spec, sample, masks)
    assert target.stat().st_size > 131_072
    assert read_submission(spec, target, {"board": (300, 301)}) == masks


def test_nothing_appears_when_the_rows_read_back_are_other_masks(tmp_path, monkeypatch):
    spec, sample = competition(tmp_path), product_sample(tmp_path)
    from competition.submission import write

    honest = write.encode_classes
    monkeypatch.setattr(
        write, "encode_classes", lambda runs, form: [*honest(runs, form)[:-1], "1 2"]
    )
    masks = {image: Runs.full((3, *size)) for image, size in SIZES.items()}
    with pytest.raises(MachineFault, match="image '0001', class 'finger-2': read back another"):
        written(tmp_path, spec, sample, masks)
    assert [path.name for path in tmp_path.iterdir()] == ["sample.csv"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda rows: rows[:-1], "another number of rows"),
        (lambda rows: [*rows, rows[-1]], "another number of rows"),
        (lambda rows: rows[::-1], "read back another file than was written:\nimage 'NA'"),
        (lambda rows: [rows[1], rows[0], *rows[2:]], "class 'finger-2': read back another mask"),
        (
            lambda rows: [[*row[:-1], ""] for row in rows],
            "class 'finger-2': read back another mask",
        ),
        (
            lambda rows: [["NA", *row[1:]] for row in rows],
            "image '0001', class 'finger-2': read back another",
        ),
    ],
)
def test_rows_that_the_disk_lost_doubled_or_changed_are_found(
    tmp_path, monkeypatch, damage, message
):
    spec, sample = competition(tmp_path), product_sample(tmp_path)
    from competition.submission import write

    class Reader:
        reader = staticmethod(lambda file, **options: changed(list(csv.reader(file, **options))))
        writer = staticmethod(csv.writer)

    def changed(rows):
        return iter([rows[0], *damage(rows[1:])])

    monkeypatch.setattr(write, "csv", Reader)
    monkeypatch.setattr(write, "_ROWS_AT_ONCE", 4)
    with pytest.raises(MachineFault, match=message):
        written(tmp_path, spec, sample, random_masks())
    assert [path.name for path in tmp_path.iterdir()] == ["sample.csv"]


def test_blocks_of_rows_give_the_bytes_of_one_block(tmp_path, monkeypatch):
    from competition.submission import write

    spec = competition(tmp_path)
    keys = [(image, name) for name in CLASSES for image in SIZES]
    sample = sample_file(
        tmp_path, "image_name,class,rle\n" + "".join(f"{i},{name},\n" for i, name in keys)
    )
    whole = written(tmp_path, spec, sample, random_masks(), "whole.csv").read_bytes()
    for name in ("_ROWS_AT_ONCE", "_RUNS_AT_ONCE"):
        monkeypatch.setattr(write, name, 1)
        assert written(tmp_path, spec, sample, random_masks(), "few.csv").read_bytes() == whole


def test_a_failing_mask_leaves_the_submission_before_it(tmp_path):
    spec, sample = competition(tmp_path), product_sample(tmp_path)
    target = written(tmp_path, spec, sample, random_masks())
    before = target.read_bytes(), receipt_path(target).read_bytes()
    with pytest.raises(KeyError):
        written(tmp_path, spec, sample, {"0001": random_masks()["0001"]})
    assert (target.read_bytes(), receipt_path(target).read_bytes()) == before


@pytest.mark.parametrize(
    ("shape", "message"), [((2, 5, 7), "expected 3 classes"), ((5, 7), "expected 3 classes")]
)
def test_masks_of_another_number_of_classes_are_refused(tmp_path, shape, message):
    spec, sample = competition(tmp_path), product_sample(tmp_path)
    with pytest.raises(InputFault, match=message):
        written(tmp_path, spec, sample, {"0001": Runs.empty(shape), "NA": Runs.empty(shape)})


def test_masks_have_the_size_that_the_organisers_ask_for(tmp_path):
    spec = competition(tmp_path, size=(3, 4))
    sample = product_sample(tmp_path)
    with pytest.raises(InputFault, match="masks of 5 x 7; the submission takes 3 x 4"):
        written(tmp_path, spec, sample, random_masks())
    masks = {image: Runs.full((3, 3, 4)) for image in SIZES}
    target = written(tmp_path, spec, sample, masks)
    assert read_submission(spec, target, SIZES) == masks


GOOD = "image_name,class,rle\n" + "".join(
    f"{image},{name},1 4 6 2\n" for image in SIZES for name in reversed(CLASSES)
)

DAMAGE = {
    "a missing row": (
        GOOD.replace("0001,finger-1,1 4 6 2\n", ""),
        "no row for image '0001', class 'finger-1'",
    ),
    "a row twice": (GOOD + "NA,finger-2,\n", "image 'NA', class 'finger-2' has 2 rows"),
    "an extra image": (
        GOOD + "b,finger-2,\n",
        "a row for image 'b', class 'finger-2', not in the sample",
    ),
    "a start of zero": (
        GOOD.replace("1 4 6 2", "0 4 6 2", 1),
        r"line 2, image '0001', class 'finger-2': pair 1 '0 4' starts outside.* 1 to 35",
    ),
    "an odd count": (GOOD.replace("1 4 6 2", "1 4 6", 1), "line 2.*has no partner"),
    "a run past the end": (
        GOOD.replace("1 4 6 2", "1 4 35 2", 1),
        "line 2.*length of this run is 1 to 1",
    ),
    "a float": (GOOD.replace("1 4 6 2", "1.0 4", 1), "is not a number"),
    "nan": (GOOD.replace("1 4 6 2", "nan", 1), "'nan' in pair 1, is not a number"),
    "an unknown class": (
        GOOD.replace("finger-10", "Finger-10 ", 1),
        r"line 3: unknown class 'Finger-10 '; did you mean 'finger-10'\?",
    ),
    "another column name": (GOOD.replace("rle", "RLE", 1), "no column 'rle'"),
    "another separator": (GOOD.replace(",", ";"), "separated by semicolons"),
    "a cut row": (GOOD[:-15], "1 fields, expected 3|2 fields, expected 3"),
    "a cut mask": (GOOD[:-3], "last line has no end, so the file may be cut"),
    "an open quote": (GOOD.replace("1 4 6 2", '"1 4 6 2', 1), "quote"),
    "a byte of another encoding": (GOOD.encode().replace(b"NA", b"N\xe9"), "not UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "UTF-16"),
    "nothing": ("", "is empty"),
    "a header alone": ("image_name,class,rle\n", "columns but no rows"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_damage_is_found_and_named(tmp_path, damage):
    spec, sample = competition(tmp_path), product_sample(tmp_path)
    content, message = DAMAGE[damage]
    path = tmp_path / "sub.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputFault, match=message):
        check_submission(spec, path, sample, SIZES)


def test_faults_of_every_kind_are_listed_at_once_ten_of_each(tmp_path):
    spec = competition(tmp_path)
    images = [f"i{number}" for number in range(20)]
    lines = [f"{image},{name}," for image in images for name in CLASSES]
    sample = sample_file(tmp_path, "\n".join(["image_name,class,rle", *lines]) + "\n")
    path = tmp_path / "sub.csv"
    kept = [
        line + "9 9 9" if "finger-10" in line else line for line in lines if "finger-2" not in line
    ]
    path.write_text("\n".join(["image_name,class,rle", *kept]) + "\n")
    with pytest.raises(InputFault) as caught:
        check_submission(spec, path, sample, dict.fromkeys(images, (5, 5)))
    text = str(caught.value)
    assert text.count("no row for") == 10 and text.count("has no partner") == 10
    assert text.count("… and 10 more") == 2


def test_a_good_file_with_a_mark_and_windows_line_ends_is_accepted(tmp_path):
    spec, sample = competition(tmp_path), product_sample(tmp_path)
    path = tmp_path / "sub.csv"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert check_submission(spec, path, sample, SIZES).rows == 6


def test_reading_refuses_an_image_without_all_its_classes(tmp_path):
    spec = competition(tmp_path)
    path = tmp_path / "sub.csv"
    path.write_text(GOOD.replace("NA,finger-1,1 4 6 2\n", ""))
    with pytest.raises(InputFault, match="no row for image 'NA', class 'finger-1'"):
        read_submission(spec, path, SIZES)


def test_an_image_of_unknown_size_is_named(tmp_path):
    spec = competition(tmp_path)
    path = tmp_path / "sub.csv"
    path.write_text(GOOD)
    with pytest.raises(InputFault, match="sub.csv: image 'NA' is not among the 1 images"):
        read_submission(spec, path, {"0001": (5, 7)})


def killed_while_writing(spec, sample, target, moment):
    """Write in a child process that kills itself, with no time to clean up, at a moment."""
    from competition.submission import write

    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    stop = {"before the csv": "_compare", "before the receipt": "write_json"}[moment]
    setattr(write, stop, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    write_submission(spec, sample, random_masks(7).__getitem__, target, {})
    os._exit(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("moment", ["before the csv", "before the receipt"])
def test_a_kill_never_leaves_a_receipt_beside_another_csv(tmp_path, moment):
    spec, sample = competition(tmp_path), product_sample(tmp_path)
    target = written(tmp_path, spec, sample, random_masks(1))
    old = target.read_bytes()
    assert killed_while_writing(spec, sample, target, moment) == -signal.SIGKILL
    assert check_submission(spec, target, sample, SIZES).rows == 6
    if moment == "before the csv":
        assert target.read_bytes() == old and read_receipt(target) is not None
    else:
        assert target.read_bytes() != old and not receipt_path(target).exists()
    written(tmp_path, spec, sample, random_masks(7))
    assert read_receipt(target) is not None
