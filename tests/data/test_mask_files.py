"""Mask images in colours, in a file for each class, and in a file for each object."""

import numpy as np
import pytest
from downloads import CELLS, cell_map, cells, parsed, picture, save
from PIL import Image

from competition.data.catalog import build_catalog, named_images
from competition.data.labels import label_files, read_labels
from competition.data.readers import file_per_image
from competition.doctor import examine
from competition.errors import InputFault
from competition.masks import Runs
from competition.workspace import Workspace

COLOURS = {"nucleus": "#800000", "cytoplasm": "#008000"}
SIZE = (20, 30)


def masks_of(competition):
    return dict(read_labels(competition, build_catalog(competition)).items())


def fault_of(competition) -> str:
    with pytest.raises(InputFault) as caught:
        masks_of(competition)
    return str(caught.value)


def truths(count=4):
    return {f"{n:04}": Runs.from_label_map(cell_map(n), 2) for n in range(count)}


# Colours


def coloured(root, *, mode="RGB", **labels):
    """Masks of COLOURS as pictures of this mode of Pillow."""
    palette = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)
    for number in range(4):
        values = cell_map(number)
        if mode == "P":
            picture_ = Image.fromarray(values.astype(np.uint8), "P")
            picture_.putpalette(palette.tobytes())
        else:
            picture_ = Image.fromarray(palette[values]).convert(mode)
        path = root / f"masks/{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture_.save(path)
    files = {"files": "masks/{stem}.png", "values": "colours", "colours": COLOURS}
    return cells(root, {**files, **labels}, exclusive=True)


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_colours_are_classes_whatever_the_picture_stores(tmp_path, mode):
    assert masks_of(coloured(tmp_path, mode=mode)) == truths()


def test_grey_masks_have_colours_too(tmp_path):
    save(tmp_path / "masks/0000.png", np.full(SIZE, 200, np.uint8))
    labels = {"files": "masks/{stem}.png", "values": "colours"}
    labels["colours"] = {"nucleus": "#C8C8C8", "cytoplasm": "#008000"}
    competition = cells(tmp_path, labels, count=1)
    assert masks_of(competition)["0000"].area().tolist() == [600, 0]


def test_colours_of_no_class_are_listed_with_pixels_and_the_nearest(tmp_path):
    competition = coloured(tmp_path)
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[:, :4], pixels[0, 10:12], pixels[1, 10] = (128, 0, 0), (126, 1, 0), (0, 100, 9)
    save(tmp_path / "masks/0002.png", pixels)
    fault = fault_of(competition)
    assert "masks/0002.png has 2 colours of no class" in fault
    assert "#7e0100: 2 px (nearest 'nucleus' #800000)" in fault
    assert "#006409: 1 px (nearest 'cytoplasm' #008000)" in fault
    assert "add them to colours, background or ignore in [labels]" in fault
    competition = coloured(tmp_path / "again", background=["#7e0100", "#006409"])
    save(tmp_path / "again/masks/0002.png", pixels)
    assert masks_of(competition)["0002"].area().tolist() == [80, 0]


def test_a_colour_may_be_what_does_not_count(tmp_path):
    competition = coloured(tmp_path, ignore="#e0e0c0")
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[:, :4], pixels[:2, 3] = (128, 0, 0), (0xE0, 0xE0, 0xC0)
    save(tmp_path / "masks/0002.png", pixels)
    labels = read_labels(competition, build_catalog(competition))
    assert labels["0002"].area().tolist() == [78, 0]
    assert labels.ignored["0002"].area().tolist() == [2]
    assert labels.ignored["0001"].area().tolist() == [0]


def test_the_doctor_tells_ignored_colours_that_are_nowhere(tmp_path):
    competition = coloured(tmp_path, ignore=["#E0E0C0", "#010203"])
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[:2, 3] = (0xE0, 0xE0, 0xC0)
    save(tmp_path / "masks/0002.png", pixels)
    report = examine(competition, Workspace(tmp_path / "workspace", "salt"))
    found = [one.text for one in report.doubtful if one.kind == "ignored pixels"]
    assert found == ["ignore in [labels] names '#010203', which no label has"]


