"""Readers of annotation tools: YOLO, labelme, Supervisely, CVAT, Label Studio."""

import base64
import io
import json
import zlib
from itertools import pairwise

import cv2
import numpy as np
import pytest
from downloads import CELLS, cells, parsed
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from competition.data.catalog import build_catalog
from competition.data.labels import label_files, read_labels
from competition.data.readers import label_studio
from competition.doctor import examine
from competition.errors import InputFault
from competition.masks import Runs
from competition.project import Project
from competition.steps.folds import make_split
from competition.workspace import Workspace

SIZE = (20, 30)
COUNT = 4


def ring(number, k):
    """[x, y] of a polygon with twelve vertices, mostly in the image, for each image and class."""
    random = np.random.default_rng([number, k])
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    radius = random.uniform(3, 7) * random.uniform(0.7, 1.2, 12)
    x, y = random.uniform(6, 24), random.uniform(6, 14)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1).round(3).tolist()


def inside(points):
    """bool (20, 30): pixels whose centres a polygon encloses, by the crossings to their right."""
    found = np.zeros(SIZE, bool)
    for row, column in np.ndindex(SIZE):
        y, x = row + 0.5, column + 0.5
        for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
            if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
                found[row, column] ^= True
    return found


def filled(points):
    """bool (20, 30): what cv2 draws of the pixels that the vertices lie in."""
    canvas = np.zeros(SIZE, np.uint8)
    cv2.fillPoly(canvas, [np.floor(points).astype(np.int32)], 1)
    return canvas > 0


def png(mask, mode="L"):
    values = Image.fromarray(mask.astype(np.uint8) * 255)
    if mode == "P":
        values = Image.fromarray(mask.astype(np.uint8), "P")
        values.putpalette([0, 0, 0, 255, 255, 255])
    if mode == "RGBA":
        values = Image.merge("RGBA", [Image.new("L", values.size, 255)] * 3 + [values])
    file = io.BytesIO()
    values.save(file, "PNG", **({"transparency": 0} if mode == "P" else {}))
    return file.getvalue()


def packed(values, *, width=8, sizes=(3, 4, 8, 16)):
    """Bytes of Label Studio's brush: blocks of one value, and of values as they are."""
    bits = [f"{len(values):032b}{width - 1:05b}", *(f"{size - 1:04b}" for size in sizes)]
    edges = np.flatnonzero(np.diff(values, prepend=-1)).tolist() + [len(values)]
    runs = [(values[a], b - a) for a, b in pairwise(edges)]
    while runs:
        single = []
        while runs and runs[0][1] == 1 and len(single) < 8:
            single.append(runs.pop(0)[0])
        if single:
            bits.append(f"0{0:02b}{len(single) - 1:0{sizes[0]}b}")
            bits += [f"{value:0{width}b}" for value in single]
            continue
        value, length = runs.pop(0)
        which = next(i for i, size in enumerate(sizes) if length <= 2**size or i == 3)
        part = min(length, 2 ** sizes[which])
        bits.append(f"1{which:02b}{part - 1:0{sizes[which]}b}{value:0{width}b}")
        if part < length:
            runs.insert(0, (value, length - part))
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def brush(mask):
    channels = np.stack([mask * 30, mask * 60, mask * 90, mask * 255], -1)
    return packed(channels.reshape(-1).astype(int).tolist())


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


# What each tool writes of polygons, and of masks where it has any


def yolo(root, shapes):
    for image, own in shapes.items():
        lines = [
            " ".join(map(str, [CELLS.index(name), *(np.array(points) / [30, 20]).ravel()]))
            for name, points in own
        ]
        write(root / f"labels/{image}.txt", "\n".join(lines) + "\n")
    return {"kind": "yolo", "files": "labels/{stem}.txt"}


def labelme(root, shapes):
    for image, own in shapes.items():
        table = {"version": "5.5.0", "flags": {}, "imageHeight": 20, "imageWidth": 30}
        table["shapes"] = [
            {"label": name, "points": points, "shape_type": "polygon"} for name, points in own
        ]
        write(root / f"json/{image}.json", table)
    return {"kind": "labelme", "files": "json/{stem}.json"}


