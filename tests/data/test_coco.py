"""The reader of COCO's JSON."""

import json

import numpy as np
import pytest
from downloads import CELLS, blob, cell_map, cells, parsed, picture, save

from competition.data.catalog import build_catalog
from competition.data.labels import label_files, read_labels
from competition.doctor import examine
from competition.errors import InputFault
from competition.masks import Runs, runs_from_polygons
from competition.workspace import Workspace

SIZE = (20, 30)


def content(count=4, segmentation_of=None):
    """Images and annotations with ids out of order; each class of `cell_map` one annotation."""
    annotations = []
    for number in range(count):
        for k in (1, 2):
            mask = Runs.from_dense(cell_map(number) == k)
            if len(mask):
                segmentation = (segmentation_of or as_counts)(mask)
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": 90 - number,
                        "category_id": 8 - k,
                        "segmentation": segmentation,
                        "iscrowd": 0,
                    }
                )
    return {
        "images": [
            {"id": 90 - n, "file_name": f"{n:04}.png", "height": 20, "width": 30}
            for n in range(count)
        ],
        "categories": [{"id": 0, "name": "unused"}, {"id": 6, "name": "cytoplasm"}]
        + [{"id": 7, "name": "nucleus"}],
        "annotations": annotations,
    }


def as_counts(mask):
    flat = mask.to_dense().flatten("F")
    ends = np.flatnonzero(np.diff(flat, prepend=False, append=False)).tolist()
    bounds = [0, *ends, *([flat.size] if ends[-1] != flat.size else [])]
    return {"size": list(SIZE), "counts": np.diff(bounds).tolist()}


def coco(root, table, name="annotations.json", **labels):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(table))
    return cells(root, {"kind": "coco", "files": name, **labels})


def labels_of(competition):
    return read_labels(competition, build_catalog(competition))


def fault_of(competition) -> str:
    with pytest.raises(InputFault) as caught:
        labels_of(competition)
    return str(caught.value)


def truths(count=4):
    return {f"{n:04}": Runs.from_label_map(cell_map(n), 2) for n in range(count)}


def test_counts_are_read_by_columns_and_classes_in_the_order_of_the_spec(tmp_path):
    assert dict(labels_of(coco(tmp_path, content())).items()) == truths()


def test_polygons_are_pixel_edges_and_parts_are_united(tmp_path):
    table = content(1)
    parts = [[2, 1, 6, 1, 6, 4, 2, 4], [10.4, 10.4, 12.6, 10.4, 12.6, 12.6, 10.4, 12.6]]
    table["annotations"] = [
        {"image_id": 90, "category_id": 7, "segmentation": parts},
        {"image_id": 90, "category_id": 7, "segmentation": [[5, 3, 8, 3, 8, 5, 5, 5]]},
    ]
    expected = np.zeros(SIZE, bool)
    expected[1:4, 2:6] = expected[10:13, 10:13] = expected[3:5, 5:8] = True
    competition = cells(tmp_path, {"kind": "coco", "files": "a.json"}, count=1)
    (tmp_path / "a.json").write_text(json.dumps(table))
    found = labels_of(competition)["0000"]
    assert np.array_equal(found.to_dense()[0], expected) and not len(found[1])
    centres = competition.labels.model_copy(update={"coordinates": "centres"})
    drawn = labels_of(competition.model_copy(update={"labels": centres}))["0000"][0]
    points = [np.reshape(part, (-1, 2)) for part in (*parts, [5, 3, 8, 3, 8, 5, 5, 5])]
    assert drawn == runs_from_polygons(points, SIZE, "centres")


def test_crowds_and_ignored_categories_do_not_count(tmp_path):
    table = content()
    whole = {"size": list(SIZE), "counts": [0, 40, 560]}
    table["annotations"] += [
        {"image_id": 90, "category_id": 7, "iscrowd": 1, "segmentation": whole},
        {"image_id": 89, "category_id": 0, "iscrowd": 0, "segmentation": whole},
    ]
    labels = labels_of(coco(tmp_path, table, ignore=["unused"]))
    two_columns = np.zeros(SIZE, bool)
    two_columns[:, :2] = True
    for image, truth in truths().items():
        ignored = Runs.from_dense(two_columns & (image < "0002"))
        assert labels[image] == truth.without(ignored)
        assert labels.ignored[image][0] == ignored