def test_a_colour_above_all_that_are_known_is_of_no_class(tmp_path):
    competition = coloured(tmp_path)
    save(tmp_path / "masks/0002.png", np.full((*SIZE, 3), 255, np.uint8))
    assert "#ffffff: 600 px" in fault_of(competition)


def test_colours_that_are_smeared_or_shine_through_are_refused(tmp_path):
    competition = coloured(tmp_path, files="masks/{stem}.jpg")
    for number in range(4):
        (tmp_path / f"masks/{number:04}.png").unlink()
        save(tmp_path / f"masks/{number:04}.jpg", np.zeros((*SIZE, 3), np.uint8))
    assert "0000.jpg: a mask in JPEG has smeared colours" in fault_of(competition)
    competition = coloured(tmp_path / "clear")
    save(tmp_path / "clear/masks/0001.png", np.full((*SIZE, 4), 128, np.uint8))
    save(tmp_path / "clear/masks/0002.png", np.full(SIZE, 9000, np.uint16))
    fault = fault_of(competition)
    assert "0001.png: a mask with transparent pixels" in fault
    assert "0002.png has more than 8 bits a channel" in fault


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"colours": {"nucleus": "#800000"}}, "without a colour: ['cytoplasm']"),
        ({"colours": COLOURS | {"void": "#ffffff"}}, "no such classes: ['void']"),
        ({"colours": dict.fromkeys(CELLS, "#800000")}, "of 'nucleus' and of 'cytoplasm'"),
        ({"colours": COLOURS, "background": ["#008000"]}, "of 'cytoplasm' and of 'background'"),
        ({"colours": COLOURS, "ignore": "#008000"}, "of 'cytoplasm' and of 'ignore'"),
        ({"colours": COLOURS, "ignore": 255}, 'it is "#rrggbb"'),
        ({"colours": COLOURS | {"nucleus": "red"}}, "'red' is no colour"),
        ({"colours": COLOURS, "values": "index"}, 'are for values = "colours"'),
        ({"colours": COLOURS, "threshold": 3}, "values = 'colours' has several"),
        ({"colours": COLOURS, "files": "{class}/{stem}.png"}, "{class} is nonzero, not 'colours'"),
    ],
)
def test_a_table_of_colours_that_does_not_fit_is_named(tmp_path, labels, message):
    with pytest.raises(InputFault) as caught:
        cells(tmp_path, {"files": "masks/{stem}.png", "values": "colours", **labels})
    assert message in str(caught.value)


def test_a_colour_mask_of_another_size_is_refused_with_both_sizes(tmp_path):
    competition = coloured(tmp_path)
    save(tmp_path / "masks/0002.png", np.zeros((30, 20, 3), np.uint8))
    assert "0002.png has 30 × 20 pixels (height × width) and its image 20 × 30 (tr" in fault_of(
        competition
    )


# A file for each class


def of_classes(root, **labels):
    """masks/CLASS/0000.png; a class that is not in an image has no file."""
    for number in range(4):
        for k, name in enumerate(CELLS, start=1):
            mask = cell_map(number) == k
            if (number + k) % 3:
                save(root / f"masks/{name}/{number:04}.png", mask.astype(np.uint8) * 255)
    return cells(root, {"files": "masks/{class}/{stem}.png", **labels})


def test_files_of_classes_are_one_mask_and_a_class_without_a_file_is_empty(tmp_path):
    found = masks_of(of_classes(tmp_path))
    for number, (image, truth) in enumerate(truths().items()):
        assert found[image] == truth.only(np.array([(number + k) % 3 > 0 for k in (1, 2)]))