def supervisely(root, shapes):
    for image, own in shapes.items():
        objects = [
            {
                "classTitle": name,
                "geometryType": "polygon",
                "points": {"exterior": points, "interior": []},
            }
            for name, points in own
        ]
        table = {"size": {"height": 20, "width": 30}, "tags": [], "objects": objects}
        write(root / f"ds/ann/{image}.png.json", table)
    return {"kind": "supervisely", "files": "ds/ann/{stem}.png.json"}


def cvat(root, shapes):
    images = []
    for number, (image, own) in enumerate(shapes.items()):
        lines = [
            f'<polygon label="{name}" occluded="0" z_order="0" points="'
            f'{";".join(f"{x},{y}" for x, y in points)}"><attribute name="a">b</attribute></polygon>'
            for name, points in own
        ]
        size = 'width="30" height="20"'
        images.append(f'<image id="{number}" name="{image}.png" {size}>{"".join(lines)}</image>')
    write(root / "annotations.xml", cvat_xml("".join(images)))
    return {"kind": "cvat", "files": "annotations.xml"}


def cvat_xml(images):
    head = "<version>1.1</version><meta><task><name>t</name></task></meta>"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{head}{images}</annotations>'


def task(image, results, *, name="/data/upload/1/0a1b2c3d-{}.png"):
    annotation = {"id": 1, "was_cancelled": False, "result": results}
    return {"id": 5, "annotations": [annotation], "data": {"image": name.format(image)}}


def region(kind, name, **value):
    size = {"original_height": 20, "original_width": 30, "image_rotation": 0}
    return {"type": kind, **size, "value": {kind: [name], **value}}


def studio(root, shapes):
    tasks = [
        task(
            image,
            [
                region("polygonlabels", name, points=(np.array(p) / [0.3, 0.2]).tolist())
                for name, p in own
            ],
        )
        for image, own in shapes.items()
    ]
    write(root / "export.json", tasks)
    return {"kind": "label-studio", "files": "export.json"}


TOOLS = [yolo, labelme, supervisely, cvat, studio]
EDGES = [yolo, cvat, studio]
ENDS = {"labelme": "0001.json", "supervisely": "0001.png.json", "yolo": "0001.txt"}


def shapes_of(count=COUNT):
    """image → (class, polygon) of each class, the second image without any."""
    return {
        f"{n:04}": [(name, ring(n, k)) for k, name in enumerate(CELLS) if n != 1]
        for n in range(count)
    }


def made(tool, root, shapes=None, **labels):
    return cells(root, {**tool(root, shapes_of() if shapes is None else shapes), **labels})


def labels_of(competition):
    return read_labels(competition, build_catalog(competition))


def fault_of(competition) -> str:
    with pytest.raises(InputFault) as caught:
        labels_of(competition)
    return str(caught.value)


def dense_of(shapes, raster):
    found = np.zeros((2, *SIZE), bool)
    for name, points in shapes:
        found[CELLS.index(name)] |= raster(points)
    return found


# All of them


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("coordinates", [None, "edges", "centres"])
def test_polygons_are_the_pixels_that_a_plain_raster_gives(tmp_path, tool, coordinates):
    chosen = {"coordinates": coordinates} if coordinates else {}
    competition = made(tool, tmp_path, **chosen)
    labels, shapes = labels_of(competition), shapes_of()
    assert list(labels) == list(shapes)
    edges = coordinates == "edges" or (coordinates is None and tool in EDGES)
    halves = tool in EDGES  # of tools whose vertices are no pixels, cv2 takes the nearest
    raster = inside if edges else (lambda p: filled(np.array(p) + 0.5 * halves))
    for image, own in shapes.items():
        assert np.array_equal(labels[image].to_dense(), dense_of(own, raster))
        assert not len(labels.ignored[image])