def test_an_image_that_is_listed_without_annotations_is_empty(tmp_path):
    table = content()
    table["annotations"] = [one for one in table["annotations"] if one["image_id"] != 88]
    assert labels_of(coco(tmp_path, table))["0002"] == Runs.empty((2, *SIZE))


def test_images_that_are_listed_without_annotations_may_be_others(tmp_path):
    table = content()
    table["images"].append({"id": 1, "file_name": "t.png", "height": 1, "width": 1})
    assert dict(labels_of(coco(tmp_path, table)).items()) == truths()


def test_an_image_that_is_not_listed_is_a_fault_and_so_are_labels_of_none(tmp_path):
    table = content()
    table["images"][1]["file_name"] = "001.png"
    fault = fault_of(coco(tmp_path, table))
    assert "image 'train/images/0001.png' is not listed in 'annotations.json'" in fault
    assert "labels of '001.png', which is no training image; did you mean" in fault


@pytest.mark.parametrize(
    "names", ["images/{}", "train/images/{}", "C:\\all\\train\\images\\{}", "elsewhere/{}"]
)
def test_names_may_have_folders(tmp_path, names):
    table = content()
    for one in table["images"]:
        one["file_name"] = names.format(one["file_name"])
    assert dict(labels_of(coco(tmp_path, table)).items()) == truths()


def test_names_that_two_images_share_need_their_folders(tmp_path):
    for folder in ("left", "right"):
        save(tmp_path / f"train/images/{folder}/0000.png", picture(len(folder)))
    table = content(2)
    competition = coco(tmp_path, table)
    spec = competition.model_dump(exclude={"folder"})
    spec["data"] |= {"train_images": "train/images/*/*.png", "image_id": "name"}
    (tmp_path / "train/images/right/0000.png").rename(tmp_path / "train/images/right/0001.png")
    assert list(labels_of(parsed(spec, tmp_path))) == ["0000.png", "0001.png"]
    spec["data"]["image_id"] = "folder"
    (tmp_path / "train/images/right/0001.png").rename(tmp_path / "train/images/right/0000.png")
    fault = fault_of(parsed(spec, tmp_path))
    assert "'0000.png' may be several images" in fault and "need their folders" in fault
    for one, folder in zip(table["images"], ("left", "right"), strict=True):
        one["file_name"] = f"{folder}/0000.png"
    (tmp_path / "annotations.json").write_text(json.dumps(table))
    labels = labels_of(parsed(spec, tmp_path))
    assert {f: labels[f] for f in ("left", "right")} == dict(
        zip(("left", "right"), truths(2).values(), strict=True)
    )


def test_several_files_are_one_and_an_image_is_in_one_of_them(tmp_path):
    table = content()
    halves = [
        table | {"images": [one for one in table["images"] if (one["id"] > 88) == first]}
        for first in (True, False)
    ]
    for part in halves:
        known = {one["id"] for one in part["images"]}
        part["annotations"] = [a for a in table["annotations"] if a["image_id"] in known]
    coco(tmp_path, halves[0], "json/a.json")
    competition = coco(tmp_path, halves[1], "json/b.json", files="json/*.json")
    assert dict(labels_of(competition).items()) == truths()
    names = [path.name for path in label_files(competition, build_catalog(competition))]
    assert names == ["a.json", "b.json"]
    fault = fault_of(coco(tmp_path, table, "json/c.json", files="json/*.json"))
    assert "c.json images: '0000.png' is listed again; it was in" in fault


def test_sizes_that_are_not_the_images_are_told(tmp_path):
    table = content()
    table["images"][0] |= {"height": 30, "width": 20}
    table["images"][1] |= {"height": 40, "width": 60}
    table["annotations"] = []
    fault = fault_of(coco(tmp_path, table))
    assert "'0000.png' has 30 × 20 pixels (height × width) there, and its file 20 × 30" in fault
    assert "is it turned?" in fault.splitlines()[0]
    assert "were the images resized?" in fault.splitlines()[1]


