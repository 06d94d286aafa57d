"""`new` without a preset: any layout is read as it was drawn, or its one question is named."""

import json
import re
import shutil

import numpy as np
import pytest
from downloads import picture, save, write_csv
from PIL import Image

from competition.data.catalog import build_catalog, of_split
from competition.data.labels import read_labels
from competition.errors import InputFault
from competition.masks import RleFormat, Runs, encode
from competition.new.survey import places
from competition.new.write import new_competition
from competition.spec import load_competition

NAMES = ("nucleus", "cytoplasm")
SIZE = (24, 34)
TRAIN, TEST = [f"a{n:02}" for n in range(12)], [f"t{n:02}" for n in range(4)]


def drawn(number: int) -> np.ndarray:
    """uint8 (H, W): 1 within 2 on 0, elsewhere for every number."""
    random = np.random.default_rng(number)
    top, left = random.integers(1, 10), random.integers(1, 16)
    mask = np.zeros(SIZE, np.uint8)
    mask[top : top + 11, left : left + 15] = 2
    mask[top + 3 : top + 7, left + 4 : left + 9] = 1
    return mask


MASKS = {name: drawn(number) for number, name in enumerate(TRAIN)}


def photograph(name: str) -> np.ndarray:
    """uint8 (H, W, 3): a little noise, darker where something is drawn."""
    pixels = 200 + picture(sum(map(ord, name)), SIZE) // 16
    return pixels - 60 * MASKS[name][..., None] if name in MASKS else pixels


def images(root, train="images/{}.png", test="test/{}.png"):
    for name in TRAIN:
        save(root / train.format(name, name=name), photograph(name))
    for name in TEST if test else ():
        save(root / test.format(name, name=name), photograph(name))


def sample(root, file="sample_submission.csv", form="{}.png", classes=NAMES, header=None, text=""):
    rows = [[form.format(t), *([c] if c else []), text] for t in TEST for c in classes or [""]]
    write_csv(root / file, [header or ["image", "class", "rle"][: len(rows[0])], *rows])


def found(root, tmp_path, **changes):
    target = tmp_path / "competition.toml"
    text = new_competition(None, root, target, "mine", changes=changes).text
    return text, load_competition(target)


def read(competition) -> dict[str, np.ndarray]:
    """Stem of each training image → bool (K, H, W), in the order of its classes."""
    catalog = build_catalog(competition)
    rows = of_split(catalog, "train")
    labels = read_labels(competition, catalog)
    names = [re.search(r"a\d\d", path)[0] for path in rows["path"]]
    return {name: labels[i].to_dense() for name, i in zip(names, rows["image"], strict=True)}


def check(competition, values=(1, 2), classes=None):
    """Every training image's planes are the drawn values, in this order; all test images are there."""
    planes = read(competition)
    assert planes.keys() == MASKS.keys()
    for name, mask in planes.items():
        expected = np.stack([np.isin(MASKS[name], value) for value in values])
        np.testing.assert_array_equal(mask, expected)
    assert competition.classes == (classes or competition.classes)


def indexed(root, form="masks/{}.png", palette=None, change=lambda mask: mask):
    for name, mask in MASKS.items():
        path = root / form.format(name, name=name)
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(change(mask))
        if palette:
            image = image.convert("P") if image.mode != "P" else image
            image.putpalette(palette + [0] * (768 - len(palette)))
        image.save(path)


def ringed(mask):
    """With a rim of 255 around what is drawn."""
    inside = np.pad(mask > 0, 1)
    near = inside[:-2, 1:-1] | inside[2:, 1:-1] | inside[1:-1, :-2] | inside[1:-1, 2:]
    return np.where(near & (mask == 0), 255, mask).astype(np.uint8)


FOLDERS = [
    ("images/{}.png", "masks/{}.png", "test/{}.png"),
    ("train/images/{}.jpg", "train/labels/{}.png", "test/images/{}.jpg"),
    ("JPEGImages/{}.jpg", "SegmentationClass/{}.png", "test_images/{}.jpg"),
    ("data/train/imgs/{}.tif", "data/train/gt/{}.tif", "data/test/{}.tif"),
    ("train/{}.bmp", "train_masks/{}_mask.png", "test/{}.bmp"),
    ("train/{}.png", "train/{}_seg.png", "testing/{}.png"),
    ("training/{name}/{name}.png", "training/{name}/{name}_mask.png", "test/{name}/{name}.png"),
    ("train/{name}/image.png", "train/{name}/mask.png", "test/{name}/image.png"),
]


@pytest.mark.parametrize("folders", FOLDERS, ids=lambda one: one[1])
@pytest.mark.parametrize("stray", [None, ".DS_Store", "readme.txt", "preview.png"])
def test_masks_are_found_wherever_they_lie(tmp_path, folders, stray):
    root = tmp_path / "data"
    train, masks, test = folders
    images(root, train, test)
    indexed(root, masks)
    if stray == "preview.png":
        save(root / stray, picture(99, (50, 60)))
    elif stray:
        (root / masks.format("x", name="x")).parent.parent.mkdir(parents=True, exist_ok=True)
        (root / train.rpartition("/")[0].format(TRAIN[0], name=TRAIN[0]) / stray).write_bytes(b"x")
    text, competition = found(root, tmp_path)
    assert competition.data.image_id == ("folder" if "image.png" in train else "name")
    check(competition)
    assert competition.questions == () and "errors: 0" in text
    assert len(of_split(build_catalog(competition), "test")) == len(TEST)
    assert ("not used: *.png (1 images)" in text) == (stray == "preview.png")


def test_masks_with_a_rim_that_does_not_count(tmp_path):
    images(tmp_path / "data")
    indexed(tmp_path / "data", palette=[0, 0, 0, 128, 0, 0, 0, 128, 0], change=ringed)
    text, competition = found(tmp_path / "data", tmp_path)
    check(competition)
    assert competition.labels.ignore == (255,) and competition.questions == ()
    assert "labels.first = 1  (found: the palette shows value 0 black: background)" in text


