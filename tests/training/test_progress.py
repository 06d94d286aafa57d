"""What validation says on the way: scores as the leaderboard counts them, and dead classes."""

import csv
import io
import re
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from training_runs import Killed, task_of

from competition.machine import machine_of
from competition.models import build
from competition.progress_bar import bars_on
from competition.scoring.metrics import Metric
from competition.training.fit import empty_score, fit
from competition.training.plan import Plan
from competition.training.progress import SILENT, STUCK, Progress, RoundFacts
from competition.training.step import ImageScores

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


def test_a_class_that_stays_at_zero_is_named_once_and_stands_in_the_history(project, tmp_path):
    task, said = one_class_off(task_of(project, **SIX_STEPS), 1), []
    name = task.training.classes[1]
    fitted = fit(task, tmp_path, say=said.append)
    warnings = [line for line in said if line.startswith("warning")]
    assert len(warnings) == 1 and f"dead classes {name}: " in warnings[0]
    assert fitted.dead == (name,)
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [row["dead_classes"] for row in rows] == [""] * (SILENT - 1) + [name] * 2


def test_batches_without_a_mask_are_said_once_at_the_start(project, tmp_path, killed_after):
    task = task_of(project, batch=2, schedule={"epochs": 2})
    empty = {image: runs - runs for image, runs in task.train.runs.items()}
    empty[task.train.images[0]] = task.train.runs[task.train.images[0]]
    task = replace(task, train=replace(task.train, runs=empty))
    said, again = [], []
    with pytest.raises(Killed):
        killed_after(1)
        fit(task, tmp_path, say=said.append)
    assert "of the batches no image has a mask" in said[0] and said[0].startswith("note: in ")
    assert not [line for line in said[1:] if "mask" in line]
    with pytest.raises(Killed):
        killed_after(2)
        fit(task, tmp_path, say=again.append)
    assert not [line for line in again if "mask" in line]


@pytest.fixture
def progress(project, tmp_path):
    said = []
    training = task_of(project).training.model_copy(update={"classes": ("a", "b", "c")})
    plan, metric = Plan(9, 9, 1, 2), Metric(name="dice")
    progress = Progress(tmp_path, training, plan, metric, machine_of(), said.append)
    progress.said = said
    return progress


def scored(labelled, hit):
    return ImageScores(np.zeros(3), np.array(labelled, bool), np.array(hit, bool))


def test_a_class_without_labels_is_not_dead_and_one_that_is_found_again_lives(progress):
    silence = [scored([1, 1, 0], [0, 0, 0]), scored([0, 1, 0], [0, 1, 0])]
    for _ in range(SILENT - 1):
        assert progress.listen(silence, last=False) == ()
    assert progress.listen(silence, last=False) == ("a",) and len(progress.said) == 1
    assert progress.listen([scored([1, 1, 0], [1, 0, 0])], last=False) == ()
    assert progress.dead() == ()


def test_at_the_end_of_a_short_run_two_silent_validations_are_enough(progress):
    silence = [scored([1, 1, 1], [1, 0, 0])]
    assert progress.listen(silence, last=False) == ()
    assert progress.listen(silence, last=True) == ("b", "c")
    assert "dead classes b, c: " in progress.said[0] and "last 2 validations" in progress.said[0]


def test_a_class_that_the_only_validation_of_a_run_did_not_find_is_named(progress):
    silence = [scored([1, 1, 0], [1, 0, 0])]
    assert progress.listen(silence, last=True) == ("b",) == progress.dead()
    assert "dead classes b: " in progress.said[0] and "in the only validation;" in progress.said[0]


def test_a_class_that_was_found_before_is_not_dead_by_the_last_validation_alone(progress):
    progress.listen([scored([1, 1, 1], [1, 1, 1])], last=False)
    assert progress.listen([scored([1, 1, 1], [1, 0, 1])], last=True) == () == progress.dead()
    assert progress.said == []


@pytest.mark.parametrize(
    "short",
    [
        {"schedule": {"epochs": 1}},
        {"schedule": {"iterations": 1}},
        {"schedule": {"epochs": 3}, "validate_every": 2},
    ],
    ids=["one epoch", "one iteration", "validated once before the end"],
)
def test_a_short_run_that_is_validated_once_names_what_it_never_found(project, tmp_path, short):
    settings = {**SIX_STEPS, "validate_every": None, **short}
    settings["schedule"] = {"warmup": 0.0, **settings["schedule"]}
    task, said = one_class_off(task_of(project, **settings), 1), []
    name = task.training.classes[1]
    fitted = fit(task, tmp_path, say=said.append)
    warnings = [line for line in said if line.startswith("warning")]
    assert len(warnings) == 1 and f"dead classes {name}: " in warnings[0]
    assert "in the only validation" in warnings[0] and fitted.dead == (name,)


@pytest.mark.parametrize(
    "metric", [Metric(name="dice"), Metric(name="dice", over="pixels")], ids=str
)
def test_empty_masks_are_scored_as_validation_scores_them(project, metric):
    task = replace(task_of(project), metric=metric)
    truths = [task.validation.runs[image] for image in task.validation.images]
    absent = float(np.mean([truth.area() == 0 for truth in truths]))
    assert empty_score(task) == pytest.approx(absent if metric.over != "pixels" else 0.0)


