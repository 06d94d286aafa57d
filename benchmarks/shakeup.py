"""Does the Private score lie in the interval that was predicted for it? Many demos, one table."""

from pathlib import Path

from competition import steps
from competition.data.demo import make_demo
from competition.data.demo_file import competition_file
from competition.entry import Entry, entry_of
from competition.solution import score_file
from competition.project import Project
from competition.steps import Bench

PEOPLE, TEST_PEOPLE, PIXELS = 30, 40, 128
"""Of each demo: two images a person; 12 of the test people are Public, 28 Private."""

EPOCHS, SIZE = 15, 64


def demo_of(seed: int, work: Path) -> Project:
    """The project of one seed's demo below `work`, written where it is not there."""
    name = f"shakeup-{seed}"
    root = work / name
    data = root / "data"
    if not (data / "competition.toml").exists():
        make_demo(data, seed=seed, people=PEOPLE, test_people=TEST_PEOPLE, size=PIXELS)
        text = competition_file(name, epochs=EPOCHS, size=SIZE)
        (data / "competition.toml").write_text(text, encoding="utf-8")
    return Project.open(data / "competition.toml", root)


def predicted(bench: Bench, entry: Entry) -> None:
    """Train and predict every network of the entry; what is fresh is skipped."""
    steps.split(bench)
    for member in entry.members:
        for fold in entry.folds:
            steps.train(bench, member, fold, workers=0)
            steps.predict(bench, member, fold)
        steps.average_folds(bench, member, entry.folds)