def test_an_image_without_any_file_is_a_fault_unless_it_holds_nothing(tmp_path):
    competition = of_classes(tmp_path)
    for path in (tmp_path / "masks").glob("*/0003.png"):
        path.unlink()
    assert (
        "image 'train/images/0003.png' has no label file 'masks/{class}/0003.png'; if such images "
        "hold nothing, set positives_only = true" in fault_of(competition)
    )
    masks = masks_of(of_classes(tmp_path, positives_only=True))
    (tmp_path / "masks/nucleus/0003.png").unlink(missing_ok=True)
    (tmp_path / "masks/cytoplasm/0003.png").unlink(missing_ok=True)
    masks = masks_of(cells(tmp_path, {"files": "masks/{class}/{stem}.png", "positives_only": True}))
    assert masks["0003"].area().tolist() == [0, 0]


def test_a_pattern_that_meets_nothing_is_no_set_of_empty_masks(tmp_path):
    competition = of_classes(tmp_path, files="mask/{class}/{stem}.png", positives_only=True)
    assert "no image has a label file 'mask/{class}/{stem}.png' below" in fault_of(competition)


def test_a_file_of_a_class_that_is_none_is_left_over(tmp_path):
    competition = of_classes(tmp_path)
    save(tmp_path / "masks/nucleos/0000.png", np.zeros(SIZE, np.uint8))
    fault = fault_of(competition)
    assert "'masks/nucleos/0000.png' belongs to no training image; did you mean" in fault
    assert "masks/nucleus/" in fault


def test_several_classes_need_a_file_each_or_values_that_tell(tmp_path):
    with pytest.raises(InputFault, match="or a file of each {class}"):
        cells(tmp_path, {"files": "masks/{stem}.png"})


# A file for each object


def of_objects(root, **labels):
    """train/0000/masks/0.png …: the one class in parts; image folders as in nuclei."""
    for number in range(4):
        mask = cell_map(number) > 0
        for part in range(3):
            own = np.zeros(SIZE, np.uint8)
            own[part::3] = mask[part::3] * 255
            save(root / f"train/{number:04}/masks/{part}.png", own)
    return cells(root, {"files": "train/{stem}/masks/*.png", **labels}, classes=["cell"])


def test_masks_of_objects_are_united(tmp_path):
    competition = of_objects(tmp_path)
    (tmp_path / "train/0001/masks/.DS_Store.png").write_text("left by a Mac")
    found = masks_of(competition)
    assert {image: mask[0] for image, mask in found.items()} == {
        f"{n:04}": Runs.from_dense(cell_map(n) > 0) for n in range(4)
    }
    files = label_files(competition, build_catalog(competition))
    assert [file.name for file in files] == ["0.png", "1.png", "2.png"] * 4


def test_an_image_without_an_object_is_a_fault_unless_it_holds_nothing(tmp_path):
    competition = of_objects(tmp_path)
    for path in (tmp_path / "train/0003/masks").iterdir():
        path.unlink()
    fault = fault_of(competition)
    assert "has no label file 'train/0003/masks/*.png'" in fault and "positives_only" in fault
    labels = {"files": "train/{stem}/masks/*.png", "positives_only": True}
    found = masks_of(cells(tmp_path, labels, classes=["cell"]))
    assert found["0003"] == Runs.empty((1, *SIZE)) and found["0002"].area() > 0


def test_objects_of_no_image_and_of_two_images_are_told(tmp_path):
    for name in ("0000_1", "0000_2", "0001_1", "0002_1", "0003_1", "0009_1"):
        save(tmp_path / f"masks/{name}.png", np.ones(SIZE, np.uint8))
    save(tmp_path / "train/images/0000_.png", picture(7))
    competition = cells(tmp_path, {"files": "masks/{stem}*.png"}, classes=["cell"])
    fault = fault_of(competition)
    assert "'masks/0000_1.png' is that of 2 images" in fault
    assert "'masks/0009_1.png' belongs to no training image" in fault


