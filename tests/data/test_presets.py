"""Each preset on a small download of its competition: labels as they were drawn, a csv that is legal."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest
from dicoms import save_dicom
from downloads import blob, hand_bone, picture, salt, save, write_csv

from competition.data.bands import read_pixels
from competition.data.catalog import build_catalog, of_split, sizes_of
from competition.data.labels import read_labels
from competition.doctor import prove
from competition.masks import Runs
from competition.new.write import new_competition, preset_names
from competition.project import Project
from competition.spec import Competition, load_competition
from competition.submission import check_submission, write_submission

TRAIN, TEST = range(8), range(20, 23)


def text_of(mask: np.ndarray, order: str) -> str:
    """Run-length text of a bool (H, W) from 1, pixel by pixel: another way than the package's."""
    found, pixels = [], mask.ravel("F" if order == "columns" else "C")
    for place, inside in enumerate(pixels.tolist(), 1):
        if inside and (place == 1 or not pixels[place - 2]):
            found += [place, 0]
        if inside:
            found[-1] += 1
    return " ".join(map(str, found))


def gaps_of(mask: np.ndarray, order: str) -> str:
    """Run-length text of a bool (H, W) whose starts are gaps, "-1" where it is empty; pixel by pixel."""
    found, gap, before = [], 0, False
    for inside in mask.ravel("F" if order == "columns" else "C").tolist():
        if inside and not before:
            found += [gap, 0]
        if inside:
            found[-1] += 1
        gap = 0 if inside else gap + 1
        before = inside
    return " ".join(map(str, found)) or "-1"


def mask_of(number: int, label: int) -> np.ndarray:
    """bool (20, 30); every fourth is empty."""
    empty = (number + label) % 4 == 3
    return np.zeros((20, 30), bool) if empty else blob(10 * number + label).to_dense()


def csv_of(
    root, file, header, order, *, key=str, classes=("",), more=lambda number: [], joint=False
):
    """A label csv: for each image and class its key, the class, the text, and further columns."""
    rows = []
    for n in TRAIN:
        for k, name in enumerate(classes):
            keys = [f"{key(n)}_{name}"] if joint else [key(n), *([name] if name else [])]
            rows.append([*keys, text_of(mask_of(n, k), order), *more(n)])
    write_csv(root / file, [header, *rows])


def sample_of(root, file, header, *, key, classes=("",), joint=False, text=""):
    rows = [
        [*([f"{key(n)}_{name}"] if joint else [key(n), *([name] if name else [])]), text]
        for n in TEST
        for name in classes
    ]
    write_csv(root / file, [header, *rows])


def pictures(root, form, test, depth=np.uint8):
    for numbers, where in ((TRAIN, form), (TEST, test)):
        for n in numbers:
            pixels = picture(n)
            deep = pixels[..., 0].astype(np.uint16) * 257
            save(root / where(n), pixels if depth == np.uint8 else deep)


def beside(
    root, *, folders, ending, file, header, order, key, sample="sample_submission.csv", **form
):
    """Images in two folders, labels in a csv."""
    train, test = folders
    pictures(root, lambda n: f"{train}/{n:03}.{ending}", lambda n: f"{test}/{n:03}.{ending}")
    shape = {"classes": form.get("classes", ("",)), "joint": form.get("joint", False)}
    csv_of(root, file, header, order, key=key, more=form.get("more", lambda n: []), **shape)
    sample_of(root, sample, form.get("asked", header), key=key, text=form.get("text", ""), **shape)


def named(n: int) -> str:
    return f"{n:03}.jpg"


def stem(n: int) -> str:
    return f"{n:03}"


def steel(root):
    columns = ["ImageId_ClassId", "EncodedPixels"]
    form = {"classes": "1234", "joint": True, "key": named}
    folders = ("train_images", "test_images")
    beside(
        root,
        folders=folders,
        ending="jpg",
        file="train.csv",
        header=columns,
        order="columns",
        **form,
    )


def ships(root):
    files = {"file": "train_ship_segmentations_v2.csv", "sample": "sample_submission_v2.csv"}
    columns = ["ImageId", "EncodedPixels"]
    form = {"key": named, "text": "1 2"}
    folders = ("train_v2", "test_v2")
    beside(root, folders=folders, ending="jpg", header=columns, order="columns", **files, **form)


