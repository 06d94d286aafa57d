"""The table of images."""

import shutil

import numpy as np
import pytest
from downloads import SALT, hand_bone, parsed, picture, salt, save, write_csv
from PIL import Image

from competition.data.catalog import build_catalog, ignored_paths, of_split
from competition.data.labels import read_labels
from competition.doctor import prove
from competition.errors import InputFault
from competition.spec import PathPart


def fault_of(competition) -> str:
    with pytest.raises(InputFault) as caught:
        build_catalog(competition)
    return str(caught.value)


def test_a_row_for_every_image_training_first_then_by_path(tmp_path):
    catalog = build_catalog(hand_bone(tmp_path, people=3))
    assert catalog.columns.tolist() == [
        "image",
        "path",
        "split",
        "height",
        "width",
        "group",
        "stratum",
        "volume",
        "slice",
    ]
    assert catalog["split"].tolist() == ["train"] * 6 + ["test"] * 4
    first = catalog.iloc[0]
    assert first["image"] == "image0000L.png" and first["path"] == "train/DCM/ID000/image0000L.png"
    assert (first["height"], first["width"]) == (20, 30)
    assert catalog["group"].tolist()[:4] == ["ID000", "ID000", "ID001", "ID001"]
    for part in ("train", "test"):
        paths = of_split(catalog, part)["path"].tolist()
        assert paths == sorted(paths)


@pytest.mark.parametrize(
    ("way", "expected"), [("name", "0000.png"), ("stem", "0000"), ("folder", "images")]
)
def test_an_image_is_named_by_its_file_its_stem_or_its_folder(tmp_path, way, expected):
    competition = salt(tmp_path, count=1, data__image_id=way)
    shutil.rmtree(tmp_path / "test")
    save(
        tmp_path / "test/images/9.png" if way != "folder" else tmp_path / "test/x/9.png", picture(9)
    )
    if way == "folder":
        competition = salt(tmp_path, count=1, data__image_id=way, data__test_images="test/x/*.png")
    assert build_catalog(competition)["image"].iloc[0] == expected


def test_an_id_that_two_files_share_is_refused_with_both_paths(tmp_path):
    competition = salt(tmp_path)
    save(tmp_path / "test/images/0003.png", picture(20))
    assert "image id '0003' is shared by 'train/images/0003.png', 'test/images/0003.png'" in (
        fault_of(competition)
    )


def test_all_files_that_are_no_image_are_listed(tmp_path):
    competition = salt(tmp_path)
    (tmp_path / "train/images/0001.png").write_bytes(b"")
    (tmp_path / "test/images/0007.png").write_bytes(b"<html>")
    lines = fault_of(competition).splitlines()
    assert len(lines) == 2 and "0001.png" in lines[0] and "it is empty" in lines[0]


def test_junk_is_left_out_and_known(tmp_path):
    competition = salt(tmp_path, data__train_images="train/images/*")
    for name in ("Thumbs.db", "._0001.png", ".DS_Store"):
        (tmp_path / "train/images" / name).write_bytes(b"junk")
    (tmp_path / "train/images/folder").mkdir()
    assert len(of_split(build_catalog(competition), "train")) == 6
    assert [path.rsplit("/", 1)[1] for path in ignored_paths(competition)] == [
        ".DS_Store",
        "._0001.png",
        "Thumbs.db",
    ]


def test_odd_names_are_names(tmp_path):
    competition = salt(tmp_path, data__image_id="name")
    names = ["a b.png", "ä,ö.png", "[1].png", "it's.PNG", "-1.png", "x=y.png"]
    for seed, name in enumerate(names):
        save(tmp_path / "train/images" / name, picture(seed + 30), format="PNG")
    found = build_catalog(
        salt(tmp_path, data__image_id="name", data__train_images="train/images/*")
    )
    assert set(names) <= set(found["image"])
    assert len(build_catalog(competition)) == len(found)


