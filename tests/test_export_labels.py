"""Labels as files for other programs, and back: no pixel is lost, and what is left out is said."""

import json
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from competition.cli import app
from competition.data import label_export
from competition.data.catalog import build_catalog
from competition.data.labels import read_labels
from competition.errors import InputFault, MachineFault
from competition.masks import Runs, polygons_from_runs
from competition.project import Project
from competition.pseudo.rounds import (
    PseudoLabel,
    RoundReceipt,
    RoundSettings,
    TeacherEntry,
    write_labels,
)
from competition.spec import load_competition, parse_competition
from competition.submission import write_submission
from competition.workspace import file_sha256, write_json

CLASSES = tuple(f"part-{k}" for k in range(25))
NAMES = ("NA", "0001", "x,y", "a b", "é", *(f"image{n}" for n in range(35)))
"""40 images of 25 classes: 1,000 masks."""
FEW = 8
"""Images of a csv that takes less time."""
SPEC = """
name = "parts"
classes = {classes}
exclusive = {exclusive}
horizontal_flip = "allowed"

[data]
root = "."
train_images = "train/*/*.png"
test_images = "test/*/*.png"

[labels]
{labels}

[submission]
sample = "sample.csv"
image = "id"
label = "class"
rle = "rle"
rows = "image-class"
order = "columns"

[metric]
name = "dice"

[ensemble]
recipes = ["unet-resnet18-cpu"]
"""
POLYGONS = 'kind = "polygons"\nfiles = "json/{folder}/{stem}.json"\nignore = "unclear"'


def several_parts(generator, size):
    """A mask (H, W) of up to six boxes, of which some have holes with islands, and of single pixels."""
    dense = np.zeros(size, bool)
    for _ in range(generator.integers(0, 7)):
        top, left = (generator.integers(-2, side) for side in size)
        height, width = generator.integers(1, 14, 2)
        for inset in range(generator.integers(1, 4)):
            rows = slice(max(top + 2 * inset, 0), max(top + height - 2 * inset, 0))
            columns = slice(max(left + 2 * inset, 0), max(left + width - 2 * inset, 0))
            dense[rows, columns] = inset % 2 == 0
    return dense ^ (generator.random(size) < generator.choice([0, 0, 0.02]))


def odd_masks(size):
    """Masks (25, H, W): pixels, lines, corners and diagonals, where formats lose something."""
    masks = np.zeros((len(CLASSES), *size), bool)
    masks[1] = True
    masks[2, 0, 0] = masks[3, -1, -1] = masks[4, 0, -1] = masks[5, -1, 0] = True
    masks[6, :2, :2] = True
    masks[7, :2, :2] = ~np.eye(2, dtype=bool)
    masks[8, 0], masks[9, -1], masks[10, :, 0], masks[11, :, -1] = True, True, True, True
    masks[12] = np.eye(*size, dtype=bool)
    masks[13] = np.eye(*size, dtype=bool)[:, ::-1]
    masks[14] = np.indices(size).sum(axis=0) % 2
    masks[15], masks[16], masks[17] = ~masks[12], ~masks[14], ~masks[2]
    masks[18, 1:-1, 1:-1] = True
    masks[19], masks[20, 0, :2], masks[21, :2, 0] = ~masks[18], True, True
    masks[22, :2, :2] = [[1, 1], [1, 0]]
    return masks


def masks_of(place, generator, size):
    """Masks (25, H, W) of an image. In some nothing lies beyond the first pixels, which between edges
    or centres looks like coordinates that are shares of the size.
    """
    corners = {1: [[1]], 2: [[1, 1], [1, 1]], 3: [[1, 1], [1, 0]], 4: [[0, 1], [1, 1]]}
    if place % 8 == 0:
        return odd_masks(size)
    if place in corners:
        masks, corner = np.zeros((len(CLASSES), *size), bool), np.array(corners[place], bool)
        masks[place, : len(corner), : len(corner)] = corner
        return masks
    return np.stack([several_parts(generator, size) for _ in CLASSES])