@pytest.mark.parametrize("tool", TOOLS)
def test_shapes_of_a_class_are_united_each_filled_alone(tmp_path, tool):
    own = [(CELLS[0], ring(0, 0)), (CELLS[0], ring(0, 0)), (CELLS[0], ring(7, 7))]
    competition = made(tool, tmp_path, {f"{n:04}": own for n in range(COUNT)}, coordinates="edges")
    assert np.array_equal(labels_of(competition)["0002"].to_dense(), dense_of(own, inside))


@pytest.mark.parametrize("tool", TOOLS[1:])
def test_shapes_of_ignored_names_do_not_count(tmp_path, tool):
    shapes = {image: [*own, ("void", ring(8, 8))] for image, own in shapes_of().items()}
    competition = made(tool, tmp_path, shapes, coordinates="edges", ignore=["void"])
    labels, void = labels_of(competition), inside(ring(8, 8))
    for image, own in shapes_of().items():
        assert np.array_equal(labels[image].to_dense(), dense_of(own, inside) & ~void)
        assert np.array_equal(labels.ignored[image].to_dense()[0], void)


@pytest.mark.parametrize("tool", TOOLS[1:])
def test_the_doctor_tells_ignored_names_that_are_nowhere(tmp_path, tool):
    shapes = {image: [*own, ("void", ring(8, 8))] for image, own in shapes_of().items()}
    competition = made(tool, tmp_path, shapes, ignore=["void", "doubt"])
    report = examine(competition, Workspace(tmp_path / "workspace", "salt"))
    found = [one.text for one in report.doubtful if one.kind == "ignored pixels"]
    assert found == ["ignore in [labels] names 'doubt', which no label has"]


@pytest.mark.parametrize("tool", TOOLS[1:])
def test_names_that_are_no_class_are_named_with_the_nearest(tmp_path, tool):
    shapes = shapes_of() | {"0001": [("nucleos", ring(1, 1))]}
    fault = fault_of(made(tool, tmp_path, shapes))
    assert "no class 'nucleos'; did you mean 'nucleus'?" in fault and "0001" in fault


@pytest.mark.parametrize("tool", TOOLS)
def test_polygons_drawn_on_another_size_are_told(tmp_path, tool):
    far = [[25, 15], [40, 15], [40, 28], [25, 28]]
    fault = fault_of(made(tool, tmp_path, shapes_of() | {"0001": [(CELLS[0], far)]}))
    assert "was it drawn on another size?" in fault and "0001" in fault


@pytest.mark.parametrize("tool", TOOLS)
def test_missing_and_left_over_labels_are_both_listed(tmp_path, tool):
    shapes = shapes_of()
    shapes["0007"] = shapes.pop("0002")
    fault = fault_of(made(tool, tmp_path, shapes))
    assert "0002" in fault and "0007" in fault and "no training image" in fault
    assert "does not exist" in fault or "is not listed in" in fault


