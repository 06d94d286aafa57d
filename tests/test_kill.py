"""Commands that are killed: nothing half-written stays, and running again completes them."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from competition.entry import entry_of
from competition.pipeline import Pipeline, states
from competition.project import Project
from competition.submission import check_submission
from competition.workspace import TEMPORARY

ROOT = Path(__file__).parents[1]
STEPS = ("folds", "train", "predict", "ensemble", "tune", "submit", "pseudo --allow-missing")

pytestmark = pytest.mark.long


def started(step, file, folder):
    """The process of a command, or of `run` and a goal."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "competition", *step.split(), "-c", str(file)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(step, file, folder):
    process = started(step, file, folder)
    text, _ = process.communicate(timeout=1800)
    assert process.returncode == 0, text
    return text


def test_any_step_may_be_killed_at_any_time(tiny_data, tmp_path):
    file = tiny_data / "competition.toml"
    chance = random.Random(0)
    for step in STEPS:
        for _ in range(4):
            process = started(step, file, tmp_path)
            time.sleep(chance.uniform(0.5, 12.0))
            process.kill()
            process.communicate()
        finish(step, file, tmp_path)
    project = Project.open(file, tmp_path)
    found = states(Pipeline(project).stages("submit", entry_of(project.competition)))
    assert {state.kind for _, state in found} == {"fresh"}
    csv = project.workspace.submission("main")
    check_submission(project.competition, csv, project.sample, project.sizes)
    receipts = list((tmp_path / "submissions").rglob("*.csv"))
    assert [path.name for path in receipts] == ["main.csv"]


@pytest.mark.parametrize("step", ["train", "run train"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_is_asked_to_stop_says_how_to_go_on(
    tiny_data, tmp_path, step, number, code
):
    """A chain that is told to end tells its step, waits for it to tidy up, and ends like it."""
    file = tiny_data / "competition.toml"
    finish("folds", file, tmp_path)
    process = started(step, file, tmp_path)
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            break
    process.send_signal(number)
    rest, _ = process.communicate(timeout=600)
    assert process.returncode == code
    assert "run the same command again to go on" in rest and "Traceback" not in rest
    assert not list((tmp_path / "runs").rglob("checkpoint.pt"))
    assert not list(tmp_path.rglob(f"{TEMPORARY}*"))
    assert "epoch 1/" not in finish("train", file, tmp_path).split("fold 1")[0]
