"""Kinds of trouble that downloads bring: each is read right, or told in one sentence."""

import csv
import json
import struct
import unicodedata
import zlib

import cv2
import numpy as np
import pytest
import tomlkit
from downloads import (
    BONES,
    HAND_BONE,
    SALT,
    SALT_MASKS,
    blob,
    hand_bone,
    parsed,
    picture,
    salt,
    save,
    write_annotations,
    write_csv,
)
from PIL import Image
from typer.testing import CliRunner

from competition.cli import app
from competition.data.catalog import build_catalog, of_split
from competition.data.images import file_facts, read_image
from competition.data.labels import load_labels, read_labels
from competition.doctor import examine
from competition.doctor.label_checks import check_labels, check_objects, check_smeared
from competition.doctor.sample_checks import check_groups
from competition.errors import InputFault
from competition.masks import RleFormat, Runs, encode
from competition.project import Project
from competition.spec import PixelForm
from competition.steps import draw_label_sheet, make_split
from competition.submission import read_table
from competition.workspace import Workspace


def labels_of(competition):
    return read_labels(competition, build_catalog(competition))


def said(competition, tmp_path):
    report = examine(competition, Workspace(tmp_path / "work", competition.name))
    return [*report.errors, *report.warnings]


# Images


def png16(path, values):
    """A PNG of 16 bits a channel from uint16 (H, W, 3) or (H, W, 4), which Pillow cannot write."""
    kind = {3: 2, 4: 6}[values.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_colours_of_sixteen_bits_lose_their_low_ones_by_depth(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (7, 9, 3), np.uint16)
    png16(tmp_path / "a.png", values)
    assert np.array_equal(read_image(tmp_path / "a.png", PixelForm(depth=12)), values >> 4)
    assert np.array_equal(read_image(tmp_path / "a.png"), values >> 8)
    assert file_facts(tmp_path / "a.png").depth == 16
    opaque = np.dstack([values, np.full((7, 9), 65535, np.uint16)])
    png16(tmp_path / "b.png", opaque)
    assert np.array_equal(read_image(tmp_path / "b.png", PixelForm(depth=12)), values >> 4)
    png16(tmp_path / "c.png", np.dstack([values, np.zeros((7, 9), np.uint16)]))
    assert not read_image(tmp_path / "c.png", PixelForm(depth=12)).any()
    (tmp_path / "a.png").write_bytes((tmp_path / "b.png").read_bytes()[:-20])
    with pytest.raises(InputFault, match="damaged"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("deep", [np.uint8, np.uint16])
def test_a_tiff_whose_zero_is_white_is_turned_round(tmp_path, deep):
    grey = (np.arange(60).reshape(6, 10) * 4).astype(np.uint8)
    stored = grey if deep is np.uint8 else grey.astype(np.uint16) * 257
    for photometric in (0, 1):
        path = tmp_path / f"{photometric}.tif"
        # Pillow turns what it writes round as well, for 8 bits alone.
        turned = photometric == 0 and deep is np.uint16
        values = 65535 - stored if turned else stored
        Image.fromarray(values).save(path, tiffinfo={262: photometric})
        written = Image.open(path)
        assert written.tag_v2[262] == photometric
        assert np.array_equal(read_image(path)[..., 0], grey)


def test_one_burnt_in_pixel_does_not_hide_that_the_images_are_dark(tmp_path):
    competition = salt(tmp_path, 7)
    for number in range(7):
        deep = np.random.default_rng(number).integers(0, 4096, (20, 30), np.uint16)
        deep[0, 0] = 65535 if number == 3 else deep[0, 0]
        save(tmp_path / f"train/images/{number:04}.png", deep)
    (line,) = (line for line in said(competition, tmp_path) if "bits" in line)
    assert "no more than 12 of them, and 1 use more" in line and "set depth" in line


def test_hidden_folders_are_no_images_and_an_ending_may_be_in_capitals(tmp_path):
    competition = hand_bone(tmp_path)
    before = set(build_catalog(competition)["image"])
    hidden = tmp_path / "train/DCM/.ipynb_checkpoints/image0000L-checkpoint.png"
    save(hidden, picture(99))
    file = tmp_path / "train/DCM/ID001/image0002L.png"
    file.rename(file.with_suffix(".PNG"))
    found = set(build_catalog(competition)["image"])
    assert found == before - {"image0002L.png"} | {"image0002L.PNG"}


# Ids, groups, keys


def test_one_letter_in_two_spellings_is_one_letter(tmp_path):
    competition = salt(tmp_path, 4, data={**SALT["data"], "image_id": "name"})
    names = {f"{number:04}": f"café{number}" for number in range(6)}
    for path in (*tmp_path.rglob("images/*.png"), *tmp_path.rglob("test/images/*.png")):
        if path.exists():
            new = unicodedata.normalize("NFD", names[path.stem] + ".png")
            path.rename(path.with_name(new))
    for file in ("train.csv", "sample_submission.csv"):
        rows = list(csv.reader((tmp_path / file).open(encoding="utf-8")))
        spelt = [[unicodedata.normalize("NFC", names[a] + ".png"), b] for a, b in rows[1:]]
        write_csv(tmp_path / file, [rows[0], *spelt])
    found = labels_of(competition)
    assert found["café0.png"][0] == blob(0) and len(found) == 4
    table = read_table(competition, tmp_path / "sample_submission.csv")
    assert set(table.images) <= set(build_catalog(competition)["image"])


def test_a_key_splits_before_a_class_that_holds_the_separator(tmp_path):
    classes = ["large_bowel", "small_bowel", "bowel"]
    form = {**SALT["submission"], "rows": "image-class", "separator": "_"}
    competition = salt(tmp_path, 3, data={**SALT["data"], "image_id": "name"})
    table = {
        **SALT,
        "classes": classes,
        "data": {**SALT["data"], "image_id": "name"},
        "labels": {**SALT["labels"], "rows": "image-class"},
        "submission": form,
    }
    texts = {name: encode(blob(k), RleFormat("columns")) for k, name in enumerate(classes)}
    rows = [[f"{n:04}.png_{name}", texts[name]] for n in range(3) for name in classes]
    write_csv(tmp_path / "train.csv", [["id", "rle_mask"], *rows])
    sample = [[f"{n:04}.png_{name}", ""] for n in (3, 4) for name in classes]
    write_csv(tmp_path / "sample_submission.csv", [["id", "rle_mask"], *sample])
    competition = parsed(table, tmp_path)
    found = labels_of(competition)
    assert [found["0000.png"][k] == blob(k) for k in range(3)] == [True] * 3
    keyed = read_table(competition, tmp_path / "sample_submission.csv")
    assert [key.label for key in keyed.keys] == [0, 1, 2] * 2


def test_folders_of_one_name_are_groups_by_their_path(tmp_path):
    competition = hand_bone(tmp_path)
    plain = build_catalog(competition)
    assert {"ID000", "ID001"} <= set(plain["group"])
    for person in range(8):
        part = "train" if person < 6 else "test"
        for side in "LR":
            (file,) = (tmp_path / part / "DCM" / f"ID{person:03}").glob(f"*{side}.png")
            place = file.parent / side / file.name
            place.parent.mkdir()
            file.rename(place)
    data = {
        **HAND_BONE["data"],
        "train_images": "train/DCM/*/*/*.png",
        "test_images": "test/DCM/*/*/*.png",
    }
    catalog = build_catalog(parsed(HAND_BONE, tmp_path, data=data))
    assert of_split(catalog, "train")["group"].nunique() == 12
    assert "ID000/L" in set(catalog["group"])
    (told,) = check_groups(parsed(HAND_BONE, tmp_path, data=data), catalog).warnings
    assert "if a folder above is the patient, one patient is in several" in told
    further = parsed(HAND_BONE, tmp_path, data={**data, "extra_images": "more/*/*/*.png"})
    save(tmp_path / "more/ID000/L/again.png", picture(99))
    save(tmp_path / "more/ID007/L/other.png", picture(98))
    catalog = build_catalog(further).set_index("image")
    assert catalog.loc["again.png", "group"] == "ID000/L"


def test_a_person_of_the_training_part_is_the_same_one_among_further_images(tmp_path):
    hand_bone(tmp_path)
    save(tmp_path / "more/ID000/again.png", picture(99))
    data = {**HAND_BONE["data"], "extra_images": "more/*/*.png"}
    catalog = build_catalog(parsed(HAND_BONE, tmp_path, data=data)).set_index("image")
    assert catalog.loc["again.png", "group"] == "ID000"


def test_images_are_left_out_by_their_id_with_their_labels(tmp_path):
    for labels in (SALT["labels"], SALT_MASKS):
        competition = salt(tmp_path, 4, labels=labels, data__exclude=["0002"])
        (tmp_path / "train/images/0002.png").write_bytes(b"")
        assert sorted(labels_of(competition)) == ["0000", "0001", "0003"]
    wrong = parsed(SALT, tmp_path, data__exclude=["002", "0005"])
    with pytest.raises(InputFault, match=r"exclude in \[data\]: '002' is no training image"):
        build_catalog(wrong)


# Labels


def test_polygons_of_another_frame_and_of_shares_are_told_apart(tmp_path):
    competition = hand_bone(tmp_path)
    path = tmp_path / "train/outputs_json/ID000/image0000L.json"
    square = np.array([[4.0, 2], [20, 2], [20, 12], [4, 12]])
    write_annotations(path, [("Ulna", (square * 2 + [20, 10]).tolist())])
    with pytest.raises(InputFault, match="outside of its image of 20 × 30.*another size"):
        labels_of(competition)
    write_annotations(path, [("Ulna", (square + [12, 0]).tolist())])
    assert labels_of(competition)["image0000L.png"].area()[1] > 0  # a hand that slips is no fault
    write_annotations(path, [("Ulna", (square / [30, 20]).tolist())])
    with pytest.raises(InputFault, match=r'within 0 to 1.* set units = "shares"'):
        labels_of(competition)
    every = [*tmp_path.rglob("outputs_json/*/*.json")]
    for file in every:
        write_annotations(file, [("Ulna", (square / [30, 20]).tolist())])
    shares = parsed(HAND_BONE, tmp_path, labels={**HAND_BONE["labels"], "units": "shares"})
    write_annotations(tmp_path / "pixels.json", [("Ulna", square.tolist())])
    found = labels_of(shares)
    assert len(found) == len(every) and {int(m.area()[1]) for m in found.values()} == {17 * 11}
    write_annotations(path, [("Ulna", square.tolist())])
    with pytest.raises(InputFault, match='no shares .* set units = "pixels"'):
        labels_of(shares)


def test_polygons_of_pixel_edges_are_a_key_away(tmp_path):
    """COCO and CVAT: a polygon from 2 to 18 is 16 pixels wide, not 17."""
    hand_bone(tmp_path)
    path = tmp_path / "train/outputs_json/ID000/image0000L.json"
    write_annotations(path, [("Ulna", [[2, 2], [18, 2], [18, 9], [2, 9]])])
    areas = [
        labels_of(
            parsed(HAND_BONE, tmp_path, labels={**HAND_BONE["labels"], "coordinates": coordinates})
        )["image0000L.png"].area()[1]
        for coordinates in ("centres", "edges")
    ]
    assert areas == [17 * 8, 16 * 7]


def test_exclusive_neighbours_share_an_outline_and_no_more(tmp_path):
    competition = hand_bone(tmp_path, exclusive=True)
    path = tmp_path / "train/outputs_json/ID000/image0000L.json"
    left = [[2, 2], [10, 2], [10, 9], [2, 9]]
    right = [[10, 2], [18, 2], [18, 9], [10, 9]]
    write_annotations(path, [("Radius", left), ("Ulna", right)])
    found = labels_of(competition)["image0000L.png"]
    assert found.area().tolist() == [9 * 8, 8 * 8, 0]
    assert not len(found[0] & found[1]) and found.any_mask().area()[0] == 17 * 8
    write_annotations(path, [("Radius", left), ("Ulna", [[x - 4, y] for x, y in right])])
    found = labels_of(competition)["image0000L.png"]
    assert len(found[0] & found[1])  # that is an overlap, and the doctor's to tell


def objects(tmp_path, rows):
    labels = {**SALT["labels"], "rows": "object"}
    competition = salt(tmp_path, 3, labels=labels, submission__rows="object")
    write_csv(tmp_path / "train.csv", [["id", "rle_mask"], *rows])
    return competition


def test_an_empty_row_beside_an_object_is_refused(tmp_path):
    rows = [["0000", "1 3"], ["0001", ""], ["0002", "5 2"], ["0000", ""]]
    with pytest.raises(InputFault, match="line 5: image '0000'.*empty row beside 1 others"):
        labels_of(objects(tmp_path, rows))
    assert len(labels_of(objects(tmp_path, rows[:3]))) == 3


def test_an_object_that_is_there_twice_is_told(tmp_path):
    rows = [["0000", "1 3"], ["0000", "9 3"], ["0001", ""], ["0002", "5 2"]]
    assert check_objects(objects(tmp_path, rows)).warnings == ()
    (line,) = check_objects(objects(tmp_path, [*rows, rows[0]])).warnings
    assert "1 objects are repeated, such as one of image '0000'" in line


def test_masks_that_look_inverted_are_told(tmp_path):
    competition = salt(tmp_path, 6, labels=SALT_MASKS)
    assert not any("inverted" in line for line in said(competition, tmp_path))
    for number in range(6):
        save(
            tmp_path / f"train/masks/{number:04}.png",
            (~blob(number).to_dense() * 255).astype(np.uint8),
        )
    assert any("are its masks inverted?" in line for line in said(competition, tmp_path))


def test_what_vanishes_at_the_size_of_a_recipe_is_told_with_the_dice_that_is_left(tmp_path):
    competition = salt(tmp_path, 3, labels=SALT_MASKS)
    lines = np.zeros((512, 512), np.uint8)
    lines[::16] = 255
    for number in range(3):
        save(tmp_path / f"train/images/{number:04}.png", picture(number, (512, 512)))
        save(tmp_path / f"train/masks/{number:04}.png", lines)
    catalog = build_catalog(competition)
    report = check_labels(competition, catalog, read_labels(competition, catalog))
    (line,) = (line for line in report.warnings if "vanish" in line)
    assert (
        "at 192 × 192" in line and "3 of 3 masks vanish" in line and "is 0.000: raise size" in line
    )
    assert dict(report.found)["at 192 × 192"].startswith("3 of 3 masks vanish")


def index_masks(tmp_path, first):
    competition = salt(tmp_path, 3)
    index = np.zeros((20, 30), np.uint8)
    index[:, 3:6], index[:, 10:12] = 1, 2
    for number in range(3):
        save(tmp_path / f"train/masks/000{number}.png", index + first - 1 if first else index)
    table = {**competition.model_dump(), "recipes": {}, "variants": {}, "classes": BONES}
    table["labels"] = {**SALT_MASKS, "values": "index", "first": first}
    table["submission"] |= {"rows": "image-class", "label": "class"}
    table["objects"] = {"connectivity": 8}
    return parsed(table, tmp_path)


def test_index_masks_may_begin_at_zero(tmp_path):
    areas = labels_of(index_masks(tmp_path, 0))["0000"].area().tolist()
    assert areas == [500, 60, 40]
    assert labels_of(index_masks(tmp_path, 1))["0000"].area().tolist() == [60, 40, 0]
    index = np.full((20, 30), 3, np.uint8)
    competition = index_masks(tmp_path, 0)
    save(tmp_path / "train/masks/0001.png", index)
    with pytest.raises(InputFault, match=r"out of 0…2: 3: 600 px; 0 is the first of 3 classes"):
        labels_of(competition)


def test_index_masks_that_were_resized_with_interpolation_are_told(tmp_path):
    classes = ["a", "b", "c", "d", "e"]
    competition = parsed(
        SALT,
        tmp_path,
        classes=classes,
        exclusive=True,
        labels={**SALT_MASKS, "values": "index"},
        submission__rows="image-class",
        submission__label="class",
    )
    drawn = np.zeros((40, 60), np.uint8)
    drawn[5:25, 5:25], drawn[20:38, 15:55], drawn[2:12, 30:50] = 1, 5, 3
    for way, told in ((cv2.INTER_NEAREST, 0), (cv2.INTER_LINEAR, 1), (cv2.INTER_CUBIC, 1)):
        values = cv2.resize(drawn, (80, 54), interpolation=way).clip(0, 5)
        found = check_smeared(competition, {"x": Runs.from_label_map(values, 5)}).warnings
        assert len(found) == told, way
        assert all("were the masks resized with interpolation?" in text for text in found)
    assert not check_smeared(competition, {}).warnings


def test_the_sheet_of_labels_shows_every_class_with_its_name(tmp_path):
    competition = hand_bone(tmp_path)
    (tmp_path / "competition.toml").write_text("", encoding="utf-8")
    project = Project(competition, tmp_path / "work", say=lambda line: None)
    path = draw_label_sheet(project)
    assert path == tmp_path / "work/runs/hands/labels.png"
    with Image.open(path) as sheet:
        assert sheet.width > 3 * 400 and sheet.height > 400
    load_labels(competition, project.workspace, project.everything)


def test_images_that_look_alike_are_drawn_beside_each_other(tmp_path, monkeypatch):
    salt(tmp_path)
    smooth = cv2.resize(picture(50, (4, 6)), (30, 20), interpolation=cv2.INTER_CUBIC)
    for image, light in (("train/images/0002.png", 1), ("train/images/0004.png", 0.9)):
        save(tmp_path / image, np.clip(smooth * light, 0, 255).astype(np.uint8))
    (tmp_path / "competition.toml").write_text(tomlkit.dumps(SALT), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["doctor"]).output
    assert "look-alikes.png: images that look alike" in told.replace("\n", "")
    with Image.open(tmp_path / "runs/salt/look-alikes.png") as sheet:
        assert sheet.width > 2 * 420 and sheet.height > 280
        left, right = (
            np.asarray(sheet.convert("L").crop((x, 60, x + 300, 260))).mean() for x in (40, 480)
        )
    assert 0.8 * left < right < left


def test_an_annotation_of_no_coordinates_is_told_by_the_polygon_reader(tmp_path):
    competition = hand_bone(tmp_path, labels={**HAND_BONE["labels"], "units": "shares"})
    path = tmp_path / "train/outputs_json/ID000/image0000L.json"
    path.write_text(json.dumps({"annotations": [{"label": "Ulna", "points": [["a", 1]]}]}))
    with pytest.raises(InputFault, match=r"image0000L.json"):
        labels_of(competition)
    assert Runs.empty((2, 2)).area().tolist() == [0]


def test_no_folds_are_made_of_data_that_the_doctor_calls_wrong(tmp_path):
    competition = salt(tmp_path)
    project = Project(competition, tmp_path / "work", say=lambda line: None)
    write_csv(tmp_path / "sample_submission.csv", [["id", "rle_mask"], ["0006", ""]])
    with pytest.raises(InputFault, match=r"(?s)no row for test image '0007'.*no folds were made"):
        make_split(project)
    assert not project.workspace.folds.exists()
    write_csv(tmp_path / "sample_submission.csv", [["id", "rle_mask"], ["0006", ""], ["0007", ""]])
    assert "fold" in make_split(project) and project.workspace.folds.exists()