@pytest.mark.parametrize("tool", TOOLS)
def test_a_file_that_is_cut_or_gone_is_named(tmp_path, tool):
    competition = made(tool, tmp_path)
    files = label_files(competition, build_catalog(competition))
    assert all(path.is_file() for path in files) and len(files) in (1, COUNT)
    if tool is not yolo:  # a text that ends early is a text
        whole = files[0].read_text()
        files[0].write_text(whole[: len(whole) * 2 // 3])
        fault = fault_of(competition)
        assert files[0].name in fault and "is not whole" in fault
    files[0].unlink()
    fault = fault_of(competition)
    assert files[0].name in fault and "does not exist" in fault


@pytest.mark.parametrize("tool", TOOLS)
def test_the_doctor_and_the_folds_read_it(tmp_path, tool):
    competition = made(tool, tmp_path)
    report = examine(competition, Workspace(tmp_path / "workspace", "salt"))
    place = "class value 1" if tool is yolo else "class 2"
    assert report.errors == () and CELLS[1] in dict(report.found)[place]
    project = Project(competition, tmp_path / "workspace")
    make_split(project)
    assert sorted(project.folds["image"]) == ["0000", "0001", "0002", "0003"]


@pytest.mark.parametrize("tool", [labelme, supervisely, cvat, studio])
def test_sizes_that_are_not_the_images_are_told(tmp_path, tool):
    competition = made(tool, tmp_path)
    (path,) = label_files(competition, build_catalog(competition))[:1]
    text = path.read_text()
    for key, old in {'"imageHeight": ': 20, '"height": ': 20, 'height="': 20}.items():
        text = text.replace(f"{key}{old}", f"{key}40")
    text = text.replace('"original_height": 20', '"original_height": 40')
    path.write_text(text)
    fault = fault_of(competition)
    assert "40 × 30" in fault and "20 × 30" in fault.replace("20 \n× 30", "20 × 30")


# YOLO


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 .5 .5 .2 .2", "five numbers are a box; masks are needed"),
        ("0 .5 .5 .2 .2 .3", "6 numbers; expected the class, and x and y"),
        ("0 .5 .5", "3 numbers"),
        ("2 .1 .1 .2 .1 .2 .2", "class '2'; expected 0 to 1, a place in ['nucleus'"),
        ("-1 .1 .1 .2 .1 .2 .2", "class '-1'"),
        ("nucleus .1 .1 .2 .1 .2 .2", "class 'nucleus'"),
        ("0 .1 .1 .2 .1 .2 x", "'x' is no share of the image's size"),
        ("0 .1 .1 .2 .1 .2 nan", "'nan' is no share"),
        ("0 11 .1 .2 .1 .2 .2", "'11' is no share"),
    ],
)
def test_a_line_of_yolo_that_is_no_polygon_is_named(tmp_path, line, message):
    competition = made(yolo, tmp_path)
    path = tmp_path / "labels/0002.txt"
    path.write_text("\n" + line + "\n")
    fault = fault_of(competition)
    assert "0002.txt line 2: " in fault and message in fault


def test_the_list_of_names_beside_yolo_labels_must_be_the_classes(tmp_path):
    competition = made(yolo, tmp_path)
    for path in ("labels/classes.txt", "classes.txt"):
        (tmp_path / path).write_text("nucleus\ncytoplasm\n")
        labels_of(competition)
        (tmp_path / path).write_text("cytoplasm\nnucleus\n")
        fault = fault_of(competition)
        assert "classes.txt lists ['cytoplasm', 'nucleus']; the numbers of classes go by" in fault
        (tmp_path / path).unlink()


def test_an_image_of_yolo_without_a_file_may_hold_nothing(tmp_path):
    competition = made(yolo, tmp_path, positives_only=True)
    (tmp_path / "labels/0002.txt").unlink()
    labels = labels_of(competition)
    assert labels["0002"] == Runs.empty((2, *SIZE)) and len(labels["0000"])
    files = label_files(competition, build_catalog(competition))
    assert [path.name for path in files] == ["0000.txt", "0001.txt", "0003.txt"]


# labelme


def labelme_of(root, *shapes, **labels):
    competition = made(labelme, root, **labels)
    path = root / "json/0002.json"
    table = json.loads(path.read_text())
    table["shapes"] = [{"label": CELLS[0], **shape} for shape in shapes]
    path.write_text(json.dumps(table))
    return competition


@pytest.mark.parametrize("coordinates", ["edges", "centres"])
def test_rectangles_and_circles_of_labelme_have_pixels(tmp_path, coordinates):
    shapes = (
        {"shape_type": "rectangle", "points": [[3.2, 2.1], [8.7, 5.9]]},
        {"shape_type": "circle", "points": [[20.3, 10.2], [24.3, 13.2]]},
    )
    found = labels_of(labelme_of(tmp_path, *shapes, coordinates=coordinates))["0002"][0]
    middle = 0.5 if coordinates == "edges" else 0
    y, x = np.mgrid[:20, :30] + middle
    expected = (x - 20.3) ** 2 + (y - 10.2) ** 2 <= 25
    if coordinates == "edges":
        expected |= (x > 3.2) & (x < 8.7) & (y > 2.1) & (y < 5.9)
    else:
        expected[2:6, 3:9] = True
    assert np.array_equal(found.to_dense(), expected)


