"""Scans from labels to a scored submission, by the metric of UW-Madison, with neighbouring slices."""

import csv

import numpy as np
import pytest
from PIL import Image
from tiny_competition import whole_way

from competition import steps
from competition.decoding.blend import blend
from competition.decoding.decisions import decide, plain_rules
from competition.doctor import examine
from competition.entry import entry_of
from competition.errors import InputFault
from competition.masks import RleFormat, Runs, encode
from competition.project import Project
from competition.scoring import evaluate_volumes
from competition.solution import score_submission
from competition.steps.prediction_stores import out_of_fold
from competition.steps.private_interval import spread
from competition.training.checkpoint import load_checkpoint

CLASSES, SIZE, DEPTH = ("bowel", "stomach"), (24, 32), 9
FORM = RleFormat(order="rows", rows="image-class")
FILE = """
name = "scans"
classes = ["bowel", "stomach"]
horizontal_flip = "allowed"

[data]
root = "."
train_images = "train/*/*/*.png"
test_images = "test/*/*/*.png"
image_id = { pattern = "(case[0-9]+_day[0-9]+)/(slice_[0-9]+)", value = "\\\\1_\\\\2" }
group = { pattern = "case[0-9]+" }
volume = { pattern = "case[0-9]+_day[0-9]+" }
slice_spacing = 3.0
neighbours = 1

[labels]
kind = "rle"
file = "train.csv"
image = "id"
label = "class"
rle = "text"
rows = "image-class"

[submission]
sample = "sample.csv"
image = "id"
label = "class"
rle = "text"
rows = "image-class"
order = "rows"

[metric]
name = "dice-hausdorff"
empty = "skip"

[split]
folds = 2
holdout = 0.3

[ensemble]
recipes = ["tiny"]
views = []

[recipes.tiny]
base = "unet-cpu"
network = { base = 8, stages = 3 }
size = [32, 32]
batch = 2
schedule = { epochs = 1, warmup = 0.0 }
"""


def drawn(random) -> list[np.ndarray]:
    """A scan of two balls, as masks (K, H, W) of its slices."""
    rows, columns = np.indices(SIZE)
    centres = random.uniform(7, 16, (2, 2))
    found = []
    for place in range(DEPTH):
        radii = 5 - abs(place - 4), 3 - abs(place - 3)
        found.append(
            np.stack(
                [
                    np.hypot(rows - row, columns - column) < radius
                    for (row, column), radius in zip(centres, radii, strict=True)
                ]
            )
        )
    return found


def written(folder):
    """The download of nine people; the last two are the test part, one Public and one Private."""
    random, tables = np.random.default_rng(0), {"train": [], "test": []}
    for case in range(9):
        part = "train" if case < 7 else "test"
        for place, masks in enumerate(drawn(random), 1):
            pixels = random.normal(60, 10, SIZE) + 60 * masks[0] + 120 * masks[1]
            path = folder / part / f"case{case}" / f"case{case}_day0" / f"slice_{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
            texts = encode(Runs.from_dense(masks), FORM)
            image = f"case{case}_day0_slice_{place}"
            usage = "Public" if case == 7 else "Private"
            tables[part] += [
                (image, name, text, usage) for name, text in zip(CLASSES, texts, strict=True)
            ]
    head = ("id", "class", "text", "Usage")
    write(folder / "train.csv", [head, *tables["train"]], columns=3)
    write(folder / "solution.csv", [head, *tables["test"]])
    write(folder / "sample.csv", [head, *((*row[:2], "", "") for row in tables["test"])], columns=3)
    (folder / "competition.toml").write_text(FILE)


def write(path, rows, columns=4):
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(row[:columns] for row in rows)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    written(folder)
    project = Project.open(folder / "competition.toml", folder, say=lambda line: None)
    entry = entry_of(project.competition)
    whole_way(project, entry)
    return project, entry, project.workspace.submissions / "main.csv"


def whole_score(project, images, truth, found) -> float:
    """As the organisers do it: whole scans, their slices in order."""
    slices, scans = project.slices, {}
    for image in images:
        scans.setdefault(slices[image][0], []).append(image)
    ordered = [sorted(scan, key=lambda image: slices[image][1]) for scan in scans.values()]
    assert {len(scan) for scan in ordered} == {DEPTH}
    pairs = ([[one(image) for image in scan] for scan in ordered] for one in (truth, found))
    return evaluate_volumes(*pairs, project.competition.metric, spacing=(3.0, 1.0, 1.0))


def test_the_out_of_fold_score_is_that_of_whole_scans(finished):
    project, entry, _ = finished
    report = steps.score_ensemble(project, entry)
    together = blend(out_of_fold(project, entry))
    expected = whole_score(
        project,
        together.images,
        project.labels.__getitem__,
        lambda image: decide(together, image, plain_rules(CLASSES)),
    )
    assert report.score.value == pytest.approx(expected)
    assert steps.tune_entry(project, entry).plain == report.score
    assert report.groups == project.folds["group"].nunique()


def test_the_network_sees_the_slices_before_and_after(finished):
    project, entry, _ = finished
    folder = project.workspace.run(str(entry.members[0]), 0)
    network, training = load_checkpoint(folder / "checkpoint.pt", classes=CLASSES)
    assert network.channels == training.recipe.network.channels == 9


def test_a_submission_is_scored_by_whole_scans_on_each_board(finished):
    project, _, path = finished
    solution = project.workspace.root / "solution.csv"
    table = score_submission(
        project.competition, path, solution, project.sizes, slices=project.slices
    )
    assert {name: one.images for name, one in table.parts.items()} == {
        "Public": DEPTH,
        "Private": DEPTH,
        "All": 2 * DEPTH,
    }
    right = score_submission(
        project.competition, truth_as_csv(project), solution, project.sizes, slices=project.slices
    )
    assert [one.score.value for one in right.parts.values()] == [1.0] * 3
    assert table.parts["All"].present is None
    assert table.parts["Public"].score.low is None and table.parts["All"].score.low is not None


def truth_as_csv(project):
    rows = list(csv.reader((project.workspace.root / "solution.csv").open(newline="")))
    path = project.workspace.root / "right.csv"
    write(path, rows, columns=3)
    return path


def test_a_scan_on_two_boards_is_refused(finished, tmp_path):
    project, _, path = finished
    rows = list(csv.reader((project.workspace.root / "solution.csv").open(newline="")))
    rows = [[*row[:3], "Private"] if row[0].endswith("_9") else row for row in rows]
    write(tmp_path / "solution.csv", rows)
    with pytest.raises(InputFault, match="volume 'case7_day0' is Public and Private"):
        score_submission(
            project.competition,
            path,
            tmp_path / "solution.csv",
            project.sizes,
            slices=project.slices,
        )


def test_a_sample_for_comparing_takes_whole_scans():
    slices = {f"s{scan}-{place}": (f"s{scan}", place) for scan in range(50) for place in range(20)}
    chosen = spread(list(slices), slices)
    scans = {slices[image][0] for image in chosen}
    assert len(chosen) == 20 * len(scans) == 200
    assert len(spread([f"i{n}" for n in range(1000)])) == 200


def test_the_holdout_is_scored_by_whole_scans(finished):
    project, entry, _ = finished
    found = steps.score_holdout(project, entry)
    assert found.images == DEPTH * found.groups and 0 <= found.score.value <= 1


def test_the_doctor_says_how_many_scans_there_are(finished):
    project, *_ = finished
    assert ("volumes", "9 of 9 to 9 slices") in examine(
        project.competition, project.workspace
    ).found