def test_an_empty_folder_is_said_with_what_is_there(tmp_path):
    competition = salt(tmp_path, data__train_images="training/images/*.png")
    fault = fault_of(competition)
    assert "no image matches 'training/images/*.png'" in fault
    assert "holds 'sample_submission.csv', 'test', 'train', 'train.csv'" in fault


def test_a_data_folder_that_is_absent_is_said(tmp_path):
    assert "does not exist; check root in [data]" in fault_of(salt(tmp_path, data__root="gone"))


@pytest.mark.parametrize("pattern", ["../*.png", "/etc/*.png", "a\\*.png"])
def test_a_glob_never_leaves_the_data_folder(tmp_path, pattern):
    assert "must stay below the data folder" in fault_of(salt(tmp_path, data__train_images=pattern))


def test_a_link_out_of_the_data_folder_is_refused(tmp_path):
    competition = salt(tmp_path / "data")
    outside = save(tmp_path / "secret.png", picture(99))
    (tmp_path / "data/train/images/link.png").symlink_to(outside)
    assert "is a link out of the data folder" in fault_of(competition)


def test_links_are_followed_where_the_file_says_so(tmp_path):
    salt(tmp_path / "elsewhere")
    root = tmp_path / "data"
    root.mkdir()
    for name in ("train", "test", "train.csv", "sample_submission.csv"):
        (root / name).symlink_to(tmp_path / "elsewhere" / name)
    competition = parsed(SALT, root)
    assert 'links = "followed" in [data]' in fault_of(competition)
    competition = parsed(SALT, root, data__links="followed")
    assert prove(competition).errors == ()
    catalog = build_catalog(competition)
    assert len(catalog) == 8 and len(read_labels(competition, catalog)) == 6


def test_groups_and_strata_come_from_a_csv(tmp_path):
    columns = {"file": "meta.csv", "image": "id", "value": "patient"}
    competition = salt(tmp_path, data__group=columns, data__stratum={**columns, "value": "site"})
    rows = [[f"{n:04}", f"0{n // 2}", "NA" if n % 2 else "B"] for n in range(6)]
    write_csv(tmp_path / "meta.csv", [["id", "patient", "site"], *rows])
    catalog = build_catalog(competition)
    assert catalog["group"].tolist() == ["00", "00", "01", "01", "02", "02", "0006", "0007"]
    assert catalog["stratum"].tolist()[:2] == ["B", "NA"]


def test_images_without_a_group_are_listed_and_never_become_the_group_nan(tmp_path):
    columns = {"file": "meta.csv", "image": "id", "value": "patient"}
    competition = salt(tmp_path, data__group=columns)
    rows = [
        ["0000", "a"],
        ["0001", " "],
        ["0002", "b"],
        ["0002", "c"],
        ["OOO3", "c"],
        ["0004", "c"],
    ]
    write_csv(tmp_path / "meta.csv", [["id", "patient"], *rows])
    fault = fault_of(competition)
    assert "meta.csv line 3: image '0001' has no group ('patient')" in fault
    assert "line 5: image '0002' is in group 'c' and 'b'" in fault
    assert "no row for training image '0003'" in fault and "training image '0005'" in fault


def test_sizes_can_be_the_stratum(tmp_path):
    competition = salt(tmp_path, data__stratum="size")
    save(tmp_path / "train/images/0002.png", picture(2, (8, 9)))
    assert build_catalog(competition)["stratum"].tolist()[1:4] == ["20x30", "8x9", "20x30"]


def test_sizes_are_those_of_the_turned_image(tmp_path):
    competition = salt(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(0)).save(tmp_path / "train/images/0000.png", exif=exif)
    assert build_catalog(competition).loc[0, ["height", "width"]].tolist() == [30, 20]


