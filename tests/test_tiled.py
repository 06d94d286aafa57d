"""A recipe with tiles, the whole way: trained on parts, predicted by tiles, tuned, submitted."""

import pytest
from tiny_competition import whole_way, write_competition

from competition import steps
from competition.doctor.label_checks import check_sizes
from competition.entry import Member, entry_of
from competition.inference import store as stores
from competition.inference.store import STRIPS, Store
from competition.pipeline import Pipeline
from competition.project import Project
from competition.submission import check_submission
from competition.training.checkpoint import load_checkpoint
from competition.workspace import read_json

TILED = """
[ensemble]
recipes = ["tiled"]
folds = [0]

[recipes.tiled]
base = "unet-cpu"
network = { base = 8, stages = 4 }
size = [32, 32]
tiles = { scale = 0.75, overlap = 0.25 }
sampling = { centred = 0.5 }
batch = 2
schedule = { epochs = 1, warmup = 0.0 }
"""
MORE = """
[recipes.whole]
base = "unet-cpu"
network = { base = 8, stages = 4 }
size = [64, 64]
batch = 2
schedule = { epochs = 1, warmup = 0.0 }
"""


def opened(factory, choices):
    folder = factory.mktemp("download") / "data"
    write_competition(folder, people=2, test_people=1, choices=choices)
    return Project.open(folder / "competition.toml", factory.mktemp("work"), say=str)


@pytest.fixture(scope="module")
def tiled(tmp_path_factory):
    """Everything up to the csv, the images read in pieces of a strip each."""
    project = opened(tmp_path_factory, TILED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores, "PIECE", 1)
        whole_way(project, entry_of(project.competition))
    return project


def test_a_store_written_by_tiles_is_tuned_and_submitted(tiled):
    entry = entry_of(tiled.competition)
    handed = tiled.workspace.submission(entry.name)
    check_submission(tiled.competition, handed, tiled.sample, tiled.sizes)
    store = Store.open(tiled.workspace.run("tiled", 0) / "oof", classes=tiled.classes)
    assert store.images and read_json(store.folder / "store.json")["format"] == STRIPS
    for image in store.images:
        assert store.grid_of(image) == tuple(round(0.75 * side) for side in tiled.sizes[image])
        assert len(store.strip_rows(image)) > 1


def test_other_tiles_make_a_training_outdated_and_are_in_its_receipts(tiled):
    pipeline = Pipeline(tiled)
    assert pipeline.train(Member("tiled"), 0).state().kind == "fresh"
    assert pipeline.submit(entry_of(tiled.competition)).state().kind == "fresh"
    path = tiled.competition.root / "competition.toml"
    text = path.read_text()
    path.write_text(text.replace("scale = 0.75", "scale = 0.7"))
    try:
        other = Project.open(path, tiled.workspace.root, say=str)
        state = Pipeline(other).train(Member("tiled"), 0).state()
        assert (state.kind, state.why) == ("stale", "recipe changed")
    finally:
        path.write_text(text)
    network, training = load_checkpoint(
        tiled.workspace.run("tiled", 0) / "checkpoint.pt",
        classes=tiled.classes,
        pixels=tiled.competition.data,
    )
    assert training.recipe.tiles.scale == 0.75 and training.recipe.input_sizes == ((32, 32),)
    assert network.channels == 3


def test_the_doctor_says_what_is_left_at_the_scale(tiled):
    rows = tiled.rows("train")
    report = check_sizes(tiled.competition, rows, tiled.labels)
    assert "at scale 0.75" in str(report)


@pytest.mark.long
def test_tiles_are_blended_with_whole_images_refined_viewed_and_taught(tmp_path_factory):
    choices = TILED.replace('["tiled"]', '["tiled", "whole"]') + MORE
    extra = 'views = ["mirror"]\nrefine = { radius = 2, epsilon = 0.01 }\n\n[recipes.tiled]'
    project = opened(tmp_path_factory, choices.replace("\n[recipes.tiled]", extra))
    entry = entry_of(project.competition)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores, "PIECE", 1)
        whole_way(project, entry)
        every = {"share": 1.0, "allow_missing": True}
        settings = steps.round_settings(project, entry, "round1", (), every)
        steps.make_pseudo_round(project, "round1", settings)
    handed = project.workspace.submission(entry.name)
    check_submission(project.competition, handed, project.sample, project.sizes)
    assert len(entry.members) == 4
    student = Member("tiled", pseudo="round1")
    steps.train_network(project, student, 0)
    assert (project.workspace.run(str(student), 0) / "checkpoint.pt").is_file()
