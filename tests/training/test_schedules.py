"""How long a run is, by epochs or by iterations, and its learning rate on the way."""

import csv
from itertools import pairwise

import pytest
from pydantic import ValidationError
from training_runs import task_of

from competition.errors import InputFault
from competition.recipes import Recipe, Schedule, derive, recipe_named
from competition.training.fit import fit
from competition.training.plan import plan_of
from competition.training.step import factor

BY_ITERATIONS = {"schedule": {"iterations": 7, "warmup": 0.0}, "validate_every": 3}


def rates(schedule: Schedule, steps: int) -> list[float]:
    return [factor(step, steps, schedule) for step in range(steps + 1)]


def test_a_schedule_has_one_length_and_thirty_epochs_by_default():
    assert (Schedule().epochs, Schedule().iterations) == (30, None)
    assert (Schedule(iterations=9).epochs, Schedule(iterations=9).iterations) == (None, 9)
    with pytest.raises(ValidationError, match="by epochs or by iterations, not by both"):
        Schedule(epochs=3, iterations=9)
    both = {"mine": {"base": "unet-cpu", "schedule": {"epochs": 3, "iterations": 9}}}
    with pytest.raises(InputFault, match=r"\[recipes.mine\] schedule: .*not by both"):
        recipe_named("mine", both)


def test_a_derived_recipe_may_change_the_kind_of_length():
    base = recipe_named("unet-cpu", {})
    longer = derive(base, {"schedule": {"iterations": 900, "warmup": 0.1}})
    assert (longer.schedule.epochs, longer.schedule.iterations) == (None, 900)
    assert derive(longer, {"schedule": {"epochs": 4}}).schedule == Schedule(epochs=4, warmup=0.1)
    assert derive(longer, {"batch": 2}).schedule == longer.schedule


def test_the_published_runs_are_as_long_as_published():
    long = {
        "": 25_000,
        "-12k": 12_000,
        "-37k": 37_000,
        "-50k": 50_000,
        "-1x1": 25_000,
        "-1x1-12k": 12_000,
        "-1x1-13k": 13_000,
        "-up": 25_000,
        "-up-6k": 6_000,
    }
    for ending, iterations in long.items():
        recipe = recipe_named(f"deeplabv3plus-gn{ending}", {})
        assert plan_of(recipe, 640).iterations == iterations
        assert recipe_named(recipe.name + "-cpu", {}).schedule.iterations == iterations // 125


def test_warm_up_rises_linearly_and_the_cosine_ends_at_the_final_share():
    rate = rates(Schedule(warmup=0.1, final=0.01), 100)
    assert rate[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rate[10] == 1 and rate[-1] == pytest.approx(0.01)
    assert rate[55] == pytest.approx((1 + 0.01) / 2)
    assert all(a > b for a, b in pairwise(rate[10:]))


@pytest.mark.parametrize(("stretch", "begins"), [(1.0, (0, 40, 80)), (2.0, (0, 120 / 7, 360 / 7))])
def test_after_a_restart_the_rate_is_whole_again_and_falls_as_before(stretch, begins):
    rate = rates(Schedule(warmup=0.0, final=0.0, restarts=2, stretch=stretch), 120)
    jumps = [step for step in range(1, 121) if rate[step] > rate[step - 1]]
    assert jumps == [int(begin) + (begin % 1 > 0) for begin in begins[1:]]
    assert all(rate[step] > 0.99 for step in (0, *jumps)) and rate[-1] == pytest.approx(0)
    if stretch == 1:
        assert rate[:40] == pytest.approx(rate[40:80])
        assert rate[:40] == pytest.approx(rate[80:120])


def test_restarts_must_be_there_for_a_stretch():
    with pytest.raises(ValidationError, match="stretch 2.0 is for restarts"):
        Schedule(stretch=2.0)


def test_a_plan_counts_iterations_in_both_ways():
    recipe = Recipe(name="x", about="x", batch=4, accumulate=2, schedule=Schedule(epochs=3))
    assert plan_of(recipe, 23).iterations == 3 * 3  # 5 batches are 3 steps, 3 images wait
    by_steps = derive(recipe, {"schedule": {"iterations": 50}, "validate_every": 20})
    plan = plan_of(by_steps, 23)
    assert (plan.iterations, plan.rounds, plan.examples) == (50, 3, 20 * 2 * 4)


def test_a_run_by_iterations_stops_at_the_last_and_has_a_line_a_validation(project, tmp_path):
    task = task_of(project, **BY_ITERATIONS)
    fit(task, tmp_path)
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [row["step"] for row in rows] == ["3.0", "6.0", "7.0"]
    assert all(0 <= float(row["score"]) <= 1 for row in rows)
    assert float(rows[-1]["epoch"]) == pytest.approx(7 * 2 / len(task.train), abs=1e-3)
    assert float(rows[-1]["learning_rate"]) == pytest.approx(
        task.training.recipe.optimizer.learning_rate * 1e-3
    )


@pytest.mark.parametrize(
    ("changes", "round_number"),
    [
        (BY_ITERATIONS, 2),
        pytest.param(
            {"schedule": {"epochs": 2, "restarts": 1}, "accumulate": 2}, 1, marks=pytest.mark.long
        ),
        pytest.param(
            {"schedule": {"epochs": 2}, "sampling": {"crop": [32, 48], "positives": [0.9, 0.1]}},
            2,
            marks=pytest.mark.long,
        ),
    ],
    ids=["iterations", "restarts", "crops, at the end"],
)
def test_a_killed_run_of_any_kind_ends_with_the_weights_of_the_straight_one(
    project, straight_and_resumed, changes, round_number
):
    """Also where it was killed after its last round: the average had not reached the weights."""
    straight, resumed = straight_and_resumed(task_of(project, **changes), round_number)
    assert (straight / "history.csv").read_text() == (resumed / "history.csv").read_text()
