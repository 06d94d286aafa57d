"""One file knows Lightning's loop: docs/extending.md has a loop of its own in its place."""

import re
from pathlib import Path

import pandas as pd
from training_runs import same_weights, task_of

import competition
from competition.machine import machine_of
from competition.training import fit as fitting
from competition.training import trainer

PACKAGE = Path(competition.__file__).parent


def test_only_the_trainer_and_the_loggers_import_lightning():
    importing = re.compile(r"^\s*(from|import) lightning", re.MULTILINE)
    found = [path for path in PACKAGE.rglob("*.py") if importing.search(path.read_text("utf-8"))]
    assert {path.relative_to(PACKAGE).as_posix() for path in found} == {
        "training/trainer.py",
        "training/loggers.py",
    }


def test_the_loop_of_the_page_trains_the_same_weights(project, tmp_path, monkeypatch):
    """Without averages, which it has not: bit by bit those of Lightning's loop."""
    page = (PACKAGE.parent / "docs" / "extending.md").read_text(encoding="utf-8")
    (block,) = re.findall(
        r"^## A training loop\n.*?```python\n(.*?)```", page, re.DOTALL | re.MULTILINE
    )
    machine = machine_of({"PODIUM_DTYPE": "float32", "PODIUM_DEVICE": "cpu"})
    task = task_of(project, ema=0.0)
    fitting.fit(task, tmp_path / "lightning", machine=machine)
    names = dict(vars(trainer))
    exec(block, names)
    monkeypatch.setattr(fitting, "run_training", names["run_training"])
    fitting.fit(task, tmp_path / "page", machine=machine)
    assert same_weights(tmp_path / "lightning", tmp_path / "page")
    ours, theirs = (pd.read_csv(tmp_path / name / "history.csv") for name in ("lightning", "page"))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-6)
