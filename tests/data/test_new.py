"""A new competition file: from a preset and a download, proven or not written."""

import re
import shutil
import tomllib

import numpy as np
import pytest
from downloads import blob, hand_bone, picture, salt, save, write_annotations, write_csv

from competition.data.catalog import build_catalog
from competition.data.labels import read_labels
from competition.doctor import prove
from competition.errors import InputFault
from competition.new.write import PRESETS, filled, new_competition, preset_names
from competition.project import Project
from competition.spec import load_competition


def written(preset, data, target, **options):
    text = new_competition(preset, data, target, "mine", **options).text
    return text, load_competition(target)


def fault_of(preset, data, target, **options) -> str:
    with pytest.raises(InputFault) as caught:
        new_competition(preset, data, target, "mine", **options)
    assert not target.exists()
    return str(caught.value)


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_itself_a_competition_file(preset, tmp_path):
    competition = load_competition(PRESETS / f"{preset}.toml")
    assert competition.name == preset


def test_the_presets_promised_are_there():
    assert len(preset_names()) == 16 and {"folders", "hand-bone", "salt"} < set(preset_names())


def test_a_hand_bone_download_gives_a_file_that_reads_it(tmp_path):
    hand_bone(tmp_path / "data")
    text, competition = written("hand-bone", tmp_path / "data", tmp_path / "competition.toml")
    assert competition.classes == ("Radius", "Ulna", "Wrist")  # from the sample, in its order
    assert competition.data.root == "data" and competition.name == "mine"
    assert prove(competition).errors == ()
    assert text.startswith(
        f"wrote {tmp_path / 'competition.toml'}, from the preset 'hand-bone' with"
    )
    assert re.search(r"images +train: 12, test: 4", text) and "errors: 0" in text


def test_what_differs_from_the_preset_is_listed_and_nothing_else(tmp_path):
    hand_bone(tmp_path / "data")
    changes = {"split.folds": 3, "data.group": "folder"}
    text, _ = written(
        "hand-bone", tmp_path / "data", tmp_path / "competition.toml", changes=changes
    )
    listed = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    changed = {line.split(" = ")[0] for line in listed if " = " in line}
    assert "split.folds = 3" in listed
    assert "data.group" not in changed and "classes" in changed


def test_the_file_keeps_its_comments(tmp_path):
    hand_bone(tmp_path / "data")
    written("hand-bone", tmp_path / "data", tmp_path / "competition.toml")
    content = (tmp_path / "competition.toml").read_text()
    assert "# In the organisers' order: channel k" in content
    assert 'group = "folder"                 # one patient a folder' in content


def test_classes_txt_gives_the_order_and_teeth_their_pairs(tmp_path):
    root = tmp_path / "data"
    hand_bone(root)
    teeth = ["tooth-16", "tooth-26", "tooth-48", "tooth-38"]
    (root / "classes.txt").write_text("\n".join(teeth) + "\n")
    for number, path in enumerate(sorted((root / "train/outputs_json").rglob("*.json"))):
        write_annotations(path, [(teeth[number % 4], [[2, 2], [8, 2], [8, 8]])])
    tests = sorted(path.name for path in (root / "test").rglob("*.png"))
    rows = [[image, tooth, ""] for image in tests for tooth in sorted(teeth)]
    write_csv(root / "sample_submission.csv", [["image_name", "class", "rle"], *rows])
    _, competition = written("hand-bone", root, tmp_path / "competition.toml")
    assert competition.classes == tuple(teeth)
    assert competition.flip_pairs == (("tooth-16", "tooth-26"), ("tooth-48", "tooth-38"))


def test_endings_are_found(tmp_path):
    root = tmp_path / "data"
    hand_bone(root)
    for path in list(root.rglob("*.png")):
        save(path.with_suffix(".jpg"), picture(int(path.stem[5:9]) + 10 * ord(path.stem[-1])))
        path.unlink()
    sample = root / "sample_submission.csv"
    sample.write_text(sample.read_text().replace(".png", ".jpg"))
    _, competition = written("hand-bone", root, tmp_path / "competition.toml")
    assert competition.data.train_images == "train/DCM/*/*.jpg"
    assert competition.data.test_images == "test/DCM/*/*.jpg"


def test_a_salt_download_gives_a_file_with_the_order_proven(tmp_path):
    salt(tmp_path / "data")
    text, competition = written(
        "salt", tmp_path / "data", tmp_path / "competition.toml", changes={"metric.name": "dice"}
    )
    assert re.search(r"order +columns, proven: 5 of 5 texts equal their mask image", text)
    assert competition.classes == ("mine",) and competition.metric.name == "dice"
    assert competition.data.stratum == "none" and competition.labels.masks is not None


def test_salt_without_mask_images_and_with_other_names(tmp_path):
    root = tmp_path / "data"
    salt(root, count=30)
    shutil.rmtree(root / "train/masks")
    save(root / "train/images/0003.png", picture(3, (24, 30)))
    for name in ("train.csv", "sample_submission.csv"):
        content = (root / name).read_text().replace("id,rle_mask", "ImageId,EncodedPixels")
        (root / name).write_text(content)
    (root / "sample_submission.csv").rename(root / "stage1_sample.csv")
    _, competition = written("salt", root, tmp_path / "competition.toml")
    assert (competition.labels.image, competition.labels.rle) == ("ImageId", "EncodedPixels")
    assert competition.submission.sample == "stage1_sample.csv"
    assert competition.labels.masks is None and competition.data.stratum == "size"