def test_a_list_of_names_tells_whether_the_first_value_is_background(tmp_path):
    for folder, names, first in (
        ("a", ["bg", *NAMES], 1),
        ("b", NAMES, 1),
        ("c", ["x", *NAMES], 0),
    ):
        root = tmp_path / folder / "data"
        images(root)
        indexed(root)
        (root / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        _, competition = found(root, tmp_path / folder)
        assert competition.labels.first == first
        check(competition, *([(0, 1, 2), ("x", *NAMES)] if first == 0 else [(1, 2), NAMES]))


@pytest.mark.parametrize(
    "source", ["dataset.json", "classes.json", "labels.txt", "class_table.csv"]
)
def test_a_table_names_the_values(tmp_path, source):
    root = tmp_path / "data"
    images(root)
    indexed(root, change=lambda mask: np.where(mask == 0, 0, mask + 2).astype(np.uint8))
    values = {"background": 0, "fat": 1, "bone": 2, "nucleus": 3, "cytoplasm": 4}
    match source:
        case "dataset.json":
            (root / source).write_text(json.dumps({"labels": values}))
        case "classes.json":
            (root / source).write_text(json.dumps({str(v): n for n, v in values.items()}))
        case "labels.txt":
            (root / source).write_text("".join(f"{v}: {n}\n" for n, v in values.items()))
        case "class_table.csv":
            write_csv(root / source, [["name", "id"], *([n, str(v)] for n, v in values.items())])
    text, competition = found(root, tmp_path)
    check(competition, ([], [], 1, 2), ("fat", "bone", *NAMES))
    assert f"(found: in {source})" in text


def test_value_0_is_asked_about_where_nothing_tells_what_it_is(tmp_path):
    root = tmp_path / "data"
    images(root)
    indexed(root, change=lambda mask: np.where(mask == 0, 2, mask % 2).astype(np.uint8))
    text, competition = found(root, tmp_path)
    assert 'first = "? 1 | 0"' in (tmp_path / "competition.toml").read_text()
    assert "first in [labels] is open; write 1 or 0" in competition.questions[0]
    assert "is it background (1), or the first class (0)?" in text


COLOURS = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)


def coloured(root, colours=COLOURS, form="masks/{}.png"):
    for name, mask in MASKS.items():
        save(root / form.format(name), colours[mask])


def test_colours_are_classes_in_the_order_of_voc(tmp_path):
    images(tmp_path / "data")
    coloured(tmp_path / "data")
    _, competition = found(tmp_path / "data", tmp_path)
    check(competition, classes=("class-1", "class-2"))
    assert competition.exclusive and competition.labels.colours["class-1"] == "#800000"


@pytest.mark.parametrize("source", ["class_dict.csv", "labelmap.txt"])
def test_a_list_names_the_colours(tmp_path, source):
    root = tmp_path / "data"
    colours = np.array([[255, 255, 255], [10, 20, 30], [200, 100, 0]], np.uint8)
    images(root)
    coloured(root, colours)
    named = list(zip(("background", *NAMES), colours.tolist(), strict=True))
    if source == "class_dict.csv":
        write_csv(root / source, [["name", "r", "g", "b"], *([n, *map(str, c)] for n, c in named)])
    else:
        lines = [f"{n}:{c[0]},{c[1]},{c[2]}::" for n, c in named]
        (root / source).write_text("# label:color_rgb:parts:actions\n" + "\n".join(lines) + "\n")
    _, competition = found(root, tmp_path)
    check(competition, classes=NAMES)
    assert competition.labels.background == ("#ffffff",)


def test_greys_far_apart_are_classes(tmp_path):
    images(tmp_path / "data")
    indexed(tmp_path / "data", change=lambda mask: np.array([0, 127, 255], np.uint8)[mask])
    _, competition = found(tmp_path / "data", tmp_path)
    check(competition)
    assert competition.labels.colours == {"class-1": "#7f7f7f", "class-2": "#ffffff"}


def test_names_of_the_sample_for_colours_are_a_question(tmp_path):
    root = tmp_path / "data"
    images(root)
    coloured(root)
    sample(root)
    _, competition = found(root, tmp_path, **{"submission.order": "rows"})
    check(competition, classes=NAMES)
    assert (
        len(competition.questions) == 1
        and "colours in [labels] is open" in competition.questions[0]
    )


def test_masks_of_one_class_mix_depths_and_masks_in_jpeg_are_smeared(tmp_path):
    for folder, ending in (("a", "png"), ("b", "jpg")):
        root = tmp_path / folder / "data"
        images(root)
        for n, (name, mask) in enumerate(MASKS.items()):
            inside = mask > 0
            deep = n % 2 and ending == "png"
            pixels = inside.astype(np.uint16) * 65535 if deep else inside.astype(np.uint8) * 255
            save(root / f"masks/{name}.{ending}", pixels, **({} if deep else {"quality": 95}))
        _, competition = found(root, tmp_path / folder)
        assert competition.labels.values == "nonzero"
        assert competition.labels.threshold == (128 if ending == "jpg" else None)
        check(competition, [(1, 2)], ("mine",))


def test_numbers_of_objects_are_one_class(tmp_path):
    root = tmp_path / "data"
    images(root)
    field = np.arange(70, dtype=np.uint16).reshape(7, 10)
    for name in TRAIN:
        pixels = np.zeros(SIZE, np.uint16)
        pixels[2:9, 3:13] = field
        save(root / f"masks/{name}.png", pixels)
    text, competition = found(root, tmp_path)
    assert "numbers of objects" in text and competition.labels.threshold == 1
    assert read(competition)["a00"].sum() == 69


@pytest.mark.parametrize(
    "form", ["masks/{1}/{0}.png", "train/masks/{0}/{1}.png", "masks/{0}_{1}.png", "{1}/{0}.png"]
)
def test_a_file_for_each_class(tmp_path, form):
    root = tmp_path / "data"
    images(root)
    sample(root)
    for name, mask in MASKS.items():
        for value, label in enumerate(NAMES, 1):
            save(root / form.format(name, label), (mask == value).astype(np.uint8) * 255)
    text, competition = found(root, tmp_path)
    check(competition, classes=NAMES)
    assert competition.exclusive and "no pixel has two classes, in 12 images" in text
    assert [q.partition(": ")[2] for q in competition.questions] == [
        "order in [submission] is open; write 'rows' or 'columns'"
    ]


def test_an_image_of_each_object(tmp_path):
    root = tmp_path / "data"
    images(root, "stage1_train/{name}/images/{name}.png", "stage1_test/{name}/images/{name}.png")
    for name, mask in MASKS.items():
        for value in (1, 2):
            path = root / f"stage1_train/{name}/masks/{name}{value}.png"
            save(path, (mask == value).astype(np.uint8) * 255)
    _, competition = found(root, tmp_path)
    check(competition, [(1, 2)])
    assert competition.labels.files == "stage1_train/{stem}/masks/*.png"


def test_images_without_a_mask_file_are_a_question(tmp_path):
    root = tmp_path / "data"
    images(root)
    indexed(root)
    (root / "masks/a03.png").unlink()
    _, competition = found(root, tmp_path)
    assert read(competition)["a03"].sum() == 0
    assert "positives_only in [labels] is open; write True or False" in competition.questions[0]


def boxes(mask, edge):
    """(class, outline) of what is drawn; edge: 1 where corners lie on the pixels' far sides."""
    for value, label in ((2, "cytoplasm"), (1, "nucleus")):
        rows, columns = np.nonzero(mask if value == 2 else mask == 1)
        top, left, bottom, right = (
            rows.min(),
            columns.min(),
            rows.max() + edge,
            columns.max() + edge,
        )
        yield label, [[left, top], [right, top], [right, bottom], [left, bottom]]