def test_circles_of_labelme_end_with_the_image(tmp_path):
    circle = {"shape_type": "circle", "points": [[1, 1], [1, 400]]}
    assert labels_of(labelme_of(tmp_path, circle))["0002"].area().tolist() == [600, 0]


def test_masks_of_labelme_lie_between_their_points(tmp_path):
    mask = np.random.default_rng(0).random((5, 7)) < 0.5
    shape = {"shape_type": "mask", "points": [[10.0, 4.0], [16.0, 8.0]]}
    shape["mask"] = base64.b64encode(png(mask)).decode()
    expected = np.zeros(SIZE, bool)
    expected[4:9, 10:17] = mask
    found = labels_of(labelme_of(tmp_path, shape))["0002"]
    assert np.array_equal(found.to_dense()[0], expected)


WHOLE = base64.b64encode(png(np.ones((5, 7), bool))).decode()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"shape_type": "line", "points": [[1, 1], [2, 2]]}, "a line has no pixels; expected one"),
        ({"shape_type": "point", "points": [[1, 1]]}, "a point has no pixels"),
        ({"points": [["a", 1]]}, "polygon 0"),
        ({"points": 3}, "polygon 0"),
        ({"shape_type": "rectangle", "points": [[1, 1]]}, "a rectangle of points [[1, 1]]; ex"),
        ({"shape_type": "circle", "points": None}, "a circle of points None; expected two"),
        ({"label": 3, "points": []}, "no class 3"),
        ({"shape_type": "mask", "points": [[0, 0], [6, 4]]}, "is no base64 text"),
        ({"shape_type": "mask", "points": [[0, 0], [6, 4]], "mask": "é"}, "is no base64 text"),
        ({"shape_type": "mask", "points": [[0, 0], [6, 4]], "mask": "aGk="}, "cannot be read"),
        (
            {"shape_type": "mask", "points": [[0, 0], [6, 5]], "mask": WHOLE},
            "its mask has 5 × 7 pixels (height × width), and its points stand for 6 × 7",
        ),
        (
            {"shape_type": "mask", "points": [[24, 0], [30, 4]], "mask": WHOLE},
            "does not lie in its image of 20 × 30",
        ),
        ({"points": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]}, "all polygons lie within 0 to 1"),
    ],
)
def test_a_shape_of_labelme_that_has_no_pixels_is_named(tmp_path, shape, message):
    fault = fault_of(labelme_of(tmp_path, shape))
    assert "0002.json" in fault and message in fault


def test_json_that_is_not_labelmes_is_named(tmp_path):
    competition = made(labelme, tmp_path)
    write(tmp_path / "json/0000.json", {"objects": []})
    write(tmp_path / "json/0001.json", {"shapes": [3]})
    fault = fault_of(competition)
    assert '0000.json has no list "shapes"; expected {"shapes": [...]}' in fault
    assert "0001.json shape 0: expected an object, found 3" in fault


# Supervisely


def supervisely_of(root, *objects, **labels):
    competition = made(supervisely, root, **labels)
    path = root / "ds/ann/0002.png.json"
    table = json.loads(path.read_text())
    table["objects"] = [{"classTitle": CELLS[0], **one} for one in objects]
    path.write_text(json.dumps(table))
    return competition


@pytest.mark.parametrize("coordinates", ["edges", "centres"])
def test_holes_of_supervisely_are_cut_out(tmp_path, coordinates):
    outer, inner = [[2, 2], [20, 2], [20, 14], [2, 14]], [[5, 5], [9, 5], [9, 8], [5, 8]]
    one = {"geometryType": "polygon", "points": {"exterior": outer, "interior": [inner]}}
    found = labels_of(supervisely_of(tmp_path, one, coordinates=coordinates))["0002"][0]
    raster = inside if coordinates == "edges" else filled
    assert np.array_equal(found.to_dense(), raster(outer) & ~raster(inner))