def test_what_stands_in_a_file_name_is_no_pattern(tmp_path):
    save(tmp_path / "train/images/a[1].png", picture(7))
    for name in ("a[1]_1", "a[1]_2", "a1_1"):
        save(tmp_path / f"masks/{name}.png", np.ones(SIZE, np.uint8))
    competition = cells(tmp_path, {"files": "masks/{stem}_*.png"}, classes=["cell"], count=0)
    assert "'masks/a1_1.png' belongs to no training image" in fault_of(competition)
    (tmp_path / "masks/a1_1.png").unlink()
    assert masks_of(competition)["a[1]"].area().tolist() == [600]


def test_what_tells_files_apart_may_stand_before_the_stem(tmp_path):
    for number in range(4):
        values = np.zeros((2, *SIZE), np.uint8)
        values[0, : number + 1], values[1, 10:12] = 255, 255
        for part, own in zip("ab", values, strict=True):
            save(tmp_path / f"masks [old]/{part}_{number:04}.png", own)
    competition = cells(tmp_path, {"files": "masks [old]/*_{stem}.png"}, classes=["cell"])
    areas = [mask.area().tolist() for mask in masks_of(competition).values()]
    assert areas == [[30 * (2 + number + 1)] for number in range(4)]


def test_files_of_an_excluded_image_may_stay(tmp_path):
    competition = of_objects(tmp_path)
    table = competition.model_dump(exclude={"folder"})
    table["data"]["exclude"] = ["0002"]
    assert list(masks_of(parsed(table, tmp_path))) == ["0000", "0001", "0003"]


@pytest.mark.parametrize("name", ["json/*{stem}.json", "json/{class}/{stem}.json"])
def test_several_files_an_image_are_for_masks_alone(tmp_path, name):
    fault = fault_of(cells(tmp_path, {"kind": "polygons", "files": name}))
    assert f"files {name!r} in [labels]: one file an image is expected" in fault
    labels = {"files": "train/{stem}/masks/*.png", "ignore_files": name}
    fault = fault_of(of_objects(tmp_path, **labels))
    assert f"ignore_files {name!r} in [labels]: one file an image is expected" in fault


@pytest.mark.parametrize("files", ["../{stem}/*.png", "/etc/{class}/{stem}.png", "a\\{stem}*.png"])
def test_patterns_of_several_files_never_leave_the_data_folder(tmp_path, files):
    assert "path " in fault_of(cells(tmp_path, {"files": files}, classes=["cell"]))


def test_a_class_never_leads_out_of_the_data_folder(tmp_path):
    competition = of_classes(tmp_path / "data")
    table = competition.model_dump(exclude={"folder"})
    table["classes"] = ["nucleus", "../../secret"]
    assert "leaves the data folder" in fault_of(parsed(table, tmp_path / "data"))


def test_the_doctor_reads_each_of_these_layouts(tmp_path):
    for make in (coloured, of_classes, of_objects):
        root = tmp_path / make.__name__
        report = examine(make(root), Workspace(root / "workspace", "salt"))
        assert report.errors == ()
        first = "class #800000" if make is coloured else "class 1"
        assert any(what == first for what, _ in report.found)


def test_left_over_files_are_looked_for_without_listing_the_images_again(tmp_path, monkeypatch):
    """It was a second listing of all images at every reading."""
    competition = cells(tmp_path, {"files": "masks/{stem}.png", "values": "index"})
    for number in range(4):
        save(tmp_path / f"masks/{number:04}.png", cell_map(number).astype(np.uint8))
    listed = []

    def listing(one):
        listed.append(one)
        return named_images(one)

    monkeypatch.setattr(file_per_image, "named_images", listing)
    masks_of(competition)
    assert listed == []
    save(tmp_path / "masks/9999.png", np.zeros((2, 2), np.uint8))
    assert "'masks/9999.png' belongs to no training image" in fault_of(competition)
    assert listed == [competition]