def clouds(root):
    columns = ["Image_Label", "EncodedPixels"]
    form = {"classes": ("Fish", "Flower", "Gravel", "Sugar"), "joint": True, "key": named}
    folders = ("train_images", "test_images")
    beside(
        root,
        folders=folders,
        ending="jpg",
        file="train.csv",
        header=columns,
        order="columns",
        **form,
    )


def nuclei(root):
    def place(part):
        return lambda n: f"stage1_{part}/{n:03}/images/{n:03}.png"

    pictures(root, place("train"), place("test"))
    csv_of(root, "stage1_train_labels.csv", ["ImageId", "EncodedPixels"], "columns", key=stem)
    for n in TRAIN:
        save(root / f"stage1_train/{n:03}/masks/x.png", mask_of(n, 0).astype(np.uint8) * 255)
    sample_of(root, "stage1_sample_submission.csv", ["ImageId", "EncodedPixels"], key=stem)


def cells(root):
    def more(n):
        return ["30", "20", "shsy5y" if n % 2 else "astro"]

    header = ["id", "annotation", "width", "height", "cell_type"]
    form = {"key": stem, "more": more, "asked": ["id", "predicted"]}
    beside(
        root,
        folders=("train", "test"),
        ending="png",
        file="train.csv",
        header=header,
        order="rows",
        **form,
    )


def cars(root):
    def name(n):
        return f"{n // 2:012x}_{n % 2 + 1:02}"

    pictures(root, lambda n: f"train/{name(n)}.jpg", lambda n: f"test/{name(n)}.jpg")
    for n in TRAIN:
        save(root / f"train_masks/{name(n)}_mask.gif", mask_of(n, 0).astype(np.uint8))
    sample_of(root, "sample_submission.csv", ["img", "rle_mask"], key=lambda n: f"{name(n)}.jpg")


def kidney(root):
    form = {"key": stem, "asked": ["id", "predicted"], "header": ["id", "encoding"]}
    beside(
        root, folders=("train", "test"), ending="tiff", file="train.csv", order="columns", **form
    )


def organs(root):
    def more(n):
        return ["kidney" if n % 2 else "lung"]

    form = {"key": stem, "more": more, "header": ["id", "rle", "organ"], "asked": ["id", "rle"]}
    folders = ("train_images", "test_images")
    beside(root, folders=folders, ending="tiff", file="train.csv", order="columns", **form)


def gi_tract(root):
    def place(part):
        def path(n):
            case = f"case{n // 2}"
            return f"{part}/{case}/{case}_day{n % 2}/scans/slice_{n:04}_30_20_1.50_1.50.png"

        return path

    def key(n):
        return f"case{n // 2}_day{n % 2}_slice_{n:04}"

    classes = ("large_bowel", "small_bowel", "stomach")
    pictures(root, place("train"), place("test"), np.uint16)
    csv_of(root, "train.csv", ["id", "class", "segmentation"], "rows", key=key, classes=classes)
    header = ["id", "class", "predicted"]
    sample_of(root, "sample_submission.csv", header, key=key, classes=classes)


def vessels(root):
    def kidney_of(n):
        return f"kidney_{n // 2}_dense"

    def place(part):
        return lambda n: f"{part}/{kidney_of(n)}/images/{n:04}.tif"

    pictures(root, place("train"), place("test"), np.uint16)
    for n in TRAIN:
        path = root / f"train/{kidney_of(n)}/labels/{n:04}.tif"
        save(path, mask_of(n, 0).astype(np.uint8) * 255)
    form = {"key": lambda n: f"{kidney_of(n)}_{n:04}", "text": "1 0"}
    sample_of(root, "sample_submission.csv", ["id", "rle"], **form)