def changed(**change):
    table = content()
    table["annotations"][0] |= change
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (content() | {"images": 3}, 'has no list "images"; expected {"images": [...], "cat'),
        ([], 'has no list "images"'),
        (content() | {"images": [{"id": 1}], "annotations": []}, "images: id 1 has no file_name"),
        (content() | {"categories": [{"name": "x"}]}, "categories 0: no id"),
        (content() | {"categories": [{"id": 1}, {"id": 1}]}, "categories 1: the id 1 is there tw"),
        (changed(category_id=0), "annotation 0: no class 'unused'; classes are"),
        (changed(category_id=1), "annotation 0: category_id 1 is not in the file's lists"),
        (changed(image_id=1), "annotation 0: image_id 1 is not in the file's lists"),
        (changed(image_id=[1]), "annotation 0: image_id [1] is not in the file's lists"),
        (changed(segmentation=[]), "annotation 0: no mask"),
        (changed(segmentation=[1, 2, 3, 4, 5, 6]), "is neither a list of polygons"),
        (changed(segmentation=[[1, 2, 3, 4]]), "a polygon of 4 numbers"),
        (changed(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "a polygon of 7 numbers"),
        (changed(segmentation=[[1, 2, 3, 4, 5, "a"]]), "annotation 0: polygon 0 is no array"),
        (changed(segmentation=[[0, 0, 80, 0, 80, 80]]), "most of the polygon lies outside"),
        (changed(segmentation={"size": [30, 20], "counts": [600]}), "counts of size [30, 20]"),
        (changed(segmentation={"size": [20, 30], "counts": [500]}), "add up to 500 pixels"),
        (changed(segmentation={"size": [20, 30], "counts": "12P"}), "in the midst of a number"),
        (changed(segmentation={"size": [20, 30], "counts": None}), "expected a list or a text"),
    ],
)
def test_damage_is_named_with_its_place(tmp_path, table, message):
    fault = fault_of(coco(tmp_path, table))
    assert "annotations.json" in fault and message in fault


def test_boxes_are_no_masks_and_shares_no_pixels(tmp_path):
    table = content()
    for one in table["annotations"]:
        one["segmentation"] = []
    fault = fault_of(coco(tmp_path, table))
    assert f"all {len(table['annotations'])} annotations are boxes, no masks" in fault
    for one in table["annotations"]:
        one["segmentation"] = [[0.1, 0.1, 0.4, 0.1, 0.4, 0.5]]
    assert "all polygons lie within 0 to 1" in fault_of(coco(tmp_path, table))


def test_a_category_that_is_nearly_a_class_is_named_with_it(tmp_path):
    table = content()
    table["categories"][2]["name"] = "Nucleos"
    fault = fault_of(coco(tmp_path, table))
    assert "annotation 0: no class 'Nucleos'; did you mean 'nucleus'?" in fault


def test_json_that_is_cut_or_not_there_is_named(tmp_path):
    competition = coco(tmp_path, content())
    whole = (tmp_path / "annotations.json").read_text()
    (tmp_path / "annotations.json").write_text(whole[: len(whole) // 2])
    assert "annotations.json is not whole JSON" in fault_of(competition)
    (tmp_path / "annotations.json").unlink()
    assert "annotations.json does not exist" in fault_of(competition)
    assert "no label file matches 'json/*.json' below" in fault_of(
        cells(tmp_path, {"kind": "coco", "files": "json/*.json"})
    )


def test_files_never_leave_the_data_folder(tmp_path):
    for files in ("../a.json", "/etc/*.json"):
        assert "path " in fault_of(coco(tmp_path, content(), files=files))


def test_an_excluded_image_keeps_its_annotations(tmp_path):
    competition = coco(tmp_path, content())
    spec = competition.model_dump(exclude={"folder"})
    spec["data"]["exclude"] = ["0002"]
    assert list(labels_of(parsed(spec, tmp_path))) == ["0000", "0001", "0003"]


def test_the_doctor_reads_it(tmp_path):
    competition = coco(tmp_path, content())
    report = examine(competition, Workspace(tmp_path / "workspace", "salt"))
    assert report.errors == () and ("class 1" in dict(report.found))
    assert CELLS[0] in dict(report.found)["class 1"] and blob(0).area()[0] > 0
