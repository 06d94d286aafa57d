"""Steps are timed once a recipe and machine, and kept."""

from dataclasses import replace

import pytest

from competition.machine import machine_of
from competition.planning import step_costs
from competition.planning.step_costs import Probe, StepCosts, measure_step
from competition.recipes import derive
from competition.training import weight_averaging


@pytest.fixture
def probe(planned):
    return Probe(planned.competition, planned.rows("train").head(3), planned.labels)


@pytest.fixture
def tiny(planned):
    return planned.recipe("tiny")


def test_a_step_is_really_taken_and_timed(probe, tiny):
    cost = measure_step(tiny, probe, machine_of())
    large = measure_step(derive(tiny, {"size": [256, 256]}), probe, machine_of())
    assert 0 < cost.step < large.step
    assert 0 < cost.cpu < large.cpu
    assert 0 < cost.predict < large.predict
    assert cost.letterbox > 0
    assert cost.memory > 2**20


def test_workers_make_examples_beside_the_step(probe, tiny):
    alone = measure_step(tiny, probe, machine_of({"PODIUM_WORKERS": "0"}))
    beside = measure_step(tiny, probe, machine_of({"PODIUM_WORKERS": "4"}))
    assert beside.step < alone.cpu + alone.step


def test_what_was_timed_is_kept_by_recipe_and_machine(probe, tiny, timed, tmp_path):
    file, machine = tmp_path / "costs.json", machine_of({"PODIUM_DTYPE": "float32"})
    first = StepCosts(probe, machine, file).of(tiny)
    assert StepCosts(probe, machine, file).of(tiny) == first
    assert len(timed) == 1
    for other in (derive(tiny, {"size": [96, 96]}), derive(tiny, {"batch": 4})):
        StepCosts(probe, machine, file).of(other)
    StepCosts(probe, replace(machine, dtype="bfloat16"), file).of(tiny)
    assert len(timed) == 4
    StepCosts(probe, machine, file).of(derive(tiny, {"schedule": {"iterations": 7}}))
    assert len(timed) == 4  # how long a run is does not change what a step costs
    StepCosts(probe, machine, file, fresh=True).of(tiny)
    assert len(timed) == 5


def test_the_median_of_several_counts_after_the_first(monkeypatch):
    pairs = ((1, 1), (2, 5), (3, 4), (40, 6))
    moments = [step_costs._Moment(*pair) for pair in pairs]
    monkeypatch.setattr(step_costs, "MOST", 3)
    assert step_costs._median(iter(moments)) == (3, 5)


def test_a_timed_step_moves_the_average_as_a_training_does(probe, tiny, monkeypatch):
    moved = []

    def counted(decay):
        return lambda averages, current, updates: moved.append(decay)

    monkeypatch.setattr(weight_averaging, "ema_step", counted)
    measure_step(tiny, probe, machine_of())
    assert len(moved) >= step_costs.FEWEST
    assert set(moved) == {tiny.ema}