def write_images(folder, names, sizes):
    for name, size in zip(names, sizes, strict=True):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(len(name)).integers(0, 256, (*size, 3), np.uint8)
        path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def write_spec(folder, *, labels=POLYGONS, exclusive=False, classes=CLASSES, name="competition"):
    path = folder / f"{name}.toml"
    text = SPEC.format(classes=json.dumps(classes), exclusive=str(exclusive).lower(), labels=labels)
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A download of 1,000 masks in a csv, and two labelled images with ignored pixels."""
    folder = tmp_path_factory.mktemp("parts")
    generator = np.random.default_rng(0)
    sizes = [tuple(generator.integers(3, 26, 2).tolist()) for _ in NAMES]
    write_images(folder / "test" / "s", NAMES, sizes)
    write_images(folder / "train" / "p", ("own", "corner"), ((20, 30), (9, 7)))
    own = np.stack([several_parts(generator, (20, 30)) for _ in (*CLASSES, "unclear")])
    write_json_labels(folder / "json" / "p" / "own.json", own)
    write_json_labels(folder / "json" / "p" / "corner.json", np.ones((26, 9, 7), bool))
    masks = {
        f"{name}.png": Runs.from_dense(masks_of(place, generator, size))
        for place, (name, size) in enumerate(zip(NAMES, sizes, strict=True))
    }
    spec = load_competition(write_spec(folder))
    for name, images in (("sample", list(masks)), ("few-sample", list(masks)[:FEW])):
        rows = [f'"{image}",{name},\n' for image in images for name in CLASSES]
        sample = folder / f"{name}.csv"
        sample.write_text("id,class,rle\n" + "".join(rows))
        target = folder / f"{name}.csv".replace("sample", "sub")
        write_submission(spec, sample, masks.__getitem__, target, {})
    return folder


def write_json_labels(path, masks):
    path.parent.mkdir(parents=True, exist_ok=True)
    polygons = [
        {"label": name, "points": points.tolist()}
        for name, mask in zip((*CLASSES, "unclear"), masks, strict=True)
        for points in polygons_from_runs(Runs.from_dense(mask))
    ]
    path.write_text(json.dumps({"annotations": polygons}))


@pytest.fixture
def exported(folder, tmp_path, monkeypatch):
    """What `podium export-labels` says, given these words, of a competition file with these labels."""
    monkeypatch.chdir(tmp_path)

    def run(*words, spec=None):
        file = str(spec or folder / "competition.toml")
        told = CliRunner().invoke(app, ["export-labels", *words, "-c", file])
        if told.exception is not None:
            raise told.exception
        return told.output

    return run


def labels_read(folder, root, told, **further):
    """The labels of a folder by the `[labels]` that the command printed, read as a competition's own."""
    table = tomllib.loads((folder / "competition.toml").read_text())
    table["labels"] = tomllib.loads(told[told.index("[labels]") :])["labels"]
    table["data"] = {"root": str(root), "train_images": ["test/*/*.png", "train/*/*.png"]}
    del table["submission"]["sample"]
    kept = [one for one in table["data"]["train_images"] if any(root.glob(one))]
    table["data"] |= {"train_images": kept, **further}
    spec = parse_competition(table, folder=root, source="again.toml")
    return read_labels(spec, build_catalog(spec))


FORMS = {
    "polygons": POLYGONS,
    "edges": f'{POLYGONS}\ncoordinates = "edges"',
    "shares": f'{POLYGONS}\nunits = "shares"',
    "shares between edges": f'{POLYGONS}\ncoordinates = "edges"\nunits = "shares"',
    "of other labels": 'kind = "masks"\nfiles = "m/{stem}.png"\nvalues = "index"',
    "coco": 'kind = "masks"\nfiles = "m/{stem}.png"\nvalues = "index"',
}


def a_csv_comes_back(folder, exported, form, few):
    """Byte for byte, from label files that the label readers read."""
    spec = write_spec(folder, labels=FORMS[form], name=form)
    kind, source = "coco" if form == "coco" else "polygons", folder / f"{few}sub.csv"
    told = exported("out", "--csv", str(source), "--kind", kind, "--images", spec=spec)
    found = labels_read(folder, Path("out").resolve(), told)
    again, sample = Path("again.csv"), folder / f"{few}sample.csv"
    write_submission(load_competition(spec), sample, found.__getitem__, again, {})
    assert again.read_bytes() == source.read_bytes()
    receipt = json.loads(Path("out.receipt.json").read_text())
    assert receipt["sha256"] == file_sha256(source) and receipt["images"] == len(found)


@pytest.mark.parametrize("form", FORMS)
def test_a_csv_comes_back_from_label_files(folder, exported, form):
    a_csv_comes_back(folder, exported, form, "few-")


@pytest.mark.long
@pytest.mark.parametrize("form", FORMS)
def test_a_csv_of_a_thousand_masks_comes_back_from_label_files(folder, exported, form):
    a_csv_comes_back(folder, exported, form, "")