def annotated(root, kind):
    """Annotations of all training images, as a tool exports them."""
    images(root)
    sample(root)
    height, width = SIZE
    per_image = {}
    for name, mask in MASKS.items():
        edge = 0 if kind in ("polygons", "labelme", "supervisely") else 1
        per_image[name] = [(c, [[int(x), int(y)] for x, y in o]) for c, o in boxes(mask, edge)]
    match kind:
        case "polygons" | "labelme":
            key, points = ("annotations", "points") if kind == "polygons" else ("shapes", "points")
            for name, found in per_image.items():
                rows = [{"label": c, points: o, "shape_type": "polygon"} for c, o in found]
                content = {key: rows, "imageHeight": height, "imageWidth": width}
                path = root / f"annotations/{name}.json"
                path.parent.mkdir(exist_ok=True)
                path.write_text(json.dumps(content))
        case "supervisely":
            for name, found in per_image.items():
                rows = [
                    {
                        "classTitle": c,
                        "geometryType": "polygon",
                        "points": {"exterior": o, "interior": []},
                    }
                    for c, o in found
                ]
                path = root / f"ann/{name}.png.json"
                path.parent.mkdir(exist_ok=True)
                size = {"height": height, "width": width}
                path.write_text(json.dumps({"size": size, "objects": rows}))
        case "yolo":
            (root / "data.yaml").write_text("nc: 2\nnames: [cytoplasm, nucleus]\n")
            for name, found in per_image.items():
                lines = [
                    " ".join([str(k), *(f"{x / width:.6f} {y / height:.6f}" for x, y in o)])
                    for k, (_, o) in enumerate(found)
                ]
                path = root / f"labels/{name}.txt"
                path.parent.mkdir(exist_ok=True)
                path.write_text("\n".join(lines) + "\n")
        case "coco":
            listed = [
                {"id": n, "file_name": f"{name}.png", "height": height, "width": width}
                for n, name in enumerate(per_image)
            ]
            rows = [
                {"id": 9 * n + k, "image_id": n, "category_id": k + 1, "iscrowd": 0}
                | {"segmentation": [[value for point in o for value in point]]}
                for n, found in enumerate(per_image.values())
                for k, (_, o) in enumerate(found)
            ]
            names = [{"id": 1, "name": "cytoplasm"}, {"id": 2, "name": "nucleus"}]
            content = {"images": listed, "annotations": rows, "categories": names}
            (root / "instances_default.json").write_text(json.dumps(content))
        case "cvat":
            lines = ["<annotations><version>1.1</version>"]
            for n, (name, found) in enumerate(per_image.items()):
                lines.append(
                    f'<image id="{n}" name="{name}.png" width="{width}" height="{height}">'
                )
                for c, o in found:
                    points = ";".join(f"{x},{y}" for x, y in o)
                    lines.append(f'<polygon label="{c}" points="{points}" z_order="0"></polygon>')
                lines.append("</image>")
            (root / "annotations.xml").write_text("\n".join([*lines, "</annotations>"]))
        case "label-studio":
            tasks = []
            for name, found in per_image.items():
                result = [
                    {
                        "type": "polygonlabels",
                        "original_width": width,
                        "original_height": height,
                        "value": {
                            "points": [[100 * x / width, 100 * y / height] for x, y in o],
                            "polygonlabels": [c],
                        },
                    }
                    for c, o in found
                ]
                data = {"image": f"/data/upload/1/{name}.png"}
                tasks.append({"id": 1, "data": data, "annotations": [{"result": result}]})
            (root / "project-1.json").write_text(json.dumps(tasks))


TOOLS = ("polygons", "labelme", "supervisely", "yolo", "coco", "cvat", "label-studio")


@pytest.mark.parametrize("kind", TOOLS)
def test_annotations_of_tools_are_known(tmp_path, kind):
    root = tmp_path / "data"
    annotated(root, kind)
    _, competition = found(root, tmp_path, **{"submission.order": "rows"})
    assert competition.labels.kind == kind and competition.questions == ()
    assert competition.exclusive is False and set(competition.classes) == set(NAMES)
    values = {"nucleus": 1, "cytoplasm": (1, 2)}
    check(competition, [values[name] for name in competition.classes])


COLUMNS = RleFormat("columns")


def label_rows_of_both(form=COLUMNS):
    """(image, class, text) of both classes of all training images."""
    return [
        [f"{name}.png", label, encode(Runs.from_dense(mask == value), form)]
        for name, mask in MASKS.items()
        for value, label in enumerate(NAMES, 1)
    ]


def texts(root, order="columns", *, empty="", rows=None, header=("id", "class", "rle"), base=1):
    """train.csv of both classes; returns the rows."""
    form = RleFormat(order, base)
    rows = rows or label_rows_of_both(form)
    rows = [[*row[:-1], row[-1] or empty] for row in rows]
    return write_csv(root / "train.csv", [header, *rows])


@pytest.mark.parametrize("order", ["rows", "columns"])
@pytest.mark.parametrize("base", [0, 1])
def test_the_order_of_texts_is_proven(tmp_path, order, base):
    root = tmp_path / "data"
    images(root)
    texts(root, order, base=base)
    sample(root, text="1 1")
    text, competition = found(root, tmp_path)
    check(competition, classes=NAMES)
    assert (competition.submission.order, competition.submission.rows) == (order, "image-class")
    assert re.search(rf'submission.order = "{order}"  \(proven: ', text)
    assert competition.questions == () and "metric.name = 'dice'; say it by --set" in text


def test_image_and_class_in_one_column_and_a_token_for_nothing(tmp_path):
    root = tmp_path / "data"
    images(root)
    form = RleFormat("columns")
    rows = [
        [f"{name}.png_{label}", encode(Runs.from_dense((mask == value) & (n % 3 > 0)), form)]
        for n, (name, mask) in enumerate(MASKS.items())
        for value, label in enumerate(NAMES, 1)
    ]
    texts(root, rows=rows, header=("Image_Label", "EncodedPixels"), empty="-1")
    rows = [[f"{name}.png_{label}", "-1"] for name in TEST for label in NAMES]
    write_csv(root / "sample_submission.csv", [["Image_Label", "EncodedPixels"], *rows])
    _, competition = found(root, tmp_path)
    form = competition.submission
    assert (form.separator, form.empty, form.rows) == ("_", "-1", "image-class")
    assert competition.classes == NAMES
    assert (
        read(competition)["a01"].sum() == (MASKS["a01"] > 0).sum()
        and not read(competition)["a00"].any()
    )