def pneumothorax(root):
    """Radiographs of 12 bits whose zero is white; a row for each object, each value after a space."""

    def place(part, n):
        return root / f"dicom-images-{part}/1.2.{n}/1.2.{n}.3/1.2.{n}.3.4.dcm"

    def key(n):
        return f"1.2.{n}.3.4"

    shown = {"BitsStored": 12, "PhotometricInterpretation": "MONOCHROME1"}
    for part, numbers in (("train", TRAIN), ("test", TEST)):
        for n in numbers:
            save_dicom(place(part, n), 4095 - picture(n)[..., 0].astype(np.uint16) * 16, **shown)
    rows = []
    for n in TRAIN:
        upper, lower = mask_of(n, 0), mask_of(n, 0)
        middle = int(np.flatnonzero(upper.any(1)).mean()) if upper.any() else 0
        upper[middle:], lower[:middle] = False, False
        texts = {gaps_of(one, "columns") for one in (upper, lower) if one.any()} or {"-1"}
        rows += [[key(n), f" {text}"] for text in sorted(texts)]
    write_csv(root / "train-rle.csv", [["ImageId", " EncodedPixels"], *rows])
    sample_of(root, "sample_submission.csv", ["ImageId", "EncodedPixels"], key=key, text="-1")


def contrails(root):
    """Bands of (H, W, times) in kelvin; the last two training images lie in validation/."""
    for numbers, part in ((TRAIN, "train"), (TEST, "test")):
        for n in numbers:
            folder = root / (part if n not in (6, 7) else "validation") / f"{n:03}"
            folder.mkdir(parents=True)
            for band in range(8, 17):
                random = np.random.default_rng((n, band))
                kelvin = random.uniform(200, 310, (20, 30, 8)).astype(np.float32)
                np.save(folder / f"band_{band:02}.npy", kelvin)
            if part == "train":
                mask = mask_of(n, 0).astype(np.int32)[..., None]
                np.save(folder / "human_pixel_masks.npy", mask)
            if "train" in folder.parts and part == "train":
                np.save(folder / "human_individual_masks.npy", np.stack([mask] * 4, axis=-1))
    sample_of(root, "sample_submission.csv", ["record_id", "encoded_pixels"], key=stem, text="-")


def ink(root):
    """Layers of 16 bits of a fragment; what is no papyrus does not count."""
    for numbers, part in ((TRAIN, "train"), (TEST, "test")):
        for n in numbers:
            folder = root / part / f"{n:03}"
            for layer in range(26, 40):
                random = np.random.default_rng((n, layer))
                values = random.integers(0, 65536, (20, 30)).astype(np.uint16)
                save(folder / f"surface_volume/{layer:02}.tif", values)
            papyrus = np.full((20, 30), 255, np.uint8)
            papyrus[-1] = 0  # no mask of `mask_of` reaches it
            save(folder / "mask.png", papyrus)
            if part == "train":
                save(folder / "inklabels.png", mask_of(n, 0).astype(np.uint8) * 255)
    sample_of(root, "sample_submission.csv", ["Id", "Predicted"], key=stem, text="1 1")


class Download(NamedTuple):
    """make: writes it; order: of the texts there; drawn: whether its masks are those of `mask_of`;
    groups: how many; relative: whether the texts are of gaps; changes: by --set.
    """

    make: Callable[[Path], object]
    order: str = "rows"
    drawn: bool = True
    groups: int | None = None
    relative: bool = False
    changes: Mapping[str, object] = MappingProxyType({})


def folders(root):
    pictures(root, lambda n: f"images/{n}.png", lambda n: f"test/{n}.png")
    for n in TRAIN:
        save(root / f"masks/{n}.png", mask_of(n, 0).astype(np.uint8) * 255)


DOWNLOADS = {
    "cars": Download(cars, groups=4),
    "cells": Download(cells),
    "clouds": Download(clouds, "columns", changes={"submission.size": [10, 15]}),
    "contrails": Download(contrails, "columns"),
    "folders": Download(folders),
    "gi-tract": Download(gi_tract, groups=4),
    "hand-bone": Download(hand_bone, drawn=False),
    "ink": Download(ink),
    "kidney": Download(kidney, "columns"),
    "nuclei": Download(nuclei, "columns"),
    "organs": Download(organs, "columns"),
    "pneumothorax": Download(pneumothorax, "columns", relative=True),
    "salt": Download(salt, "columns", drawn=False),
    "ships": Download(ships, "columns"),
    "steel": Download(steel, "columns"),
    "vessels": Download(vessels, groups=4),
}


def written(name: str, tmp_path: Path) -> Competition:
    download = DOWNLOADS[name]
    download.make(tmp_path / "data")
    folds = {"split.folds": 3}
    target = tmp_path / "competition.toml"
    new_competition(name, tmp_path / "data", target, "mine", changes=folds | dict(download.changes))
    return load_competition(target)