@pytest.mark.parametrize("kind", ["polygons", "coco"])
def test_the_competitions_own_labels_come_back_with_their_ignored_pixels(
    folder, tmp_path, exported, kind
):
    told = exported("out", "--kind", kind, "--images")
    project = Project.open(folder / "competition.toml", tmp_path)
    found = labels_read(folder, tmp_path / "out", told)
    assert set(found) == set(project.labels) == {"own.png", "corner.png"}
    for image in found:
        assert found[image] == project.labels[image]
        assert found.ignored[image] == project.ignored[image] and len(found.ignored[image])
    assert "not in these files" not in told


def write_round(folder, project, labels, **settings):
    shares = dict.fromkeys(project.classes, 0.5)
    teachers = dict.fromkeys(one.teacher for one in labels)
    receipt = RoundReceipt(
        competition="parts",
        classes=project.classes,
        settings=RoundSettings(**settings),
        teachers=dict.fromkeys(teachers, ("cafe",)),
        images={name: sum(one.teacher == name for one in labels) for name in teachers},
        left_out={},
        labelled=shares,
        pseudo=shares,
        ignored=shares,
        labels_sha256=write_labels(folder, project.competition, labels).labels,
    )
    write_json(folder / "receipt.json", {"round": receipt.model_dump(mode="json")})


@pytest.fixture
def with_round(folder, tmp_path):
    """A round of two folds: what all classes ignore (a column), and what some do (a row of half)."""
    project = Project.open(folder / "competition.toml", tmp_path)
    made = {}
    for fold in (0, 1):
        generator = np.random.default_rng(fold)
        for image in ("0001.png", "NA.png"):
            size = project.sizes[image]
            ignored = np.zeros((len(CLASSES), *size), bool)
            ignored[:, :, 1] = ignored[: 12 + fold, 2] = True
            masks = np.stack([several_parts(generator, size) for _ in CLASSES]) & ~ignored
            label = PseudoLabel(
                f"fold-{fold}",
                image,
                Runs.from_dense(masks),
                Runs.from_dense(ignored),
                np.full(len(CLASSES), 0.5),
            )
            made[fold, image] = label
    teachers = TeacherEntry(recipes=("unet",), seeds=(0,), folds=(0, 1))
    write_round(project.workspace.pseudo("round1"), project, list(made.values()), teachers=teachers)
    return made


@pytest.mark.parametrize("kind", ["polygons", "coco"])
def test_a_round_is_written_for_the_student_of_a_fold_and_what_is_left_out_is_said(
    folder, tmp_path, exported, with_round, kind
):
    with pytest.raises(InputFault, match="teachers fold-0, fold-1, .* say by --fold whose student"):
        exported("out", "--round", "round1")
    told = exported("out", "--round", "round1", "--fold", "1", "--kind", kind, "--images")
    found = labels_read(folder, tmp_path / "out", told)
    assert set(found) == {"0001.png", "NA.png"}
    unsaid = 0
    for image, masks in found.items():
        label = with_round[1, image]
        assert masks == label.masks
        column = np.zeros((1, masks.height, masks.width), bool)
        column[:, :, 1] = True
        assert found.ignored[image] == Runs.from_dense(column)
        unsaid += 13 * (masks.width - 1)
    assert "not in these files: confidence and teacher" in told
    assert f"others don't: {unsaid:,} in 2 images" in told
    receipt = json.loads((tmp_path / "out.receipt.json").read_text())
    assert receipt["labels of"] == "round1, teacher fold-1" and len(receipt["not written"]) == 2
    assert receipt["sha256"] == file_sha256(tmp_path / "pseudo/parts/round1/labels.csv")


def test_coco_has_what_other_programs_ask_for(folder, tmp_path, exported):
    exported("out", "--kind", "coco")
    content = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert [one["name"] for one in content["categories"]] == list(CLASSES)
    assert {one["file_name"] for one in content["images"]} == {
        "train/p/own.png",
        "train/p/corner.png",
    }
    ids = [one["id"] for one in content["annotations"]]
    assert len(set(ids)) == len(ids)
    labels = Project.open(folder / "competition.toml", tmp_path).labels
    names = {one["id"]: Path(one["file_name"]).name for one in content["images"]}
    for one in content["annotations"]:
        if one["iscrowd"]:
            continue
        mask = labels[names[one["image_id"]]][one["category_id"] - 1]
        rows, columns = np.nonzero(mask.to_dense())
        left, top, width, height = one["bbox"]
        assert one["area"] == len(rows) == sum(one["segmentation"]["counts"][1::2])
        assert (left, left + width - 1) == (columns.min(), columns.max())
        assert (top, top + height - 1) == (rows.min(), rows.max())
    assert not (tmp_path / "out" / "train").exists()  # without --images


