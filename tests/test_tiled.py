"""A recipe with tiles, the whole way: trained on parts, predicted by tiles, tuned, submitted."""

import pytest
from tiny_competition import whole_way, write_competition

from competition import steps
from competition.entry import entry_of
from competition.inference import store as stores
from competition.inference.store import Store
from competition.pipeline import Pipeline
from competition.project import Project
from competition.submission import check_submission

TILED = """
[ensemble]
recipes = ["tiled"]
folds = [0, 1]
views = ["mirror"]
refine = { radius = 2, epsilon = 0.01 }

[recipes.tiled]
base = "unet-cpu"
network = { base = 8, stages = 4 }
size = [32, 32]
tiles = { scale = 0.75, overlap = 0.25 }
sampling = { centred = 0.5 }
batch = 2
schedule = { epochs = 1, warmup = 0.0 }
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("download") / "data"
    write_competition(folder, people=2, test_people=1, choices=TILED)
    return folder


@pytest.fixture(scope="module")
def tiled(data, tmp_path_factory):
    """Everything up to the csv and a pseudo round, its images read in pieces of a strip each."""
    patch = pytest.MonkeyPatch()
    patch.setattr(stores, "PIECE", 1)
    project = Project.open(data / "competition.toml", tmp_path_factory.mktemp("work"), say=str)
    entry = entry_of(project.competition)
    whole_way(project, entry)
    settings = steps.round_settings(
        project, entry, "round1", (), {"share": 1.0, "allow_missing": True}
    )
    steps.make_pseudo_round(project, "round1", settings)
    yield project
    patch.undo()


def test_a_store_written_by_tiles_is_tuned_and_submitted(tiled):
    pipeline, entry = Pipeline(tiled), entry_of(tiled.competition)
    handed = tiled.workspace.submission(entry.name)
    assert check_submission(handed, tiled.competition, tiled.sizes) is None or handed.is_file()
    store = Store.open(tiled.workspace.run("tiled", 0) / "oof", classes=tiled.classes)
    for image in store.images:
        expected = tuple(round(0.75 * side) for side in tiled.sizes[image])
        assert store.grid_of(image) == expected and len(store.strip_rows(image)) > 1
    assert pipeline.submit(entry).state().kind == "fresh"
