"""The loop, beside the one of docs/extending.md in its place."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
from training_runs import same_weights, task_of

import competition
from competition.machine import machine_of
from competition.training import fit as fitting
from competition.training import trainer

PACKAGE = Path(competition.__file__).parent


def test_a_training_imports_nothing_that_it_can_do_without():
    """Lightning takes torchmetrics, torchvision, transformers and dynamo along: five seconds."""
    code = "import sys, competition.training.fit, competition.steps.train; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    dear = {"ours", "torchmetrics", "torchvision", "transformers", "torch._dynamo", "sympy"}
    assert not dear & set(done.stdout.split())


def test_the_loop_of_the_page_trains_the_same_weights(project, tmp_path, monkeypatch):
    """Without averages, which it has not: bit by bit those of ours."""
    page = (PACKAGE.parent / "docs" / "extending.md").read_text(encoding="utf-8")
    (block,) = re.findall(
        r"^## A training loop\n.*?```python\n(.*?)```", page, re.DOTALL | re.MULTILINE
    )
    machine = machine_of({"PODIUM_DTYPE": "float32", "PODIUM_DEVICE": "cpu"})
    task = task_of(project, ema=0.0)
    fitting.fit(task, tmp_path / "ours", machine=machine)
    names = dict(vars(trainer))
    exec(block, names)
    monkeypatch.setattr(fitting, "run_training", names["run_training"])
    fitting.fit(task, tmp_path / "page", machine=machine)
    assert same_weights(tmp_path / "ours", tmp_path / "page")
    ours, theirs = (pd.read_csv(tmp_path / name / "history.csv") for name in ("ours", "page"))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-6)
