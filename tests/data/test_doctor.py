"""The doctor, on data with one thing wrong each."""

import os
import shutil

import cv2
import numpy as np
import pytest
from downloads import (
    BONES,
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

from competition.data.catalog import build_catalog, of_split
from competition.data.folds import make_folds, write_folds
from competition.data.labels import load_labels
from competition.doctor import Report, examine, examined, prove
from competition.doctor.kept import keep_report, kept_report
from competition.doctor.report import Diagnosis
from competition.doctor.sample_checks import check_folds
from competition.masks import RleFormat, Runs, encode
from competition.masks.geometry import flip_vertical
from competition.submission import check_text_order
from competition.workspace import Workspace


def report_of(competition, root) -> Report:
    return examine(competition, Workspace(root / "workspace", competition.name))


def facts(report: Report) -> dict[str, str]:
    return dict(report.found)


def test_good_data_has_no_errors_and_is_described(tmp_path):
    report = report_of(hand_bone(tmp_path), tmp_path)
    assert report.errors == () and report.warnings == ()
    found = facts(report)
    assert found["images"] == "train: 12, test: 4" and found["sizes"] == "20 × 30: 16"
    assert found["files"] == "PNG RGB: 16" and found["groups"] == "6 of 12 training images"
    assert found["classes"].startswith("3, each in 9 to 9 of 12 images")
    assert found["sample"] == "12 rows (image-class): image_name, class, rle"
    assert report.text().splitlines()[-1] == "errors: 0, warnings: 0"


def test_proving_decodes_no_image_and_finds_what_labels_and_sample_tell(tmp_path):
    competition = hand_bone(tmp_path)
    broken = tmp_path / "train/DCM/ID000/image0000L.png"
    broken.write_bytes(broken.read_bytes()[:-20])
    assert prove(competition).errors == ()
    assert report_of(competition, tmp_path).errors


def test_every_damaged_image_is_named(tmp_path):
    competition = salt(tmp_path)
    for name in ("train/images/0002", "test/images/0007"):
        path = tmp_path / f"{name}.png"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    report = report_of(competition, tmp_path)
    assert len(report.errors) == 2
    assert all("wrong checksum in its IDAT chunk" in error for error in report.errors)


def test_an_image_without_a_header_does_not_hide_the_damage_of_others(tmp_path):
    competition = salt(tmp_path)
    (tmp_path / "train/images/0000.png").write_bytes(b"")
    cut = tmp_path / "train/images/0001.png"
    cut.write_bytes(cut.read_bytes()[:-20])
    flipped = tmp_path / "test/images/0007.png"
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    report = report_of(competition, tmp_path)
    text = "\n".join(report.errors)
    for fault in (
        "0000.png is not an image that can be read: it is empty",
        "0001.png",
        "0007.png is damaged: wrong checksum",
    ):
        assert text.count(fault) == 1
    assert report.errors


def test_one_fault_does_not_hide_another(tmp_path):
    competition = hand_bone(tmp_path)
    path = tmp_path / "train/DCM/ID000/image0000L.png"
    path.write_bytes(path.read_bytes()[:-20])
    write_annotations(tmp_path / "train/outputs_json/ID001/image0002L.json", [("Wirst", [[1, 1]])])
    write_csv(tmp_path / "sample_submission.csv", [["image_name", "class", "rle"]])
    errors = "\n".join(report_of(competition, tmp_path).errors)
    for fault in (
        "it is cut off",
        "did you mean 'Wrist'",
        "no row for test image 'image0012L.png'",
    ):
        assert fault in errors


def with_masks(root, **changes):
    """Salt with the key that names the mask images of its csv."""
    return salt(root, labels__masks="train/masks/{stem}.png", **changes)


def test_the_pixel_order_is_proven_on_mask_images(tmp_path):
    assert facts(report_of(with_masks(tmp_path), tmp_path))["order"].startswith(
        "columns, proven: 5 of 5 texts equal their mask image"
    )


@pytest.mark.parametrize(("right", "wrong"), [("columns", "rows"), ("rows", "columns")])
def test_a_wrong_pixel_order_looks_transposed(tmp_path, right, wrong):
    competition = with_masks(tmp_path, submission__order=wrong)
    rows = [
        [f"000{n}", encode(blob(n) if n != 1 else Runs.empty((20, 30)), RleFormat(right))]
        for n in range(6)
    ]
    write_csv(tmp_path / "train.csv", [["id", "rle_mask"], *rows])
    (error,) = report_of(competition, tmp_path).errors
    assert f"order is '{wrong}' in the format but '{right}' in the data" in error
    assert "decoded so, masks look transposed" in error


def test_masks_that_differ_otherwise_do_not_look_transposed(tmp_path):
    competition = with_masks(tmp_path)
    save(tmp_path / "train/masks/0003.png", blob(33).to_dense().astype(np.uint8))
    (error,) = report_of(competition, tmp_path).errors
    assert "the masks of 1 of 6 images differ from their mask images, such as '0003'" in error
    assert "transposed" not in error


def test_the_pixel_order_is_seen_without_mask_images_too(tmp_path):
    form = RleFormat("rows")
    competition = salt(tmp_path, count=30)
    rows = [[f"{n:04}", encode(blob(n), form)] for n in range(30)]
    write_csv(tmp_path / "train.csv", [["id", "rle_mask"], *rows])
    (error,) = report_of(competition, tmp_path).errors
    assert "order is 'columns' in the format but 'rows' in the data" in error
    assert "perimeter over root of area" in error


@pytest.mark.parametrize(("said", "errors"), [("rows", 0), ("columns", 1)])
def test_a_submission_of_any_origin_that_looks_transposed_is_an_error(tmp_path, said, errors):
    competition = salt(tmp_path, count=30, submission__order=said)
    path = tmp_path / "theirs.csv"
    rows = [[f"{n:04}", encode(blob(n), RleFormat("rows"))] for n in range(30)]
    write_csv(path, [["id", "rle_mask"], *rows])
    images = of_split(build_catalog(competition), "train")
    found = check_text_order(competition, path, images).errors
    assert len(found) == errors
    assert all("decoded so, masks look transposed" in error for error in found)


def test_a_submission_without_a_mask_tells_nothing_of_the_order(tmp_path):
    competition = salt(tmp_path)
    path = tmp_path / "sample_submission.csv"
    assert (
        check_text_order(competition, path, of_split(build_catalog(competition), "test"))
        == Report()
    )


def test_a_label_file_that_cannot_be_read_is_said_once(tmp_path):
    competition = with_masks(tmp_path)
    (tmp_path / "train.csv").write_text("")
    (error,) = report_of(competition, tmp_path).errors
    assert "train.csv is empty" in error


def test_a_sample_out_of_the_data_folder_does_not_hide_other_faults(tmp_path):
    competition = salt(tmp_path, submission__sample="..\\sample.csv")
    (tmp_path / "train.csv").write_text("")
    errors = "\n".join(report_of(competition, tmp_path).errors)
    assert "expected a relative path with forward slashes" in errors and "is empty" in errors


def test_relative_texts_that_are_read_as_absolute_are_seen(tmp_path):
    form = RleFormat("columns", base=0, relative=True)
    competition = salt(tmp_path, count=10)
    rows = [[f"{n:04}", encode(blob(n), form)] for n in range(10)]
    write_csv(tmp_path / "train.csv", [["id", "rle_mask"], *rows])
    errors = "\n".join(report_of(competition, tmp_path).errors)
    assert "relative is False in the format but True in the data" in errors


def test_a_label_file_without_any_mask_is_a_warning(tmp_path):
    competition = salt(tmp_path)
    write_csv(tmp_path / "train.csv", [["id", "rle_mask"], *[[f"000{n}", ""] for n in range(6)]])
    assert "train.csv has no mask with pixels" in "\n".join(
        report_of(competition, tmp_path).warnings
    )


def test_data_that_do_not_tell_the_pixel_order_are_a_warning(tmp_path):
    competition = salt(tmp_path, count=2)
    write_csv(tmp_path / "train.csv", [["id", "rle_mask"], ["0000", "1 1"], ["0001", ""]])
    warnings = "\n".join(report_of(competition, tmp_path).warnings)
    assert "nothing in the data tells whether label texts run along rows or columns" in warnings


def test_equal_images_in_two_groups_are_an_error_though_their_files_differ(tmp_path):
    competition = hand_bone(tmp_path)
    save(tmp_path / "train/DCM/ID003/image0006L.png", picture(2), compress_level=1)
    (error,) = report_of(competition, tmp_path).errors
    assert "'image0002L.png' = 'image0006L.png': equal pixel by pixel" in error
    assert "'ID001', 'ID003'" in error


def test_copies_that_are_kept_in_one_group_are_a_fact_with_the_agreement_of_their_labels(tmp_path):
    competition = hand_bone(tmp_path)
    shutil.copy(
        tmp_path / "train/DCM/ID001/image0002L.png", tmp_path / "train/DCM/ID003/image0006L.png"
    )
    report = report_of(competition, tmp_path)
    assert report.errors == ()
    assert facts(report)["copies"].startswith(
        "'image0002L.png' = 'image0006L.png', kept in one group"
    )
    assert "their labels agree to a Dice of" in facts(report)["copies"]


def test_a_test_image_that_equals_a_training_image_is_a_warning(tmp_path):
    competition = salt(tmp_path)
    save(tmp_path / "test/images/0006.png", picture(3))
    (warning,) = report_of(competition, tmp_path).warnings
    assert warning == "'0003' = '0006': a test image equals a training image"


def test_an_unlabelled_image_that_equals_another_is_worth_knowing_and_no_more(tmp_path):
    """Rounds leave it out by themselves."""
    competition = salt(tmp_path)
    save(tmp_path / "more/0009.png", picture(3))
    data = competition.data.model_copy(update={"unlabelled_images": "more/*.png"})
    report = report_of(competition.model_copy(update={"data": data}), tmp_path)
    assert report.errors == report.warnings == ()
    assert facts(report)["copies"] == "'0003' = '0009': an unlabelled image equals another one"


def test_near_duplicates_in_two_groups_are_a_warning(tmp_path):
    competition = salt(tmp_path)
    smooth = cv2.resize(picture(50, (4, 6)), (30, 20), interpolation=cv2.INTER_CUBIC)
    save(tmp_path / "train/images/0002.png", smooth)
    save(tmp_path / "train/images/0004.png", np.clip(smooth * 0.9, 0, 255).astype(np.uint8))
    report = report_of(competition, tmp_path)
    (warning,) = report.warnings
    assert warning.startswith("'0002' (train) and '0004' (train) look alike")
    assert "look_alikes = 1 in [data] once you have looked" in facts(report)["look-alikes"]
    data = competition.data.model_copy(update={"look_alikes": 1})
    silent = report_of(competition.model_copy(update={"data": data}), tmp_path)
    assert not silent.warnings and facts(silent)["look-alikes"] == "1 pair in two groups, looked at"


def test_no_kind_of_finding_hides_another_and_the_worst_comes_first():
    report = Report.of("look-alikes", warnings=[f"pair {n}" for n in range(639)])
    report += Report.warning("classes", "class 'x' is in no image")
    report += Report.of("sample", errors=[f"no row for {n}" for n in range(12)])
    report += Report.error("labels", "overlap")
    lines = report.text().splitlines()
    assert lines[0] == "error: overlap" and lines[1] == "error: no row for 0"
    assert lines[11:14] == [
        "… and 2 more (sample)",
        "warning: class 'x' is in no image",
        "warning: pair 0",
    ]
    assert lines[-2:] == ["… and 629 more (look-alikes)", "errors: 13, warnings: 640"]
    told = report.document()
    assert len(told["warnings"]) == 640
    assert {finding["kind"] for finding in told["errors"]} == {"labels", "sample"}


def test_sixteen_bit_images_that_use_twelve_are_an_error_until_depth_says_so(tmp_path):
    competition = salt(tmp_path)
    for number in range(6):
        deep = np.random.default_rng(number).integers(0, 4096, (20, 30)).astype(np.uint16)
        save(tmp_path / f"train/images/000{number}.png", deep)
    (error,) = report_of(competition, tmp_path).errors
    assert "6 images declare more than 8 bits" in error and "set depth = 12 in [data]" in error
    declared = competition.model_copy(
        update={"data": competition.data.model_copy(update={"depth": 12})}
    )
    assert report_of(declared, tmp_path).errors == ()


def test_a_class_that_is_never_there_is_a_warning(tmp_path):
    competition = hand_bone(tmp_path, classes=["Radius", "Ulna", "Wrist", "Carpus"])
    rows = [
        [f"image00{n}{s}.png", c, ""]
        for n, s in ((12, "L"), (13, "R"), (14, "L"), (15, "R"))
        for c in competition.classes
    ]
    write_csv(tmp_path / "sample_submission.csv", [["image_name", "class", "rle"], *rows])
    (warning,) = report_of(competition, tmp_path).warnings
    assert warning == "class 'Carpus' is in no training image: nothing can be learnt of it"


def test_overlap_of_exclusive_classes_is_an_error(tmp_path):
    competition = hand_bone(tmp_path, exclusive=True)
    square = [[1, 1], [5, 1], [5, 5], [1, 5]]
    write_annotations(
        tmp_path / "train/outputs_json/ID000/image0000L.json", [("Ulna", square), ("Wrist", square)]
    )
    (error,) = report_of(competition, tmp_path).errors
    assert "classes overlap in 1 of 12 images, in 'image0000L.png' by 25 pixels" in error


def sided(root, **changes):
    """Hand bones with the Radius always left, the Ulna right, the Wrist on either side."""
    competition = hand_bone(root, **changes)
    for number, path in enumerate(sorted((root / "train/outputs_json").rglob("*.json"))):
        places = {"Radius": 2, "Ulna": 22, "Wrist": 4 if number % 2 else 20}
        write_annotations(
            path, [(name, [[x, 3], [x + 5, 3], [x + 5, 8]]) for name, x in places.items()]
        )
    return competition


def test_mirroring_classes_that_have_a_side_is_a_warning(tmp_path):
    (warning,) = report_of(sided(tmp_path), tmp_path).warnings
    assert "'Radius' (left in 100% of 12 images), 'Ulna' (right in 100%" in warning
    assert "'Wrist'" not in warning


@pytest.mark.parametrize("flip", ["forbidden", [["Radius", "Ulna"]]])
def test_mirroring_that_is_forbidden_or_swaps_the_sides_is_right(tmp_path, flip):
    assert report_of(sided(tmp_path, horizontal_flip=flip), tmp_path).warnings == ()


def test_pairs_on_one_side_are_a_warning(tmp_path):
    competition = sided(tmp_path, horizontal_flip=[["Radius", "Wrist"]])
    (warning,) = report_of(competition, tmp_path).warnings
    assert "'Ulna' (right" in warning and "'Radius'" not in warning


def test_the_sample_must_name_the_test_images_in_both_directions(tmp_path):
    competition = salt(tmp_path)
    write_csv(tmp_path / "sample_submission.csv", [["id", "rle_mask"], ["0006.png", ""]])
    errors = "\n".join(report_of(competition, tmp_path).errors)
    assert "image '0006.png' is not among the 2 test images; did you mean '0006'?" in errors
    assert "no row for test image '0006'" in errors and "no row for test image '0007'" in errors


def test_the_sample_must_have_each_image_and_class_once(tmp_path):
    competition = hand_bone(tmp_path)
    path = tmp_path / "sample_submission.csv"
    lines = path.read_text().splitlines()
    lines[1], lines[5] = lines[1].replace("Radius", "radius"), lines[4]
    path.write_text("\n".join(lines) + "\n")
    errors = "\n".join(report_of(competition, tmp_path).errors)
    assert "no such class 'radius'; did you mean 'Radius'?" in errors
    assert "2 rows for ('image0013R.png', 'Radius')" in errors
    assert "no row for image 'image0012L.png', class 'Radius'" in errors
    assert "no row for image 'image0013R.png', class 'Ulna'" in errors


def test_a_sample_with_other_columns_is_an_error(tmp_path):
    competition = salt(tmp_path)
    write_csv(tmp_path / "sample_submission.csv", [["id", "EncodedPixels"], ["0006", ""]])
    assert "no column 'rle_mask'" in report_of(competition, tmp_path).errors[0]


def test_one_group_with_most_images_is_a_warning_with_numbers(tmp_path):
    meta = {"file": "meta.csv", "image": "id", "value": "patient"}
    competition = salt(tmp_path, data__group=meta)
    rows = [[f"000{n}", "a" if n else "b"] for n in range(6)]
    write_csv(tmp_path / "meta.csv", [["id", "patient"], *rows])
    (warning,) = report_of(competition, tmp_path).warnings
    assert "group 'a' has 5 of 6 training images (83%), more than a fold's share of 50%" in warning


def test_too_few_groups_for_the_folds_are_an_error(tmp_path):
    competition = hand_bone(tmp_path, people=2)
    assert "2 groups cannot make 3 folds" in report_of(competition, tmp_path).errors[0]


def test_a_split_that_no_longer_fits_is_an_error(tmp_path):
    competition, workspace = salt(tmp_path), Workspace(tmp_path / "workspace", "salt")
    catalog = build_catalog(competition)
    labels = load_labels(competition, workspace, catalog)
    write_folds(make_folds(catalog, labels, competition.split), workspace.folds)
    assert "is a partition" in facts(examine(competition, workspace))["folds"]
    shutil.copy(tmp_path / "train/images/0000.png", tmp_path / "train/images/0099.png")
    mask = parsed({**SALT, "labels": SALT_MASKS}, tmp_path)
    shutil.copy(tmp_path / "train/masks/0000.png", tmp_path / "train/masks/0099.png")
    (error,) = examine(mask, workspace).errors
    assert "image '0099' is in the data and has no fold" in error


def test_turned_plain_and_junk_files_are_mentioned(tmp_path):
    competition = salt(tmp_path, data__train_images="train/images/*")
    save(tmp_path / "train/images/0002.png", np.full((20, 30, 3), 7, np.uint8))
    (tmp_path / "train/images/Thumbs.db").write_bytes(b"junk")
    report = report_of(competition, tmp_path)
    assert report.warnings == ("1 images have one colour throughout, such as '0002'",)
    assert "Thumbs.db" in facts(report)["ignored"]


def test_reports_add_up():
    report = Report.error("files", "a") + Report.warning("classes", "b") + Report.fact("c", "d")
    assert report.text().splitlines() == [
        "c  d",
        "error: a",
        "warning: b",
        "errors: 1, warnings: 1",
    ]


def test_a_test_part_of_other_sizes_colours_and_brightness_is_told(tmp_path):
    competition = salt(tmp_path, 20)
    for number in range(20, 32):
        save(tmp_path / f"test/images/{number:04}.png", picture(number))
    rows = [[f"{number:04}", ""] for number in range(20, 32)]
    write_csv(tmp_path / "sample_submission.csv", [["id", "rle_mask"], *rows])
    assert not [text for text in report_of(competition, tmp_path).warnings if "test part" in text]
    for number in range(20, 32):
        larger = picture(number, (40, 60)) // 4
        save(tmp_path / f"test/images/{number:04}.png", larger if number % 2 else larger[..., 0])
    told = [text for text in report_of(competition, tmp_path).warnings if "test part" in text]
    assert [text.split(":")[0] for text in told] == [
        "6 test images are L, as no training image is",
        "a test image has 2400 pixels and a training image 600 (medians)",
        "a test image is brighter than a training image in 0% of all pairs",
    ]


def test_labels_that_are_no_texts_do_not_prove_the_order_and_the_doctor_says_so(tmp_path):
    competition = salt(tmp_path, labels=SALT_MASKS)
    said = facts(report_of(competition, tmp_path))["order"]
    assert said.startswith("columns, as [submission] says") and "nothing proves it" in said


def test_groups_that_are_spelt_alike_are_named(tmp_path):
    salt(tmp_path, count=12)
    names = sorted(path.stem for path in (tmp_path / "train/images").iterdir())
    spelt = ["P01", "p1", "P-01", "P10", "P02", "P3"]
    rows = [[name, spelt[n % 6]] for n, name in enumerate(names)]
    write_csv(tmp_path / "groups.csv", [["id", "patient"], *rows])
    group = {"file": "groups.csv", "image": "id", "value": "patient"}
    competition = parsed(SALT, tmp_path, data__group=group)
    (warning,) = [w for w in report_of(competition, tmp_path).warnings if "spelt" in w]
    assert warning.startswith("groups 'P-01' and 'P01' and 'p1' are spelt alike")


def test_the_report_is_kept_until_the_data_change(tmp_path, monkeypatch):
    competition = hand_bone(tmp_path / "data")
    workspace = Workspace(tmp_path / "work", competition.name)
    catalog = build_catalog(competition)
    assert kept_report(competition, workspace, catalog) is None
    said = examined(competition, workspace, catalog)
    assert kept_report(competition, workspace, catalog) == said
    (tmp_path / "work/folds").mkdir()
    monkeypatch.setattr(
        "competition.doctor.examine", lambda *a, **k: Report.error("files", "again")
    )
    assert examined(competition, workspace, catalog) == said
    other = competition.model_copy(update={"classes": (*competition.classes, "Hand")})
    assert examined(other, workspace, catalog).errors == ("again",)
    image = next((tmp_path / "data/train").rglob("*.png"))
    os.utime(image, ns=(1, 1))
    assert examined(competition, workspace, catalog).errors == ("again",)
    os.utime(image, ns=(2, 2))
    path = workspace.cache / "doctor.json"
    path.write_text(path.read_text()[:-30])
    assert kept_report(competition, workspace, catalog) is None


def test_findings_with_images_are_kept_whole(tmp_path):
    competition = hand_bone(tmp_path / "data")
    workspace = Workspace(tmp_path / "work", competition.name)
    catalog = build_catalog(competition)
    wrong = Diagnosis("copies", "two", ("a.png", "b.png"))
    report = Report((wrong,), (Diagnosis("groups", "one"),), (("images", "train: 12"),))
    keep_report(report, competition, workspace, catalog)
    assert kept_report(competition, workspace, catalog) == report


def outlined(root, turned):
    """A salt download of 24 images that are darker inside; the labels of some lie upside down."""
    form, rows = RleFormat("columns"), []
    salt(root, count=24)
    for number in range(24):
        mask = blob(number)
        pixels = 200 + picture(number) // 16 - 90 * mask.to_dense()[..., None].astype(np.uint8)
        save(root / f"train/images/{number:04}.png", pixels)
        mask = flip_vertical(mask) if number in turned else mask
        save(root / f"train/masks/{number:04}.png", mask.to_dense().astype(np.uint8) * 255)
        rows.append([f"{number:04}", encode(mask, form)])
    write_csv(root / "train.csv", [["id", "rle_mask"], *rows])
    return parsed(SALT, root)


def test_labels_that_lie_turned_on_their_image_are_named(tmp_path):
    report = report_of(outlined(tmp_path, turned={5, 17}), tmp_path)
    (finding,) = [one for one in report.doubtful if one.kind == "outlines"]
    assert set(finding.images) == {"0005", "0017"}
    assert finding.text.startswith("labels of 2 images look upside down, such as '00")


def test_labels_that_lie_right_are_not(tmp_path):
    report = report_of(outlined(tmp_path, turned=()), tmp_path)
    assert [one for one in report.doubtful if one.kind == "outlines"] == []


def test_images_that_show_no_outlines_tell_nothing(tmp_path):
    report = report_of(salt(tmp_path, count=24), tmp_path)
    assert [one for one in report.doubtful if one.kind == "outlines"] == []


def test_folds_that_say_little_are_named(tmp_path):
    """Unequal ones, and one without a mask of a class."""
    competition = hand_bone(tmp_path / "data", split__folds=2)
    workspace = Workspace(tmp_path / "work", competition.name)
    catalog = build_catalog(competition)
    images = of_split(catalog, "train")
    split = images[["image", "group", "stratum"]].assign(fold=0)
    split.loc[split["group"] == "ID000", "fold"] = 1  # images 0 and 1: no Radius, no Ulna
    write_folds(split, workspace.folds)
    texts = [one.text for one in examine(competition, workspace).doubtful if one.kind == "folds"]
    assert texts[0].startswith("fold 1 has 2 images and fold 0 10: ")
    assert len(texts) == 1
    bare = competition.model_copy(update={"classes": (*BONES, "Hand")})
    report = check_folds(bare, workspace, catalog, presence_of(images, without=["ID000"]))
    (text,) = [text for text in report.warnings if "Hand" in text]
    assert text.startswith("class 'Hand' has no mask in fold 1: ")


def presence_of(images, without):
    """Runs of four classes; the last one is in no image of these groups."""
    full, empty = Runs.full((20, 30)), Runs.empty((20, 30))
    return {
        image: Runs.stack([full, full, full, empty if group in without else full])
        for image, group in zip(images["image"], images["group"], strict=True)
    }