def test_rows_of_objects_leave_one_question(tmp_path):
    root = tmp_path / "data"
    images(root, "train/{}.jpg", "test/{}.jpg")
    form = RleFormat("columns")
    rows = [
        [f"{name}.jpg", encode(Runs.from_dense(mask == value), form)]
        for name, mask in MASKS.items()
        for value in (1, 2)
    ]
    texts(root, rows=rows, header=("ImageId", "EncodedPixels"))
    sample(root, form="{}.jpg", classes=None, header=["ImageId", "EncodedPixels"], text="1 2")
    _, competition = found(root, tmp_path)
    check(competition, [(1, 2)])
    (question,) = competition.questions
    assert "rows in [submission] is open; write 'object' or 'image'" in question
    assert competition.metric.name == "object-precision"


def test_square_images_leave_the_order_open(tmp_path):
    root = tmp_path / "data"
    square = np.zeros((20, 20), bool)
    square[5:9, 5:9] = True
    for name in TRAIN + TEST:
        folder = "train" if name in TRAIN else "test"
        save(root / f"{folder}/{name}.png", picture(sum(map(ord, name)), (20, 20)))
    rows = [[f"{name}.png", encode(Runs.from_dense(square), RleFormat("rows"))] for name in TRAIN]
    texts(root, rows=rows, header=("id", "rle"))
    sample(root, classes=None, header=["id", "rle"])
    text, competition = found(root, tmp_path)
    assert "base in [submission] is open" in " ".join(competition.questions)
    assert "order in [submission] is open" in " ".join(competition.questions)
    assert "all images are square, so compactness is blind" in text
    other = tmp_path / "other"
    other.mkdir()
    said = {"submission.order": "columns", "submission.base": 1}
    _, settled = found(root, other, **said)
    assert settled.questions == () and settled.submission.order == "columns"


def grouped(tmp_path, names, table=None, folders=False):
    """A download whose images have these names, in a folder of their own where that is asked."""
    root = tmp_path / "data"
    for n, name in enumerate(names):
        place = f"{n // 2}" if folders else ""
        save(root / "images" / place / f"{name}.png", photograph(TRAIN[n]))
        save(root / "masks" / place / f"{name}.png", MASKS[TRAIN[n]])
    if table:
        write_csv(root / "train_metadata.csv", table)
    return found(root, tmp_path)


def test_groups_are_a_column_of_persons(tmp_path):
    names = [f"x{n}" for n in range(12)]
    rows = [[f"{name}.png", f"P{n // 3}", "mf"[n % 2]] for n, name in enumerate(names)]
    _, competition = grouped(tmp_path, names, [["image", "patient_id", "sex"], *rows])
    assert competition.split.folds == 4
    assert competition.data.group.value == "patient_id" and competition.questions == ()
    assert build_catalog(competition)["group"].nunique() == 4


def test_two_columns_of_persons_are_a_question(tmp_path):
    names = [f"x{n}" for n in range(12)]
    rows = [[f"{name}.png", f"P{n // 3}", f"S{n // 2}"] for n, name in enumerate(names)]
    _, competition = grouped(tmp_path, names, [["image", "patient", "study"], *rows])
    assert "group in [data] is open" in competition.questions[0]


def test_groups_are_folders_or_parts_of_names(tmp_path):
    _, competition = grouped(tmp_path / "a", [f"x{n}" for n in range(12)], folders=True)
    assert competition.data.group == "folder"
    assert build_catalog(competition)["group"].nunique() == 6
    _, competition = grouped(tmp_path / "b", [f"patient{n // 2}_s{n % 2}" for n in range(12)])
    assert build_catalog(competition)["group"].tolist()[:3] == ["patient0", "patient0", "patient1"]
    _, competition = grouped(tmp_path / "c", [f"{n // 2:03}_{n % 2}" for n in range(12)])
    assert "group in [data] is open" in competition.questions[0]
    _, competition = grouped(tmp_path / "d", [f"img_{n}" for n in range(12)])
    assert competition.data.group == "image" and competition.questions == ()


def test_a_class_that_keeps_to_its_side_forbids_mirrored_images(tmp_path):
    root = tmp_path / "data"
    images(root)
    for name in TRAIN:
        mask = np.zeros(SIZE, np.uint8)
        mask[4:12, 2:10], mask[4:12, 24:30] = 1, 2
        save(root / f"masks/{name}.png", mask)
    text, competition = found(root, tmp_path)
    assert competition.horizontal_flip == "forbidden" and "sides are kept: 'class-1' (left" in text