def bitmap(mask, mode="L", origin=(11, 6)):
    data = base64.b64encode(zlib.compress(png(mask, mode))).decode()
    return {"geometryType": "bitmap", "bitmap": {"data": data, "origin": list(origin)}}


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_bitmaps_of_supervisely_lie_at_their_origin(tmp_path, mode):
    mask = np.random.default_rng(1).random((9, 8)) < 0.5
    expected = np.zeros(SIZE, bool)
    expected[6:15, 11:19] = mask
    found = labels_of(supervisely_of(tmp_path, bitmap(mask, mode)))["0002"]
    assert np.array_equal(found.to_dense()[0], expected)


FULL = np.ones((5, 7), bool)


@pytest.mark.parametrize(
    ("one", "message"),
    [
        ({"geometryType": "rectangle", "points": {}}, "a rectangle is no mask"),
        ({"geometryType": "polygon", "points": [[1, 1]]}, 'expected "exterior" and "interior"'),
        ({"geometryType": "polygon", "points": {"exterior": [[1, "a"]]}}, "polygon 0"),
        ({"geometryType": "bitmap"}, 'bitmap None; expected "data" and "origin"'),
        ({"geometryType": "bitmap", "bitmap": {"data": "", "origin": [1]}}, 'expected "data" and'),
        ({"geometryType": "bitmap", "bitmap": {"data": "aGk=", "origin": [0, 0]}}, "no deflated"),
        ({"geometryType": "bitmap", "bitmap": {"data": "é", "origin": [0, 0]}}, "no deflated"),
        (bitmap(FULL, origin=(24, 0)), "does not lie in its image of 20 × 30"),
        (bitmap(FULL, origin=(0, -1)), "does not lie in its image"),
        (bitmap(np.ones((21, 7), bool)), "its PNG of 21 × 7 (height × width) is larger than"),
        (bitmap(np.ones((5, 31), bool)), "its PNG of 5 × 31 (height × width) is larger than"),
        ({"classTitle": None, "geometryType": "bitmap"}, "no class None"),
    ],
)
def test_an_object_of_supervisely_that_is_no_mask_is_named(tmp_path, one, message):
    fault = fault_of(supervisely_of(tmp_path, one))
    assert "0002.png.json object 0" in fault and message in fault


def test_a_bitmap_that_was_cut_or_changed_is_refused(tmp_path):
    content = png(FULL)
    for damaged in (content[:-20], content[:40] + bytes([content[40] ^ 1]) + content[41:]):
        data = base64.b64encode(zlib.compress(damaged)).decode()
        one = {"geometryType": "bitmap", "bitmap": {"data": data, "origin": [0, 0]}}
        assert "its PNG cannot be read: " in fault_of(supervisely_of(tmp_path, one))


# CVAT


def cvat_of(root, inner, **labels):
    competition = made(cvat, root, **labels)
    images = "".join(
        f'<image id="{n}" name="{n:04}.png" width="30" height="20">{inner if n == 2 else ""}</image>'
        for n in range(COUNT)
    )
    write(root / "annotations.xml", cvat_xml(images))
    return competition