def test_a_score_that_stands_still_is_said_once_and_again_after_it_moved(progress):
    found = []
    for score in [0.3, *[0.2] * (STUCK + 2), 0.25, *[0.2] * STUCK]:
        image = ImageScores(np.full(3, score), np.ones(3, bool), np.ones(3, bool))
        progress.round_done(RoundFacts(len(progress.rows) + 1, 1, 1e-3, 0.5), [[image]])
        found.append(len(progress.said))
    assert found == [*[0] * STUCK, 1, 1, 1, *[1] * STUCK, 2]
    assert "stuck: the score is 0.200000 in 5 validations in a row" in progress.said[0]
    assert "tune" in progress.said[0] and f"ema {progress.training.recipe.ema}" in progress.said[0]


def test_a_perfect_score_and_one_of_dead_classes_are_not_called_stuck(progress):
    progress.plan = Plan(99, 99, 1, 2)
    for score, hit in [*[(1.0, 1)] * (STUCK + 1), *[(0.1, 0)] * (STUCK + 1)]:
        image = ImageScores(np.full(3, score), np.ones(3, bool), np.full(3, hit, bool))
        progress.round_done(RoundFacts(len(progress.rows) + 1, 1, 1e-3, 0.5), [[image]])
    assert len(progress.said) == 1 and "dead classes" in progress.said[0]


def test_a_run_that_goes_on_remembers_what_it_scored(progress):
    """Four validations before it was killed, and one after."""
    progress.rows = [{"score": 0.5, "epoch": float(n)} for n in range(1, STUCK)]
    image = ImageScores(np.full(3, 0.5), np.ones(3, bool), np.ones(3, bool))
    progress.round_done(RoundFacts(STUCK, 1, 1e-3, 0.5), [[image]])
    assert len(progress.said) == 1


@pytest.mark.parametrize(
    "metric", [Metric(name="dice", over="pixels"), Metric(name="dice-hausdorff")], ids=str
)
def test_a_metric_that_is_no_mean_over_images_is_validated_too(project, tmp_path, metric):
    """Pooled pixels need counts, not scores; volumes are validated by the Dice of their slices."""
    task = replace(task_of(project, schedule={"iterations": 1}), metric=metric)
    fit(task, tmp_path)
    row = next(csv.DictReader((tmp_path / "history.csv").open()))
    assert 0 <= float(row["score"]) <= 1


def test_every_round_is_a_line_with_loss_score_best_so_far_and_time_left(project, tmp_path):
    said = []
    fit(task_of(project), tmp_path, say=said.append)
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    best = max(rows, key=lambda row: float(row["score"]))
    lines = [line for line in said if line.startswith("epoch")]
    words = r"/3  loss \d\.\d{4}  score (\d\.\d{4})  best \d\.\d{4} at epoch \d"
    for number, line in enumerate(lines, 1):
        found = re.match(f"epoch {number}{words}", line)
        assert found and float(found[1]) == pytest.approx(
            float(rows[number - 1]["score"]), abs=1e-4
        )
        assert re.search(r"  \d+:\d\d left$", line) if number < 3 else "left" not in line
    assert len(lines) == 3
    assert f"best {float(best['score']):.4f} at epoch {float(best['epoch']):.0f}" in lines[-1]


def test_a_lower_score_is_the_best_one_of_a_metric_that_is_better_when_lower(progress):
    progress.metric = Metric(name="hausdorff-95")
    progress.rows = [{"score": 3.0, "epoch": 1.0}, {"score": 2.0, "epoch": 2.0}, {"epoch": 3.0}]
    assert progress.scores() == ["score 2.0000", "best 2.0000 at epoch 2"]


@pytest.mark.parametrize(
    "width",
    [
        pytest.param("100", marks=pytest.mark.long),
        pytest.param("40", marks=pytest.mark.long),
        "0",
    ],
)
def test_a_terminal_shows_the_loss_the_scores_and_the_way_left(
    project, tmp_path, monkeypatch, width
):
    monkeypatch.setenv("COLUMNS", width)
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True)
    fit(task_of(project), tmp_path, say=console.print, watch=bars_on(console))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "epoch 3/3" in shown and "training tiny fold 0" in " ".join(shown.split())
    if width == "100":
        assert re.search(r"\d+/\d+ \d:\d\d:\d\d loss \d\.\d{4}  score \d\.\d{4}", shown)


def test_a_bar_goes_on_where_a_killed_run_was(project, tmp_path, killed_after, monkeypatch):
    def counted(counts):
        def watch(title, units):
            return nullcontext(lambda units=1, note=None: counts.append(units))

        return watch

    before, after = [], []
    with pytest.raises(Killed):
        killed_after(1)
        fit(task_of(project), tmp_path / "killed", watch=counted(before))
    monkeypatch.undo()
    fit(task_of(project), tmp_path / "killed", watch=counted(after))
    assert sum(after) == 3 * sum(before) and after[0] > 1
