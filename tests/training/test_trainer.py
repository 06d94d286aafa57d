"""The loop, beside the one of docs/extending.md in its place."""

import re
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from training_runs import same_weights, task_of

import competition
from competition.machine import machine_of
from competition.models import build
from competition.training import fit as fitting
from competition.training import step as step_module
from competition.training import trainer
from competition.training.plan import plan_of
from competition.training.progress import Progress
from competition.training.step import TrainingStep

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


def test_losses_of_a_card_are_fetched_now_and_then_and_all_are_looked_at():
    """Each fetch makes the host wait for the card: on a CPU, where it costs nothing, every step is."""
    seen, fetched = [], []
    losses = trainer._Losses(4, lambda step, loss: seen.append((step, loss)))
    losses._fetch = lambda fetch=losses._fetch: fetched.append(len(seen)) or fetch()
    for step in range(10):
        losses.add(torch.tensor(float(step)), step)
    assert [step for step, _ in seen] == list(range(8)) and len(fetched) == 2
    assert losses.mean() == 4.5 and len(seen) == 10


@pytest.fixture
def elsewhere(project):
    """A run on the meta device, which has no numbers: whatever it would fetch from there fails."""
    task = task_of(project)
    machine = replace(machine_of({"PODIUM_DTYPE": "float32"}), device="meta")
    plan = plan_of(task.training.recipe, len(task.train))
    network = build(task.training.recipe.network, len(task.training.classes), pretrained=False)
    step = TrainingStep(
        network, task.training.recipe, classes=len(task.training.classes), steps=9, seed=0
    )
    progress = Progress(Path(), task.training, plan, task.metric, machine)
    return trainer._Run(step, trainer.Loaders([], []), progress, None)


def test_the_average_lies_where_the_network_trains(elsewhere):
    """It lay where the network was made: every step copied all of its weights to the host."""
    of_average = {value.device.type for value in elsewhere.average.mean.state_dict().values()}
    assert of_average == {"meta"} == {p.device.type for p in elsewhere.network.parameters()}


def test_a_step_asks_nothing_of_the_card(elsewhere, monkeypatch):
    """Forward, backward, clipping, optimizer and average on a device without numbers."""
    monkeypatch.setattr(
        torch, "autocast", lambda *what, **how: nullcontext()
    )  # knows no such device
    batch = {
        "images": torch.zeros(2, 3, 64, 64, dtype=torch.uint8),
        "planes": torch.zeros(2, 2, 64, 64, dtype=torch.uint8),
    }
    for index in range(2):
        loss = elsewhere._backward(batch, index)
        elsewhere._update()
    assert loss.device.type == "meta" and elsewhere.done == 2


def test_what_is_pinned_goes_to_the_device_beside_the_computation(elsewhere, monkeypatch):
    asked = []
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, *place, **how: asked.append((place, how)) or self
    )
    elsewhere._here({"images": torch.zeros(1), "image": ["a"]})
    assert asked == [((torch.device("meta"),), {"non_blocking": True})]


def test_logits_on_a_card_are_decided_there():
    class OnACard:
        is_cuda = True

    there = OnACard()
    assert step_module._where_masks_are_made(there) is there
    assert isinstance(step_module._where_masks_are_made(torch.zeros(1)), np.ndarray)


@pytest.mark.parametrize(("device", "fused"), [("cuda", True), ("cpu", True), ("mps", False)])
def test_the_optimizer_passes_over_memory_once_where_torch_can(project, device, fused):
    task = task_of(project)
    network = build(task.training.recipe.network, len(task.training.classes), pretrained=False)
    step = TrainingStep(network, task.training.recipe, classes=2, steps=9, seed=0)
    optimizer, _ = step.optimizer(device)
    assert bool(optimizer.defaults["fused"]) == fused
