"""The mean of the best rounds: chosen by people of their own, resumed, and refused."""

import re
from dataclasses import replace

import pandas as pd
import pytest
import torch
from training_runs import same_weights, task_of, weights

from competition.errors import InputFault
from competition.masks import Runs
from competition.recipes import derive
from competition.steps.train import set_aside
from competition.training import weight_averaging
from competition.training.fit import fit
from competition.training.weight_averaging import BestRounds

BEST = {"best": {"rounds": 2, "aside": 0.25}}


def test_the_best_rounds_are_chosen_by_people_who_are_neither_trained_nor_validated_on(project):
    task = task_of(project, **BEST)
    catalog = project.catalog.set_index("image")["group"]
    sides = (task.train.images, task.validation.images, task.aside.images)
    people = [set(catalog[list(side)]) for side in sides]
    assert all(people)
    assert not people[0] & people[1] and not people[0] & people[2] and not people[1] & people[2]
    without = task_of(project)
    assert without.aside is None
    assert {*task.train.images, *task.aside.images} == set(without.train.images)
    assert task.training.images == len(task.train)


def test_the_checkpoint_is_the_mean_of_the_best_rounds(project, tmp_path, monkeypatch):
    """Scores are given, not measured: the first and the third of three rounds are best."""
    given, seen = iter([0.9, 0.1, 0.5]), []

    def watched(image_scores, metric):
        return next(given)

    monkeypatch.setattr(weight_averaging, "metric_over", watched)
    validated = BestRounds.validated

    def kept(self, step, network, image_scores):
        validated(self, step, network, image_scores)
        state = network.state_dict()
        seen.append({name: value.clone() for name, value in state.items()})

    monkeypatch.setattr(BestRounds, "validated", kept)
    said = []
    fit(task_of(project, **BEST), tmp_path, say=said.append)
    assert len(seen) == 3
    assert re.search(r"after iterations \d+ \(0\.9000\), \d+ \(0\.5000\)$", said[-1])
    learnt = [name for name in seen[0] if "running" not in name and "num_batches" not in name]
    for name in learnt:
        mean = (seen[0][name] + seen[2][name]) / 2
        assert torch.allclose(weights(tmp_path)[name], mean, atol=1e-6), name
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["score_aside"].between(0, 1).all()


def test_the_labels_of_the_fold_have_no_say_in_the_best_rounds(project, tmp_path):
    task = task_of(project, **BEST)
    fit(task, tmp_path / "true")
    empty = {
        image: Runs.empty(task.validation.runs[image].shape) for image in task.validation.images
    }
    garbled = replace(task, validation=replace(task.validation, runs=empty))
    fit(garbled, tmp_path / "garbled")
    assert same_weights(tmp_path / "true", tmp_path / "garbled")


@pytest.mark.long
def test_a_killed_run_of_best_rounds_ends_with_the_weights_of_the_straight_one(
    project, straight_and_resumed
):
    straight_and_resumed(task_of(project, **BEST))


def test_one_person_cannot_be_both_trained_on_and_set_aside(project):
    rows = project.rows("train")
    own = tuple(rows["image"][rows["group"] == rows["group"].iloc[0]])
    recipe = derive(project.recipe("tiny"), BEST)
    with pytest.raises(InputFault, match=rf"sets {len(own)} of {len(own)} training images aside"):
        set_aside(project, own, own, recipe, seed=0)


def test_two_averages_are_refused(project):
    with pytest.raises(ValueError, match="swa and best both say which rounds are averaged"):
        derive(project.recipe("tiny"), {**BEST, "swa": 2})