def test_labels_of_unlabelled_images_in_a_file_of_all_are_let_be(folder, tmp_path, exported):
    told = exported("out", "--kind", "coco", "--images")
    root = tmp_path / "out"
    write_images(root / "more", ("further",), ((5, 6),))
    content = json.loads((root / "labels.json").read_text())
    content["images"].append({"id": 99, "file_name": "more/further.png", "height": 5, "width": 6})
    content["annotations"].append({**content["annotations"][0], "id": 9999, "image_id": 99})
    (root / "labels.json").write_text(json.dumps(content))
    with pytest.raises(
        InputFault, match="labels of 'more/further.png', which is no training image"
    ):
        labels_read(folder, root, told)
    found = labels_read(folder, root, told, unlabelled_images="more/*.png")
    assert set(found) == {"own.png", "corner.png"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kind", "yolo"), "--kind yolo: no such kind of label files; there are polygons, coco"),
        (("--round", "round1", "--csv", "a.csv"), "--round and --csv both say whose labels"),
        (("--fold", "0"), "--fold is about the teachers of a round"),
        (("--round", "round7"), "no pseudo round 'round7'"),
    ],
)
def test_what_makes_no_sense_is_refused(exported, tmp_path, words, message):
    with pytest.raises(InputFault, match=message):
        exported("out", *words)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(exported, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputFault, match="out is there already; name another folder"):
        exported("out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_a_csv_of_other_images_is_one_message_with_all_of_them(exported, tmp_path):
    rows = [f"{image},{name},\n" for image in ("one.png", "two.png") for name in CLASSES]
    (tmp_path / "other.csv").write_text("id,class,rle\n" + "".join(rows))
    with pytest.raises(InputFault) as raised:
        exported("out", "--csv", "other.csv")
    lines = str(raised.value).splitlines()
    assert ["'one.png'" in lines[0], "'two.png'" in lines[1], len(lines)] == [True, True, 2]


def test_classes_that_exclude_each_other_share_nothing(folder, exported):
    spec = write_spec(folder, exclusive=True, name="exclusive")
    with pytest.raises(InputFault, match=r"pixels are of two classes, which exclude each other"):
        exported("out", "--csv", str(folder / "sub.csv"), spec=spec)


def test_two_images_of_one_label_file_are_refused_and_coco_tells_them_apart(
    folder, tmp_path, exported
):
    root = tmp_path / "twins"
    for above in ("a", "b"):
        write_images(root / "train" / above / "same", (f"{above}1", "1"), ((5, 6), (5, 6)))
    text = (folder / "competition.toml").read_text()
    text = text.replace('"train/*/*.png"', '"train/*/*/*.png"\nimage_id = "path"')
    text = text.replace('test_images = "test/*/*.png"\n', "").replace('sample = "sample.csv"\n', "")
    labels = 'kind = "masks"\nfiles = "m/{stem}.png"\nvalues = "index"'
    (root / "competition.toml").write_text(text.replace(POLYGONS, labels))
    images = ("a/same/1.png", "a/same/a1.png", "b/same/1.png", "b/same/b1.png")
    rows = [f"{image},{name},1 3\n" for image in images for name in CLASSES]
    (root / "sub.csv").write_text("id,class,rle\n" + "".join(rows))
    words = ("out", "--csv", str(root / "sub.csv"))
    with pytest.raises(InputFault, match="would have one label file 'labels/{folder}/{stem}.json'"):
        exported(*words, spec=root / "competition.toml")
    assert "100 masks in 4 images" in exported(
        *words, "--kind", "coco", spec=root / "competition.toml"
    )


def test_files_that_read_back_otherwise_never_appear(exported, tmp_path, monkeypatch):
    """What is written is proven, not trusted."""

    def careless(mask, coordinates):
        return polygons_from_runs(mask, coordinates)[:1]

    monkeypatch.setattr(label_export, "polygons_from_runs", careless)
    with pytest.raises(MachineFault, match="image 'own.png': other masks were read back"):
        exported("out")
    assert list(tmp_path.glob("out*")) == []