def test_groups_that_hold_copies_of_one_file_are_joined(tmp_path):
    competition = hand_bone(tmp_path, people=5)
    first = tmp_path / "train/DCM/ID001/image0002L.png"
    shutil.copy(first, tmp_path / "train/DCM/ID003/image0007R.png")
    shutil.copy(first, tmp_path / "test/DCM/ID005/image0010L.png")
    groups = build_catalog(competition).set_index("image")["group"]
    assert (
        groups["image0006L.png"] == groups["image0002L.png"] == groups["image0011R.png"] == "ID001"
    )
    assert groups["image0004L.png"] == "ID002" and groups["image0013R.png"] == "ID006"


def test_images_of_one_colour_join_nobody(tmp_path):
    competition = hand_bone(tmp_path, people=3)
    for name in ("ID000/image0000L", "ID001/image0002L", "ID002/image0004L"):
        save(tmp_path / f"train/DCM/{name}.png", np.zeros((20, 30, 3), np.uint8))
    assert of_split(build_catalog(competition), "train")["group"].nunique() == 3


def test_an_image_of_a_size_that_would_fill_the_memory_is_refused_by_its_header(
    tmp_path, monkeypatch
):
    competition = salt(tmp_path)
    monkeypatch.setattr("competition.data.catalog.PIXEL_LIMIT", 600)
    save(tmp_path / "train/images/0002.png", picture(2, (20, 31)))
    assert "train/images/0002.png has 20 × 31 pixels; the limit is 600" in fault_of(competition)


def named_by(tmp_path, way, paths):
    """A salt download with these training images, named in `way`."""
    competition = salt(tmp_path)
    shutil.rmtree(tmp_path / "train/images")
    for number, path in enumerate(paths):
        save(tmp_path / "train/images" / path, picture(number))
    data = competition.data.model_copy(update=way | {"train_images": "train/images/*/*.png"})
    return competition.model_copy(update={"data": data})


def test_ids_can_be_paths_below_the_glob_or_parts_of_them(tmp_path):
    paths = ["case1_day2/slice_0001_266.png", "case2_day1/slice_0001_266.png"]
    catalog = build_catalog(named_by(tmp_path / "a", {"image_id": "path"}, paths))
    assert of_split(catalog, "train")["image"].tolist() == paths
    assert of_split(catalog, "test")["image"].str.contains("/").sum() == 0
    part = PathPart(pattern=r"(case\d+_day\d+)/(slice_\d+)|[^/]+$", value=r"\1_\2")
    competition = named_by(tmp_path / "b", {"image_id": part}, paths)
    save(tmp_path / "b/test/images/only.png", picture(9))
    for file in (tmp_path / "b/test/images").iterdir():
        if file.name != "only.png":
            file.unlink()
    catalog = build_catalog(competition)
    assert of_split(catalog, "train")["image"].tolist() == [
        "case1_day2_slice_0001",
        "case2_day1_slice_0001",
    ]


def test_a_part_of_the_path_can_be_the_group(tmp_path):
    part = PathPart(pattern=r"case(\d+)", value=r"\1")
    paths = ["case1_day2/a.png", "case1_day3/b.png", "case2_day1/c.png"]
    catalog = build_catalog(named_by(tmp_path, {"group": part}, paths))
    assert of_split(catalog, "train")["group"].tolist() == ["1", "1", "2"]
    tests = of_split(catalog, "test")
    assert tests["group"].tolist() == tests["image"].tolist()


def test_an_image_in_whose_path_the_part_is_not_found_is_refused(tmp_path):
    part = PathPart(pattern=r"case\d+")
    paths = ["case1/a.png", "patient/b.png"]
    fault = fault_of(named_by(tmp_path, {"group": part}, paths))
    assert fault == (
        r"train/images/patient/b.png: group in [data] looks for 'case\\d+', which is not in this path"
    )


def test_a_data_set_without_a_test_part_has_training_images_alone(tmp_path):
    competition = salt(tmp_path)
    data = competition.data.model_copy(update={"test_images": None})
    catalog = build_catalog(competition.model_copy(update={"data": data}))
    assert catalog["split"].unique().tolist() == ["train"]