def test_contrails_have_annotators_in_their_training_part(tmp_path):
    competition = written("contrails", tmp_path)
    found = read_labels(competition, build_catalog(competition)).annotators
    assert len(found) == len(TRAIN) - 2 and {masks.classes for masks in found.values()} == {4}


def test_every_preset_has_its_download():
    assert DOWNLOADS.keys() == set(preset_names())


@pytest.mark.parametrize("name", DOWNLOADS)
def test_labels_are_read_as_they_were_drawn(name, tmp_path):
    competition = written(name, tmp_path)
    assert prove(competition).errors == () and competition.questions == ()
    catalog = build_catalog(competition)
    rows = of_split(catalog, "train")
    if DOWNLOADS[name].groups:
        assert rows["group"].nunique() == DOWNLOADS[name].groups
    if not DOWNLOADS[name].drawn:
        return
    labels = read_labels(competition, catalog)
    for n, image in zip(TRAIN, sorted(rows["image"]), strict=True):
        expected = [mask_of(n, k) for k in range(len(competition.classes))]
        np.testing.assert_array_equal(labels[image].to_dense(), np.stack(expected))


def test_bands_of_contrails_are_three_channels_of_the_labelled_time(tmp_path):
    competition = written("contrails", tmp_path)
    data = competition.data
    assert (data.channels, data.bits, data.frame) == (3, 16, 4)
    found = read_pixels(competition.root, "validation/006/band_11.npy", data)
    kelvin = [np.random.default_rng((6, b)).uniform(200, 310, (20, 30, 8)) for b in (11, 14, 15)]
    shares = np.stack([one[..., 4] for one in kelvin], axis=2)
    assert np.abs(found / 65535 - (shares - 190) / 130).max() < 1e-4


def test_layers_of_ink_are_channels_and_what_is_no_papyrus_does_not_count(tmp_path):
    competition = written("ink", tmp_path)
    assert (competition.data.channels, competition.data.bits) == (9, 16)
    found = read_pixels(competition.root, "test/020/surface_volume/32.tif", competition.data)
    expected = np.random.default_rng((20, 36)).integers(0, 65536, (20, 30))
    assert np.array_equal(found[..., 8], expected)
    ignored = read_labels(competition, build_catalog(competition)).ignored
    assert all(mask.area()[0] == 30 and mask.to_dense()[0, -1].all() for mask in ignored.values())


@pytest.mark.parametrize("name", DOWNLOADS)
def test_a_csv_of_the_test_images_is_written_as_the_organisers_read_it(name, tmp_path):
    competition = written(name, tmp_path)
    project = Project.open(tmp_path / "competition.toml", tmp_path / "work")
    tests = of_split(build_catalog(competition), "test")
    sizes = sizes_of(tests)
    form = competition.submission
    wanted: dict[str, Runs] = {}

    def masks(image: str) -> Runs:
        height, width = form.size or sizes[image]
        dense = np.zeros((len(competition.classes), height, width), bool)
        for k in range(len(dense)):
            dense[k, 2 : 4 + k, 3 : 5 + len(wanted)] = (len(wanted) + k) % 3 > 0
        wanted[image] = Runs.from_dense(dense)
        return wanted[image]

    target = tmp_path / "csv.csv"
    made = write_submission(competition, project.sample, masks, target, {})
    summary = check_submission(competition, target, project.sample, sizes)
    assert (summary.rows, summary.images) == (made.rows, len(tests))
    text = target.read_text()
    for image, mask in wanted.items():
        for k, plane in enumerate(mask.to_dense()):
            (lines,) = [_texts(text, form, image, competition.classes[k])]
            text_by_hand = gaps_of if DOWNLOADS[name].relative else text_of
            expected = text_by_hand(plane, DOWNLOADS[name].order) or form.empty
            assert lines == [expected]


def _texts(text: str, form, image: str, label: str) -> list[str]:
    """The texts of an image and class, by splitting lines at commas."""
    header, *lines = text.splitlines()
    names = header.split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines]
    key = f"{image}{form.separator}{label}" if form.separator else image
    return [
        row[form.rle]
        for row in rows
        if row[form.image] == key and (not form.label or row[form.label] == label)
    ]