def test_left_and_right_are_pairs(tmp_path):
    root = tmp_path / "data"
    images(root)
    indexed(root)
    (root / "classes.txt").write_text("left lung\nright lung\n")
    _, competition = found(root, tmp_path)
    assert competition.flip_pairs == (("left lung", "right lung"),)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda root: root.mkdir(),
            r"holds no image \(.*\): 0 files; unpack archives",
        ),
        (
            lambda root: (root.mkdir(), (root / "a.nrrd").write_bytes(b""), root),
            r"holds no image \(.png, .jpg, .*\): 1 files, most of them .nrrd",
        ),
        (images, r"no labels found for these images; there lie"),
        (
            lambda root: (
                images(root, test="images/{}.png"),
                texts(root),
                sample(root),
            ),
            r"the images of sample_submission.csv lie among the labelled ones, images/\*.png",
        ),
        (
            lambda root: (images(root, test=None), indexed(root), sample(root)),
            r"sample_submission.csv names no images that lie here: .* are the test images unpacked\?",
        ),
        (
            lambda root: (images(root), indexed(root), indexed(root, "labels/{}.png")),
            r"(?s)2 kinds of labels .*--set labels.files=labels/\{stem\}.png",
        ),
        (
            lambda root: (
                images(root),
                indexed(root),
                (root / "classes.txt").write_text("a\nb\nc\nd\ne\n"),
            ),
            r"names 5 classes, and the masks have values up to 2; expected 2 names",
        ),
        (
            lambda root: (images(root), indexed(root), save(root / "masks/a99.png", drawn(99))),
            r"(?s)label file 'masks/a99.png' belongs to no training image",
        ),
    ],
    ids=[
        *("nothing", "other files", "no labels", "among the labelled", "no test images"),
        *("two folders", "names", "stray"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_message(tmp_path, make, message):
    root = tmp_path / "data"
    make(root)
    with pytest.raises(InputFault, match=message):
        found(root, tmp_path)
    assert not (tmp_path / "competition.toml").exists()


def test_what_is_set_settles_what_the_search_would_have_to_choose(tmp_path):
    root = tmp_path / "data"
    images(root)
    indexed(root)
    texts(root)
    _, competition = found(root, tmp_path, **{"labels.kind": "masks", "metric.name": "iou"})
    assert competition.labels.kind == "masks" and competition.metric.name == "iou"
    assert (
        'name = "iou"  # asked: as you said by --set' in (tmp_path / "competition.toml").read_text()
    )


def test_questions_are_asked_where_someone_is_there(tmp_path):
    root = tmp_path / "data"
    images(root)
    indexed(root)
    sample(root, classes=("class-1", "class-2"))
    asked = {}

    def ask(key, value):
        asked[key] = value
        return {"submission.order": "columns", "metric.name": "iou"}[key]

    target = tmp_path / "competition.toml"
    new_competition(None, root, target, "mine", ask=ask)
    competition = load_competition(target)
    assert competition.questions == () and competition.submission.order == "columns"
    assert competition.metric.name == "iou"
    assert asked["submission.order"].candidates == ("rows", "columns")
    assert asked["metric.name"].candidates[0] == "dice"


def test_each_key_that_is_written_says_where_it_comes_from(tmp_path):
    """No silent default: every key of the file has its comment, found, proven, asked or chosen."""
    root = tmp_path / "data"
    images(root)
    texts(root)
    sample(root, text="1 1")
    indexed(root)
    rows = [[f"{name}.png", f"P{n // 3}"] for n, name in enumerate(TRAIN)]
    write_csv(root / "patients.csv", [["image", "patient"], *rows])
    text, _ = found(root, tmp_path, **{"labels.kind": "rle"})
    lines = (tmp_path / "competition.toml").read_text().splitlines()
    written, comment, inside = set(), "", False
    for line in lines:
        key = re.match(r"([a-z_]+) = ", line)
        if key and not inside:
            assert re.search(r"# (found|proven|asked|chosen): \S", comment + line), line
            written.add(key[1])
            inside = line.endswith("[")
        inside = inside and line != "]"
        comment = line if line.startswith("#") else ""
    assert {"order", "group", "classes", "exclusive", "horizontal_flip", "empty"} <= written
    for key in ("data.group", "labels.file", "submission.sample", "exclusive"):
        assert f"  {key} = " in text


def test_a_read_only_download_is_left_as_it_is(tmp_path):
    root = tmp_path / "data"
    images(root)
    indexed(root)
    before = sorted(path.relative_to(root) for path in root.rglob("*"))
    found(root, tmp_path)
    assert sorted(path.relative_to(root) for path in root.rglob("*")) == before


def test_folders_of_persons_are_one_place_and_parts_of_a_download_are_not():
    paths = [f"{part}/DCM/ID{n}/image{n}.png" for part in ("train", "test") for n in range(3)]
    assert [place.pattern for place in places(paths)] == ["test/DCM/*/*.png", "train/DCM/*/*.png"]
    paths = [f"case{n}/case{n}_day{d}/scans/s.png" for n in range(3) for d in range(1 + n % 2)]
    assert [place.pattern for place in places(paths)] == ["*/*/scans/*.png"]


PARTS = [
    ("images/{part}/{}.png", "masks/{part}/{}.png"),
    ("{part}/images/{}.png", "{part}/masks/{}.png"),
    ("{part}/{}.png", "{part}annot/{}.png"),
    ("data/{part}_images/{}.png", "data/{part}_masks/{}.png"),
]


@pytest.mark.parametrize("forms", PARTS, ids=lambda one: one[0])
def test_a_validation_part_with_labels_is_labelled_too(tmp_path, forms):
    root = tmp_path / "data"
    for n, name in enumerate(TRAIN):
        part = "val" if n % 3 == 0 else "train"
        save(root / forms[0].format(name, part=part), photograph(name))
        save(root / forms[1].format(name, part=part), MASKS[name])
    for name in TEST:
        save(root / forms[0].format(name, part="test"), photograph(name))
    text, competition = found(root, tmp_path)
    check(competition)
    assert len(competition.data.train_images) == 2 and competition.questions == ()
    assert competition.data.group == "image" and competition.split.folds == 5
    assert len(of_split(build_catalog(competition), "test")) == len(TEST)
    assert "not used" not in text


def test_a_validation_part_without_labels_is_not_used(tmp_path):
    root = tmp_path / "data"
    images(root, "images/train/{}.png", "images/test/{}.png")
    for n in range(3):
        save(root / f"images/val/v{n}.png", picture(n + 50, SIZE))
    indexed(root, "masks/train/{}.png")
    text, competition = found(root, tmp_path)
    check(competition)
    assert "not used: images/val/*.png (3 images)" in text and competition.questions == ()


def test_coco_files_of_two_parts_are_one(tmp_path):
    root = tmp_path / "data"
    annotated(root, "coco")
    whole = json.loads((root / "instances_default.json").read_text())
    (root / "instances_default.json").unlink()
    for part, kept in (("train", lambda n: n % 3), ("val", lambda n: n % 3 == 0)):
        listed = [one for one in whole["images"] if kept(one["id"])]
        rows = [one for one in whole["annotations"] if kept(one["image_id"])]
        path = root / f"annotations/instances_{part}2017.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(whole | {"images": listed, "annotations": rows}))
        for one in listed:
            target = root / f"{part}2017" / one["file_name"]
            target.parent.mkdir(exist_ok=True)
            shutil.move(root / "images" / one["file_name"], target)
    _, competition = found(root, tmp_path, **{"submission.order": "rows"})
    assert competition.labels.files == "annotations/instances_*2017.json"
    values = {"nucleus": 1, "cytoplasm": (1, 2)}
    check(competition, [values[name] for name in competition.classes])


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("imagesTr/case_{}_0000.png", "labelsTr/case_{}.png"),
        ("images/img{}.png", "masks/mask{}.png"),
        ("images/{}_sat.jpg", "images/{}_mask.png"),
    ],
)
def test_names_may_share_a_part_alone(tmp_path, image, mask):
    root = tmp_path / "data"
    for name in TRAIN:
        save(root / image.format(name), photograph(name))
        save(root / mask.format(name), MASKS[name])
    _, competition = found(root, tmp_path)
    check(competition)
    assert competition.questions == ()


def test_folders_that_are_links_are_followed_when_that_is_said(tmp_path):
    images(tmp_path / "elsewhere")
    indexed(tmp_path / "elsewhere")
    root = tmp_path / "data"
    root.mkdir()
    for name in ("images", "masks", "test"):
        (root / name).symlink_to(tmp_path / "elsewhere" / name)
    with pytest.raises(InputFault, match="is a link: --set data.links=followed follows it"):
        found(root, tmp_path)
    _, competition = found(root, tmp_path, **{"data.links": "followed"})
    check(competition)


def test_answers_to_the_test_images_are_no_labels(tmp_path):
    root = tmp_path / "data"
    annotated(root, "labelme")
    rows = [[f"{name}.png", label, "1 3"] for name in TEST for label in NAMES]
    write_csv(root / "solution.csv", [["image", "class", "rle"], *rows])
    _, competition = found(root, tmp_path, **{"submission.order": "rows"})
    assert competition.labels.kind == "labelme"
    assert competition.submission.sample == "sample_submission.csv"