def test_masks_of_cvat_are_counts_along_rows_of_their_box(tmp_path):
    mask = np.zeros((3, 4), bool)
    mask[0, 1:], mask[1, 0], mask[2, 3] = True, True, True
    inner = (
        '<mask label="nucleus" rle="1, 4, 6, 1" left="11" top="5" width="4" height="3"/>'
        '<mask label="cytoplasm" rle="0, 6" left="28" top="17" width="2" height="3"/>'
        '<tag label="blurred"/>'
    )
    found = labels_of(cvat_of(tmp_path, inner))["0002"].to_dense()
    expected = np.zeros((2, *SIZE), bool)
    expected[0, 5:8, 11:15], expected[1, 17:, 28:] = mask, True
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ('<box label="nucleus" xtl="1" ytl="1" xbr="5" ybr="5"/>', "a box is no mask; expected po"),
        ('<polyline label="nucleus" points="1,1;2,2"/>', "a polyline is no mask"),
        ('<polygon label="nucleus" points="1,1;2"/>', "polygon 0"),
        ('<polygon label="nucleus" points="1,1;2,b"/>', "points are not x,y;x,y;…"),
        ('<polygon label="nucleus"/>', "points are not x,y;x,y;…"),
        ('<polygon label="nucleus" points="1,1;2,nan;3,3"/>', "polygon 0"),
        ('<mask label="nucleus" rle="3" left="1" top="1" width="2" height="2"/>', "add up to 3"),
        ('<mask label="nucleus" rle="a" left="1" top="1" width="2" height="2"/>', "rle: "),
        ('<mask label="nucleus" rle="4" top="1" width="2" height="2"/>', "left None; expected a w"),
        (
            '<mask label="nucleus" rle="0,4" left="29" top="1" width="2" height="2"/>',
            "does not lie in its image of 20 × 30",
        ),
        ('<polygon points="1,1;9,1;9,9"/>', "no class None"),
    ],
)
def test_a_shape_of_cvat_that_is_no_mask_is_named(tmp_path, inner, message):
    fault = fault_of(cvat_of(tmp_path, inner))
    assert "annotations.xml image '0002.png'" in fault and message in fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation/>", "is <annotation>; expected CVAT's <annotations>"),
        ("<annotations><track/></annotations>", 'export it as "CVAT for images 1.1"'),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "declares a document type"),
        ('<annotations><image id="3"/></annotations>', "image 3: no name"),
        ('<annotations><image name="0000.png" width="30"/></annotations>', "height None; expected"),
    ],
)
def test_xml_that_is_not_cvats_is_named(tmp_path, text, message):
    competition = made(cvat, tmp_path)
    (tmp_path / "annotations.xml").write_text(text)
    fault = fault_of(competition)
    assert "annotations.xml" in fault and message in fault


# Label Studio


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0, 0.02, 0.3, 0.9, 1]))
def test_a_brush_gives_its_mask_back(seed, share):
    random = np.random.default_rng(seed)
    size = tuple(random.integers(1, 12, 2).tolist())
    mask = random.random(size) < share
    assert label_studio._brush(brush(mask), size, "x") == Runs.from_dense(mask)


def test_a_brush_worked_out_by_hand():
    """Two pixels, the second inside: a block of seven times 0, and one of 255 as it is."""
    header = f"{8:032b}" + f"{7:05b}" + "0010" + "0011" + "0111" + "1111"
    repeated, single = "1" + "00" + "110" + "00000000", "0" + "00" + "000" + "11111111"
    bits = header + repeated + single
    bits += "0" * (-len(bits) % 8)
    rle = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    assert label_studio._brush(rle, (1, 2), "x").to_dense().tolist() == [[False, True]]
    assert packed([0] * 7 + [255]) == rle


def studio_of(root, *results, tasks=None, **labels):
    competition = made(studio, root, **labels)
    if tasks is None:
        tasks = [task(f"{n:04}", list(results) if n == 2 else []) for n in range(COUNT)]
    write(root / "export.json", tasks)
    return competition


def test_brushes_and_polygons_of_label_studio_are_read_together(tmp_path):
    mask = np.random.default_rng(3).random(SIZE) < 0.4
    results = [
        region("brushlabels", "nucleus", format="rle", rle=brush(mask)),
        {"type": "choices", "value": {"choices": ["good"]}},
        {"type": "relation", "direction": "right"},
        region("polygonlabels", "cytoplasm", points=[[10, 10], [50, 10], [50, 60], [10, 60]]),
    ]
    found = labels_of(studio_of(tmp_path, *results))["0002"].to_dense()
    assert np.array_equal(found[0], mask)
    assert np.array_equal(found[1], inside([[3, 2], [15, 2], [15, 12], [3, 12]]))


