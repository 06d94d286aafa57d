"""Few groups and folds: the csv is written all the same, by what nobody had to choose."""

import pytest
from tiny_competition import whole_way, write_competition

from competition import steps
from competition.entry import entry_of
from competition.leaderboard import read_leaderboard
from competition.project import Project
from competition.submission import check_submission, read_receipt

CHOICES = """
[ensemble]
recipes = ["tiny"]
folds = {folds}

[recipes.tiny]
base = "unet-cpu"
network = {{ base = 8, stages = 4 }}
size = [64, 64]
batch = 2
schedule = {{ epochs = 1, warmup = 0.0 }}
"""


@pytest.mark.parametrize(
    ("people", "group", "folds", "groups"),
    [
        (4, "folder", [0], 2),
        (2, "folder", [0], 1),
        (2, "folder", [0, 1], 2),
        (1, "image", [0], 1),
        (1, "image", [0, 1], 2),
    ],
    ids=[
        "one fold of two groups",
        "one fold of one group",
        "two folds of a group each",
        "one fold of a single image",
        "two folds of a single image each",
    ],
)
def test_a_submission_is_written_though_no_group_can_be_held_out(
    tmp_path, people, group, folds, groups
):
    """Two folds of the people's images, of which there are two each, or of single images."""
    write_competition(
        tmp_path / "data", people=people, test_people=1, choices=CHOICES.format(folds=folds)
    )
    path = tmp_path / "data" / "competition.toml"
    path.write_text(path.read_text().replace('group = "folder"', f'group = "{group}"'))
    project = Project.open(path, tmp_path / "work", say=lambda line: None)
    entry = entry_of(project.competition)
    whole_way(project, entry)
    csv = project.workspace.submission("main")
    check_submission(project.competition, csv, project.sample, project.sizes)
    receipt = read_receipt(csv)
    assert receipt["kept"] == [] and set(receipt["thresholds"].values()) == {0.5}
    # Of one group there is no interval, neither of its score nor of Private.
    assert (receipt["out of fold"]["low"] is None) == (groups == 1)
    assert (receipt["expected private"] is None) == (groups == 1)
    assert receipt["out of fold"]["how"] == "threshold 0.5"
    assert "nothing is decided: groups are held out" in steps.tune_entry(project, entry).text()
    steps.submit_entry(project, entry, plain=True)
    board = read_leaderboard(project.workspace.submissions, project.metric_sums, project.classes)
    assert [one.name for one in board.standings] == ["main", "main-plain"] and board.text()