def test_what_a_message_says_to_set_mends_it(tmp_path):
    """Two samples, two test folders, two columns, a list of classes that does not fit."""
    for name in "abcd":
        (tmp_path / name).mkdir()
    root = tmp_path / "a/data"
    images(root)
    indexed(root)
    sample(root)
    sample(root, file="old_sample.csv")
    with pytest.raises(InputFault, match="--set submission.sample=old_sample.csv"):
        found(root, tmp_path / "a")
    _, competition = found(root, tmp_path / "a", **{"submission.sample": "sample_submission.csv"})
    assert competition.submission.sample == "sample_submission.csv"

    root = tmp_path / "b/data"
    images(root)
    indexed(root)
    save(root / "test2/x.png", picture(5, SIZE))
    with pytest.raises(InputFault, match=re.escape("--set data.test_images=test/*.png")):
        found(root, tmp_path / "b")
    _, competition = found(root, tmp_path / "b", **{"data.test_images": "test/*.png"})
    assert competition.data.test_images == "test/*.png"

    root = tmp_path / "c/data"
    images(root)
    rows = [[*row, f"{n % 2}"] for n, row in enumerate(label_rows_of_both())]
    texts(root, rows=[[i, c, s, t] for i, c, t, s in rows], header=("id", "part", "side", "rle"))
    with pytest.raises(InputFault, match="--set labels.label=part"):
        found(root, tmp_path / "c")
    _, competition = found(root, tmp_path / "c", **{"labels.label": "part"})
    check(competition, classes=NAMES)

    root = tmp_path / "d/data"
    images(root)
    indexed(root)
    (root / "classes.txt").write_text("a\nb\nc\nd\ne\n")
    _, competition = found(root, tmp_path / "d", classes=list(NAMES))
    check(competition, classes=NAMES)


def test_one_class_in_each_mask_is_not_one_class(tmp_path):
    root = tmp_path / "data"
    images(root)
    for n, (name, mask) in enumerate(MASKS.items()):
        save(root / f"masks/{name}.png", (mask > 0).astype(np.uint8) * (1 + n % 2))
    _, competition = found(root, tmp_path)
    assert competition.labels.values == "index" and competition.classes == ("class-1", "class-2")


def test_the_token_for_nothing_is_the_samples_and_columns_of_images_are_no_classes(tmp_path):
    root = tmp_path / "data"
    images(root)
    rows = [[i, c, f"S{n // 8}", t] for n, (i, c, t) in enumerate(label_rows_of_both())]
    texts(root, rows=rows, header=("id", "part", "scanner", "rle"))
    sample(root, text="-")
    _, competition = found(root, tmp_path)
    check(competition, classes=NAMES)
    assert competition.labels.label == "part" and competition.submission.empty == "-"


def test_names_that_repeat_in_the_parts_of_a_download_are_told_apart_by_their_path(tmp_path):
    root = tmp_path / "data"
    for n, name in enumerate(TRAIN):
        part, number = ("val", n) if n < 4 else ("train", n - 4)
        save(root / f"{part}/images/{number}.png", photograph(name))
        save(root / f"{part}/masks/{number}.png", MASKS[name])
    for number in range(4):
        save(root / f"test/images/{number}.png", picture(number, SIZE))
    text, competition = found(root, tmp_path)
    assert "not used" not in text and "12 files for 12 of 12 images" in text
    catalog = build_catalog(competition)
    labels = read_labels(competition, catalog)
    assert catalog["image"].tolist()[0] == "train/images/0.png" and len(catalog) == 16
    np.testing.assert_array_equal(labels["val/images/3.png"].to_dense()[1], MASKS["a03"] == 2)


def test_a_csv_may_name_images_by_their_path_from_the_root(tmp_path):
    root = tmp_path / "data"
    images(root, "data/train/{}.png", "data/test/{}.png")
    rows = [
        [f"data/train/{name}.png", encode(Runs.from_dense(mask > 0), RleFormat("rows"))]
        for name, mask in MASKS.items()
    ]
    texts(root, rows=rows, header=("path", "rle"))
    sample(root, form="data/test/{}.png", classes=None, header=["path", "rle"])
    _, competition = found(root, tmp_path)
    check(competition, [(1, 2)])
    assert competition.data.image_id.pattern == ".+"


def coco_of(names):
    """A COCO file of these training or test images; what is not in MASKS has one made-up object."""
    listed, rows = [], []
    for n, name in enumerate(names):
        listed.append({"id": n, "file_name": f"{name}.png", "height": SIZE[0], "width": SIZE[1]})
        for label, outline in boxes(MASKS.get(name, MASKS[TRAIN[0]]), 1):
            points = [int(value) for point in outline for value in point]
            category = 1 + ("cytoplasm", "nucleus").index(label)
            rows.append({"id": len(rows), "image_id": n, "category_id": category, "iscrowd": 0})
            rows[-1]["segmentation"] = [points]
    named = [
        {"id": 0, "name": "cells"},
        {"id": 1, "name": "cytoplasm"},
        {"id": 2, "name": "nucleus"},
    ]
    return {"images": listed, "annotations": rows, "categories": named}


def test_coco_files_beside_the_images_of_labelled_and_test_parts(tmp_path):
    root = tmp_path / "data"
    for part, names in (("train", TRAIN[:8]), ("valid", TRAIN[8:]), ("test", TEST)):
        for name in names:
            save(root / f"{part}/{name}.png", photograph(name))
        (root / f"{part}/_annotations.coco.json").write_text(json.dumps(coco_of(names)))
    _, competition = found(root, tmp_path)
    check(competition, [(1, 2), [1]], ("cytoplasm", "nucleus"))
    assert len(of_split(build_catalog(competition), "test")) == len(TEST)


@pytest.mark.parametrize("forms", PARTS, ids=lambda one: one[0])
def test_a_test_part_with_labels_stays_a_test_part(tmp_path, forms):
    root = tmp_path / "data"
    for n, name in enumerate((*TRAIN, *TEST)):
        part = "test" if name in TEST else "val" if n % 3 == 0 else "train"
        save(root / forms[0].format(name, part=part), photograph(name))
        save(root / forms[1].format(name, part=part), MASKS.get(name, MASKS[TRAIN[0]]))
    _, competition = found(root, tmp_path)
    check(competition)
    assert len(of_split(build_catalog(competition), "test")) == len(TEST)


def test_the_parts_of_nnunet(tmp_path):
    root = tmp_path / "data"
    images(root, "imagesTr/{}_0000.png", "imagesTs/{}_0000.png")
    indexed(root, "labelsTr/{}.png")
    _, competition = found(root, tmp_path)
    check(competition)
    assert competition.data.test_images == "imagesTs/*.png"