@pytest.mark.parametrize(
    "name",
    [
        "{}.png",
        "/data/upload/12/0a1b2c3d-{}.png",
        "/data/local-files/?d=train/images/{}.png",
        "s3://bucket/a/{}.png",
        "https://host/x/{}.png?token=3#a",
        "C:\\pictures\\{}.png",
    ],
)
def test_images_of_tasks_are_known_by_their_names(tmp_path, name):
    square = region("polygonlabels", "nucleus", points=[[0, 0], [50, 0], [50, 50], [0, 50]])
    tasks = [task(f"{n:04}", [square] if n == 2 else [], name=name) for n in range(COUNT)]
    for one in tasks:
        one["data"] |= {"title": "[a text", "number": 3}
    labels = labels_of(studio_of(tmp_path, tasks=tasks))
    assert labels["0002"].area().tolist() == [150, 0] and not len(labels["0001"])


BRUSH = brush(np.ones(SIZE, int))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (region("rectanglelabels", "nucleus", x=1, y=1, width=5), "rectanglelabels are no masks"),
        (region("polygonlabels", "nucleus", points=[[1, "a"]]), "points [[1, 'a']]; expected"),
        (region("polygonlabels", "nucleus", points=[]), "points []; expected"),
        (region("polygonlabels", "nucleus", points=[[1e9, 1]]), "polygon 0"),
        (region("polygonlabels", "nucleus", points=[]) | {"image_rotation": 90}, "by 90 degrees"),
        (region("polygonlabels", "cell", points=[[1, 1]]), "no class 'cell'"),
        (
            {**region("polygonlabels", "nucleus"), "value": {"points": [], "polygonlabels": []}},
            "labels []; expected one",
        ),
        (region("brushlabels", "nucleus", rle="x"), "expected a list of bytes"),
        (region("brushlabels", "nucleus", rle=[1, 256]), "expected a list of bytes"),
        (region("brushlabels", "nucleus", rle=[0, 0, 9]), "ends after 3 bytes"),
        (region("brushlabels", "nucleus", rle=BRUSH[:20]), "ends after 20 bytes"),
        (region("brushlabels", "nucleus", rle=packed([0] * 7)), "is of 7 values; 2400 are"),
    ],
)
def test_a_result_of_label_studio_that_is_no_mask_is_named(tmp_path, result, message):
    fault = fault_of(studio_of(tmp_path, result))
    assert "export.json task 2 (0002.png), result 0: " in fault and message in fault


def test_blocks_that_go_on_after_the_image_are_refused():
    header = f"{8:032b}" + f"{7:05b}" + "0011" * 4
    bits = header + "1" + "00" + "1111" + "0" * 16
    bits += "0" * (-len(bits) % 8)
    rle = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    with pytest.raises(InputFault, match="goes on after its 8 values"):
        label_studio._brush(rle, (1, 2), "x")


def test_a_task_has_one_annotation_that_was_submitted(tmp_path):
    tasks = [task(f"{n:04}", []) for n in range(COUNT)]
    tasks[0]["annotations"] = []
    tasks[1]["annotations"] *= 2
    skipped = {"was_cancelled": True, "result": [region("polygonlabels", "nucleus", points=[])]}
    tasks[2]["annotations"].append(skipped)
    competition = studio_of(tmp_path, tasks=tasks)
    fault = fault_of(competition)
    assert "task 0 (0000.png): 0 annotations; expected one" in fault
    assert "task 1 (0001.png): 2 annotations; expected one" in fault
    assert "task 2" not in fault
    table = competition.model_dump(exclude={"folder"})
    table["data"]["exclude"] = ["0000", "0001"]
    assert list(labels_of(parsed(table, tmp_path))) == ["0002", "0003"]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"tasks": []}, 'is no list of tasks; export it as "JSON"'),
        ([{"image": "0000.png", "label": []}], 'task 0 has no list "annotations"; export it as'),
        ([{"annotations": [], "data": {"text": "a"}}], "task 0: 0 images in its data"),
        ([{"annotations": [], "data": {"a": "0.png", "b": "1.png"}}], "task 0: 2 images in its"),
    ],
)
def test_json_that_is_not_label_studios_is_named(tmp_path, tasks, message):
    fault = fault_of(studio_of(tmp_path, tasks=tasks))
    assert "export.json" in fault and message in fault
