"""What validation says on the way: scores as the leaderboard counts them, and dead classes."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from training_runs import task_of

from competition.models import build
from competition.scoring.metrics import Metric
from competition.training.fit import fit
from competition.training.module import Verdict
from competition.training.plan import Plan
from competition.training.progress import SILENT, Progress

SIX_STEPS = {
    "schedule": {"iterations": SILENT + 1, "warmup": 0.0},
    "validate_every": 1,
    "optimizer": {"learning_rate": 1e-30},
}


def one_class_off(task, place):
    """`task` from a network that marks every pixel of all classes but one, and none of that one."""
    network = build(task.training.recipe.network, len(task.training.classes), pretrained=False)
    layer = network.body.logit_layers()[-1]
    layer.weight.data.zero_()
    layer.bias.data.fill_(9.0)
    layer.bias.data[place] = -9.0
    return replace(task, start=network.state_dict())


def test_a_class_that_stays_at_zero_is_named_once_and_stands_in_the_history(bench, tmp_path):
    task, said = one_class_off(task_of(bench, **SIX_STEPS), 1), []
    name = task.training.classes[1]
    fitted = fit(task, tmp_path, say=said.append)
    warnings = [line for line in said if line.startswith("warning")]
    assert len(warnings) == 1 and f"dead classes {name}: " in warnings[0]
    assert fitted.dead == (name,)
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [row["dead_classes"] for row in rows] == [""] * (SILENT - 1) + [name] * 2


@pytest.fixture
def progress(bench, tmp_path):
    said = []
    training = task_of(bench).training.model_copy(update={"classes": ("a", "b", "c")})
    progress = Progress(tmp_path, training, Plan(9, 9, 1, 2), Metric(name="dice"), said.append)
    progress.said = said
    return progress


def verdict(labelled, hit):
    return Verdict(np.zeros(3), np.array(labelled, bool), np.array(hit, bool))


def test_a_class_without_labels_is_not_dead_and_one_that_is_found_again_lives(progress):
    silence = [verdict([1, 1, 0], [0, 0, 0]), verdict([0, 1, 0], [0, 1, 0])]
    for _ in range(SILENT - 1):
        assert progress.listen(silence, last=False) == ()
    assert progress.listen(silence, last=False) == ("a",) and len(progress.said) == 1
    assert progress.listen([verdict([1, 1, 0], [1, 0, 0])], last=False) == ()
    assert progress.dead() == ()


def test_at_the_end_of_a_short_run_two_silent_validations_are_enough(progress):
    silence = [verdict([1, 1, 1], [1, 0, 0])]
    assert progress.listen(silence, last=False) == ()
    assert progress.listen(silence, last=True) == ("b", "c")
    assert "dead classes b, c: " in progress.said[0] and "last 2 validations" in progress.said[0]


@pytest.mark.parametrize(
    "metric", [Metric(name="dice", over="pixels"), Metric(name="dice-hausdorff")], ids=str
)
def test_a_metric_that_is_no_mean_over_images_is_validated_too(bench, tmp_path, metric):
    """Pooled pixels need counts, not scores; volumes are judged by the Dice of their slices."""
    task = replace(task_of(bench, schedule={"iterations": 1}), metric=metric)
    fit(task, tmp_path)
    row = next(csv.DictReader((tmp_path / "history.csv").open()))
    assert 0 <= float(row["score"]) <= 1