@pytest.mark.parametrize("kinds", [("labelIds",), ("labelIds", "color", "instanceIds")])
def test_cities_of_a_training_and_a_validation_part(tmp_path, kinds):
    root = tmp_path / "data"
    for n, name in enumerate((*TRAIN, *TEST)):
        part = "test/berlin" if name in TEST else ["train/aachen", "train/ulm", "val/bonn"][n % 3]
        stem = f"{part.rpartition('/')[2]}_{name}_000019"
        save(root / f"leftImg8bit/{part}/{stem}_leftImg8bit.png", photograph(name))
        mask = MASKS.get(name, np.zeros(SIZE, np.uint8))
        pixels = {"labelIds": mask, "color": COLOURS[mask], "instanceIds": mask * np.uint16(1000)}
        for kind in kinds:
            save(root / f"gtFine/{part}/{stem}_gtFine_{kind}.png", pixels[kind])
    if len(kinds) > 1:
        with pytest.raises(InputFault, match="kinds of labels") as refused:
            found(root, tmp_path)
        said = re.search(r"labels.files=(.*labelIds.png)", str(refused.value))[1]
        _, competition = found(root, tmp_path, **{"labels.files": said})
    else:
        _, competition = found(root, tmp_path)
    check(competition)
    assert len(of_split(build_catalog(competition), "test")) == len(TEST)


@pytest.mark.parametrize("column", ["organ", "has_mask", "class"])
def test_a_column_of_the_image_is_no_class_where_the_sample_has_none(tmp_path, column):
    root = tmp_path / "data"
    images(root)
    form = RleFormat("columns")
    rows = [
        [f"{name}.png", "ab"[n % 2], encode(Runs.from_dense(mask > 0), form)]
        for n, (name, mask) in enumerate(MASKS.items())
    ]
    texts(root, rows=rows, header=("image", column, "rle"))
    sample(root, classes=None, header=["image", "rle"])
    _, competition = found(root, tmp_path)
    check(competition, [(1, 2)])


def test_a_csv_with_one_class_an_image_has_the_classes_of_the_sample(tmp_path):
    root = tmp_path / "data"
    images(root)
    form = RleFormat("columns")
    rows = [
        [f"{name}.png", NAMES[n % 2], encode(Runs.from_dense(mask == n % 2 + 1), form)]
        for n, (name, mask) in enumerate(MASKS.items())
    ]
    texts(root, rows=rows, header=("image", "class", "rle"))
    sample(root)
    _, competition = found(root, tmp_path)
    assert competition.labels.positives_only and competition.classes == NAMES
    assert read(competition)["a01"].sum(axis=(1, 2)).tolist() == [0, (MASKS["a01"] == 2).sum()]


def test_a_csv_that_cannot_be_read_is_named_where_labels_are_missed(tmp_path):
    root = tmp_path / "data"
    images(root)
    texts(root)
    path = root / "train.csv"
    path.write_text(path.read_text().replace(",", ";"))
    with pytest.raises(InputFault, match=r"train.csv is separated by semicolons; expected commas"):
        found(root, tmp_path)


def numbered(root, *, on=False):
    """Objects with their numbers, from 1 in each image or going on; returns what is inside."""
    images(root)
    inside, last = {}, 0
    for n, name in enumerate(TRAIN):
        pixels = np.zeros(SIZE, np.uint16)
        for k in range(1 + n % 4):
            last = last + 1 if on else k + 1
            pixels[2 + 5 * k : 5 + 5 * k, 3:20] = last
        inside[name] = pixels > 0
        save(root / f"masks/{name}.png", pixels)
    return inside


def test_numbers_that_go_on_are_objects_though_they_are_few(tmp_path):
    inside = numbered(tmp_path / "data", on=True)
    text, competition = found(tmp_path / "data", tmp_path)
    assert "numbers of objects" in text and competition.labels.values == "nonzero"
    for name, mask in read(competition).items():
        np.testing.assert_array_equal(mask[0], inside[name])


def test_numbers_that_begin_in_each_image_may_be_classes_or_objects(tmp_path):
    inside = numbered(tmp_path / "data")
    with pytest.raises(
        InputFault, match=r"of classes, or of objects\? say --set labels.values=index"
    ):
        found(tmp_path / "data", tmp_path)
    _, competition = found(tmp_path / "data", tmp_path, **{"labels.values": "nonzero"})
    for name, mask in read(competition).items():
        np.testing.assert_array_equal(mask[0], inside[name])
    other = tmp_path / "other"
    other.mkdir()
    _, competition = found(tmp_path / "data", other, **{"labels.values": "index"})
    assert len(competition.classes) == 4


def test_a_damaged_mask_is_named(tmp_path):
    root = tmp_path / "data"
    images(root)
    indexed(root)
    path = root / "masks/a03.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputFault, match=r"masks/a03.png"):
        found(root, tmp_path)


@pytest.mark.parametrize("kind", ["three greys in JPEG", "transparent"])
def test_masks_that_cannot_be_read_exactly_are_told_from_images(tmp_path, kind):
    root = tmp_path / "data"
    for name, small in MASKS.items():
        mask = np.kron(small, np.ones((4, 4), np.uint8))
        save(root / f"images/{name}.png", np.kron(photograph(name), np.ones((4, 4, 1), np.uint8)))
        if kind == "transparent":
            inside = (mask > 0).astype(np.uint8) * 255
            save(root / f"masks/{name}.png", np.dstack([inside] * 4))
        else:
            save(root / f"masks/{name}.jpg", np.array([0, 127, 255], np.uint8)[mask], quality=95)
    with pytest.raises(
        InputFault, match=r"masks/\*.*: named like masks, and cannot be read as such"
    ):
        found(root, tmp_path)


@pytest.mark.parametrize(
    ("image", "mask"),
    [("X/{}.png", "Y/{}.png"), ("Daten/Bilder/{}.jpg", "Daten/Masken/{}.png")],
)
def test_folders_of_any_name_are_told_apart_by_their_pixels(tmp_path, image, mask):
    root = tmp_path / "data"
    images(root, image, test=None)
    indexed(root, mask)
    _, competition = found(root, tmp_path)
    check(competition)
    assert competition.data.group == "image"


def test_signs_of_globs_in_names_mean_themselves(tmp_path):
    root = tmp_path / "data"
    images(root, "images [raw]/{}[1].png", "test [raw]/{}.png")
    indexed(root, "masks [v2]/{}[1].png")
    _, competition = found(root, tmp_path)
    check(competition)
    assert len(of_split(build_catalog(competition), "test")) == len(TEST)


def test_a_second_mask_of_an_image_is_no_image(tmp_path):
    root = tmp_path / "data"
    for n, name in enumerate(TRAIN):
        kind = ("benign", "malignant")[n % 2]
        save(root / f"{kind}/{kind} ({name}).png", photograph(name))
        save(root / f"{kind}/{kind} ({name})_mask.png", (MASKS[name] == 2) * np.uint8(255))
        if n == 3:
            save(root / f"{kind}/{kind} ({name})_mask_1.png", (MASKS[name] == 1) * np.uint8(255))
    _, competition = found(root, tmp_path)
    planes = read(competition)
    assert len(planes) == len(TRAIN) and "positives_only" not in str(competition.questions)
    np.testing.assert_array_equal(planes["a03"][0], MASKS["a03"] > 0)
    np.testing.assert_array_equal(planes["a02"][0], MASKS["a02"] == 2)


