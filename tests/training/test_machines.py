"""Whatever a machine chooses: every dtype, loader processes or none, each way to begin them."""

import gc
import multiprocessing
from itertools import product

import numpy as np
import pytest
import torch
from training_runs import Killed, task_of

from competition.errors import InputFault
from competition.export import export_network
from competition.inference.predict import PredictionSettings, view_means
from competition.machine import machine_of
from competition.models import SegmentationNetwork
from competition.training.checkpoint import load_checkpoint, read_torch
from competition.training.fit import fit
from competition.training.sampler import RunSampler

DTYPES = ("float32", "bfloat16", "float16")
LOADERS = {"none": (0, "spawn"), "two forked": (2, "fork"), "two spawned": (2, "spawn")}
SHORT = (("float32", "two spawned"), ("bfloat16", "two forked"), ("float16", "none"))
"""Every dtype and every loader once; the other pairs are long tests."""


def machine(dtype="float32", **asked):
    asked = {"device": "cpu", "dtype": dtype, "threads": torch.get_num_threads(), **asked}
    return machine_of({f"PODIUM_{name.upper()}": str(value) for name, value in asked.items()})


@pytest.fixture
def task(project):
    return task_of(project, schedule={"epochs": 2}, size=[32, 32])


@pytest.mark.parametrize(
    ("dtype", "loader"),
    [
        pytest.param(*pair, marks=[] if pair in SHORT else pytest.mark.long)
        for pair in product(DTYPES, LOADERS)
    ],
)
def test_a_run_is_trained_killed_resumed_predicted_and_exported(
    task, straight_and_resumed, tmp_path, dtype, loader
):
    """Straight without loader processes, killed and resumed with them: the same weights."""
    workers, start_method = LOADERS[loader]
    if start_method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {start_method} here")
    chosen = machine(dtype, workers=workers, start_method=start_method)
    folder, _ = straight_and_resumed(task, 1, machine=machine(dtype), resumed_on=chosen)
    network, training = load_checkpoint(folder / "checkpoint.pt", classes=task.training.classes)
    image = task.validation.images[0]
    settings = PredictionSettings(batch=2, machine=chosen)
    [(_, logits, _)] = view_means([network], (image,), task.validation.letterboxed[image], settings)
    assert logits.dtype == np.float32 and np.isfinite(logits).all()
    size = training.recipe.size
    assert export_network(network, tmp_path, size=size).difference < 1e-4


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_is_what_training_computes_in(task, tmp_path, monkeypatch, dtype):
    seen, forward = set(), SegmentationNetwork.forward

    def spy(network, images):
        output = forward(network, images)
        if not images.is_meta:  # not the dry run before it
            seen.add(output.logits.dtype)
        return output

    monkeypatch.setattr(SegmentationNetwork, "forward", spy)
    fit(task, tmp_path, machine=machine(dtype))
    assert seen == {getattr(torch, dtype)}


@pytest.mark.long
def test_ten_networks_trained_in_one_process_take_the_memory_of_one(task, tmp_path):
    for number in range(2):
        fit(task, tmp_path / str(number), machine=machine())
    assert not [one for one in gc.get_objects() if isinstance(one, SegmentationNetwork)]


def test_going_on_in_another_dtype_is_refused(task, tmp_path, killed_after, monkeypatch):
    with pytest.raises(Killed):
        killed_after(1)
        fit(task, tmp_path, machine=machine("bfloat16"))
    monkeypatch.undo()
    with pytest.raises(InputFault, match="dtype bfloat16 → float32"):
        fit(task, tmp_path, machine=machine())


def test_going_on_with_other_threads_is_said(task, tmp_path, killed_after, monkeypatch):
    said = []
    threads = torch.get_num_threads()
    with pytest.raises(Killed):
        killed_after(1)
        fit(task, tmp_path, machine=machine(threads=threads))
    monkeypatch.undo()
    fit(task, tmp_path, machine=machine(threads=threads + 1), say=said.append)
    torch.set_num_threads(threads)
    assert any(f"threads {threads} → {threads + 1}" in line for line in said)


def test_a_batch_that_is_not_due_stops_the_run(task, tmp_path, monkeypatch):
    """What a resumed run with loader processes did in silence: it began at round 0 again."""
    draw = RunSampler.draw
    monkeypatch.setattr(RunSampler, "draw", lambda self, place: draw(self, place % 10))
    with pytest.raises(RuntimeError, match="at place 0 came where 10 is due"):
        fit(task, tmp_path, machine=machine())


def test_float16_scales_its_loss_and_goes_on_with_the_scale(task, tmp_path, killed_after):
    with pytest.raises(Killed):
        killed_after(1)
        fit(task, tmp_path, machine=machine("float16"))
    kept = read_torch(tmp_path / "last.pt")
    assert kept["scaler"]["scale"] > 1