def test_a_wrong_pixel_order_is_found_before_anything_is_written(tmp_path):
    salt(tmp_path / "data")
    fault = fault_of(
        "salt",
        tmp_path / "data",
        tmp_path / "competition.toml",
        changes={"submission.order": "rows"},
    )
    assert "masks look transposed" in fault and "Nothing was written" in fault


def folders(root, index=False):
    """images/, masks/ and test/, without a sample."""
    for number in range(6):
        save(root / f"images/{number}.png", picture(number))
        mask = blob(number).to_dense().astype(np.uint8)
        if index:
            mask[:, -3:] = 2 + number % 2
        save(root / f"masks/{number}.png", mask if index else mask * 255)
    save(root / "test/9.png", picture(9))


def test_folders_of_images_and_masks_get_a_sample(tmp_path):
    folders(tmp_path)
    text, competition = written("folders", tmp_path, tmp_path / "competition.toml")
    assert "there is no sample: the submission will have a row for each test image" in text
    assert competition.data.root == "." and competition.submission.sample is None
    project = Project.open(tmp_path / "competition.toml", tmp_path / "work")
    assert project.sample.read_text() == "image,rle\n9.png,\n"
    assert not list(tmp_path.glob("*.csv"))  # downloads may be read only
    assert competition.classes == ("foreground",) and not competition.exclusive


def test_index_masks_have_several_exclusive_classes(tmp_path):
    folders(tmp_path, index=True)
    _, competition = written("folders", tmp_path, tmp_path / "competition.toml")
    assert competition.classes == ("class-1", "class-2", "class-3") and competition.exclusive
    assert competition.labels.values == "index" and competition.submission.label == "class"
    sample = Project.open(tmp_path / "competition.toml", tmp_path / "work").sample
    assert len(sample.read_text().splitlines()) == 4
    masks = read_labels(competition, build_catalog(competition))
    assert masks["3.png"].area()[2] == 60


def test_the_file_that_is_there_is_never_overwritten(tmp_path):
    hand_bone(tmp_path / "data")
    target = tmp_path / "competition.toml"
    target.write_text("mine\n")
    with pytest.raises(InputFault, match="exists; delete it first"):
        new_competition("hand-bone", tmp_path / "data", target, "hands")
    assert target.read_text() == "mine\n"


@pytest.mark.parametrize(
    ("preset", "options", "message"),
    [
        ("hand-bones", {}, "no preset 'hand-bones'; the nearest of 16 are hand-bone"),
        ("salt", {}, "train.csv does not exist"),
        ("folders", {}, "has no train images; looked into images, train/images"),
        ("hand-bone", {"changes": {"metric.nam": "dice"}}, "metric.nam: no such key"),
        ("hand-bone", {"changes": {"metrics.name": "dice"}}, "no table [metrics]"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(tmp_path, preset, options, message):
    hand_bone(tmp_path / "data")
    assert message in fault_of(preset, tmp_path / "data", tmp_path / "c.toml", **options)


def test_a_download_that_is_not_there_is_said(tmp_path):
    assert "gone' does not exist" in fault_of("salt", tmp_path / "gone", tmp_path / "c.toml")


def test_a_name_that_cannot_be_a_folder_is_refused(tmp_path):
    hand_bone(tmp_path / "data")
    with pytest.raises(InputFault, match="name: String should match pattern"):
        new_competition("hand-bone", tmp_path / "data", tmp_path / "c.toml", "../mine")


def test_values_of_every_kind_are_written_as_toml():
    text = 'a = 1\n\n[t]\nb = "x"  # kept\n# end\n\n[u]\n'
    names = [f'odd "name" {n} \\ ä' for n in range(20)]
    changes = {"a": [["x", "y"]], "t.b": names, "t.c": True, "t.d": 1e-4, "u.e": "1"}
    assert tomllib.loads(filled(text, changes)) == {
        "a": [["x", "y"]],
        "t": {"b": names, "c": True, "d": 1e-4},
        "u": {"e": "1"},
    }
    assert (
        "# kept" in filled(text, changes) and max(map(len, filled(text, changes).split("\n"))) < 105
    )


@pytest.mark.parametrize("key", ["name.x", "classes.0", "data.group.file", "t.b"])
def test_a_key_of_no_table_is_refused_by_its_path(key):
    text = (PRESETS / "hand-bone.toml").read_text(encoding="utf-8")
    table = key.rpartition(".")[0]
    with pytest.raises(InputFault, match=rf"no table \[{table}\] .*{key!r}"):
        filled(text, {key: 1})


def test_index_masks_that_begin_at_zero_are_known_by_the_names_of_the_classes(tmp_path):
    folders(tmp_path, index=True)
    (tmp_path / "classes.txt").write_text("sky\nland\nsea\nship\n", encoding="utf-8")
    text, competition = written("folders", tmp_path, tmp_path / "competition.toml")
    assert competition.labels.first == 0 and competition.classes[0] == "sky"
    assert "taken for background" not in text and "labels.first = 0" in text
    masks = read_labels(competition, build_catalog(competition))
    assert masks["3.png"].area().sum() == 600 and masks["3.png"].area()[3] == 60


def test_index_masks_without_names_say_that_zero_is_background(tmp_path):
    folders(tmp_path, index=True)
    text, competition = written("folders", tmp_path, tmp_path / "competition.toml")
    assert competition.labels.first == 1 and "value 0 of the masks is taken for background" in text


def test_index_masks_of_another_number_of_classes_are_refused(tmp_path):
    folders(tmp_path, index=True)
    (tmp_path / "classes.txt").write_text("sky\nland\n", encoding="utf-8")
    fault = fault_of("folders", tmp_path, tmp_path / "competition.toml")
    assert "values up to 3, and 2 classes are named; expected 2" in fault