def test_a_csv_that_was_used_is_not_called_unused(tmp_path):
    root = tmp_path / "data"
    images(root)
    coloured(root)
    named = zip(("background", *NAMES), COLOURS.tolist(), strict=True)
    write_csv(
        root / "class_dict.csv", [["name", "r", "g", "b"], *([n, *map(str, c)] for n, c in named)]
    )
    write_csv(root / "who.csv", [["image", "patient"], *([f"{n}.png", n[:2]] for n in TRAIN)])
    for name in ("other.csv", "ho.csv"):  # its name stands in that of who.csv
        write_csv(root / name, [["a"], ["1"]])
    text, competition = found(root, tmp_path)
    assert competition.data.group.file == "who.csv"
    assert re.findall("not used: (.*)", text) == ["ho.csv", "other.csv"]


def test_few_folders_may_be_kinds_and_no_groups(tmp_path):
    root = tmp_path / "data"
    for n, name in enumerate(TRAIN):
        kind = ("benign", "malignant", "normal")[n % 3]
        save(root / f"images/{kind}/{name}.png", photograph(name))
        save(root / f"masks/{kind}/{name}.png", MASKS[name])
    text, competition = found(root, tmp_path)
    check(competition)
    assert "group in [data] is open; write 'folder' or 'image'" in competition.questions[0]
    assert "3 folders of images" in text


@pytest.mark.parametrize("rows", [24, 19, 18])
def test_a_csv_that_ends_before_the_images_may_be_cut(tmp_path, rows):
    root = tmp_path / "data"
    images(root)
    path = texts(root)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[: 1 + rows]))
    sample(root)
    text, competition = found(root, tmp_path)
    cut = [one for one in competition.questions if "positives_only in [labels] is open" in one]
    assert len(cut) == (rows < 24) and ("or is it cut" in text) == (rows < 24)


@pytest.mark.parametrize(
    ("forms", "tests"),
    [
        (("Train_images/{}.png", "Train_masks/{}.png"), 4),
        (("all/train_{}.bmp", "all/train_{}_anno.bmp"), 4),
        (("all/image_{}.png", "all/mask_{}.png"), 0),
        (("labeled/images/{}.png", "labeled/masks/{}.png"), 0),
    ],
)
def test_words_that_files_begin_with_tell_their_parts(tmp_path, forms, tests):
    root = tmp_path / "data"
    for n, name in enumerate(TRAIN):
        for form, pixels in zip(forms, (photograph(name), MASKS[name]), strict=True):
            part = "Val" if n % 3 == 0 else "Train"
            save(root / form.format(name).replace("Train", part), pixels)
    other = {"Train": "Test", "train": "testA", "labeled": "unlabeled"}
    for name in TEST:
        path = re.sub("Train|train|labeled", lambda word: other[word[0]], forms[0])
        if path != forms[0]:
            save(root / path.format(name), photograph(name))
        if "anno" in forms[1]:
            save(root / f"all/testA_{name}_anno.bmp", MASKS[TRAIN[0]])
    _, competition = found(root, tmp_path)
    check(competition)
    assert len(of_split(build_catalog(competition), "test")) == tests
    assert "positives_only" not in str(competition.questions)


def test_class_names_may_hold_the_separator(tmp_path):
    root = tmp_path / "data"
    images(root, "train/{}_x.jpg", "test/{}_x.jpg")
    named = {"large_bowel": 1, "stomach": 2}
    form = RleFormat("columns")
    rows = [
        [f"{name}_x.jpg_{label}", encode(Runs.from_dense(mask == value), form)]
        for name, mask in MASKS.items()
        for label, value in named.items()
    ]
    texts(root, rows=rows, header=("Image_Label", "EncodedPixels"))
    rows = [[f"{name}_x.jpg_{label}", ""] for name in TEST for label in named]
    write_csv(root / "sample_submission.csv", [["Image_Label", "EncodedPixels"], *rows])
    _, competition = found(root, tmp_path)
    check(competition, classes=tuple(named))


def test_an_annotation_file_that_names_other_images_is_told(tmp_path):
    root = tmp_path / "data"
    images(root)
    content = coco_of(TRAIN)
    for one in content["images"]:
        one["file_name"] = "0a1b-" + one["file_name"]
    (root / "export.json").write_text(json.dumps(content))
    with pytest.raises(InputFault, match=r"export.json: coco, and names .* such as '0a1b-a00.png'"):
        found(root, tmp_path)


# Channels and values


def arrays(root, change):
    """Images as arrays, masks as PNG."""
    for part, names in (("images", TRAIN), ("test", TEST)):
        (root / part).mkdir(parents=True, exist_ok=True)
        for name in names:
            np.save(root / f"{part}/{name}.npy", change(photograph(name)))
    indexed(root)


def test_images_of_five_channels_are_found_to_have_five(tmp_path):
    root = tmp_path / "data"
    arrays(root, lambda pixels: np.concatenate([pixels, pixels[..., :2]], axis=2))
    text, competition = found(root, tmp_path)
    assert competition.data.channels == 5 and "each image has 5 channels" in text
    check(competition)


def test_what_is_black_and_white_of_decimals_is_a_question_with_what_was_met(tmp_path):
    root = tmp_path / "data"
    arrays(root, lambda pixels: pixels.astype(np.float32) * 2 - 100)
    _, competition = found(root, tmp_path)
    (question,) = (one for one in competition.questions if "range" in one)
    low, high = competition.data.range[0]
    shown = [photograph(name).astype(np.float32) * 2 - 100 for name in TRAIN]
    assert (low, high) == (min(one.min() for one in shown), max(one.max() for one in shown))
    assert "range in [data] is open; write" in question
    target = tmp_path / "competition.toml"
    target.unlink()
    _, said = found(root, tmp_path, **{"data.range": [0, 300]})
    assert said.data.range == ((0, 300),) and not any("range" in one for one in said.questions)


@pytest.mark.parametrize("change", ["grey", "colours", "opaque", "shares"])
def test_what_needs_no_key_gets_none(tmp_path, change):
    root = tmp_path / "data"
    if change == "opaque":
        images(root)
        indexed(root)
        for path in [*root.glob("images/*"), *root.glob("test/*")]:
            Image.open(path).convert("RGBA").save(path)
    else:
        ways = {
            "grey": lambda pixels: pixels[..., 0],
            "colours": lambda pixels: pixels,
            "shares": lambda pixels: pixels / np.float32(255),
        }
        arrays(root, ways[change])
    found(root, tmp_path)
    text = (tmp_path / "competition.toml").read_text()
    assert "channels" not in text and "range" not in text
