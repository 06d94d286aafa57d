"""Annotators' masks are what a network is trained on, and nothing else knows them."""

from dataclasses import replace

import numpy as np
import pytest
from test_ignored_pixels import Laid
from test_sampler import STILL
from training_runs import task_of

from competition.data.loader import Draw, Labelled, TrainingSet
from competition.machine import machine_of
from competition.masks import Runs, unpack
from competition.recipes import Recipe

SIZE, CLASSES, ANNOTATORS = (20, 30), 2, 3


def masks(seed: int) -> np.ndarray:
    """bool (R, K, H, W): what three annotators drew."""
    drawn = np.random.default_rng(seed).random((ANNOTATORS, CLASSES, *SIZE)) < 0.4
    drawn[0, :, :5] = False
    return drawn


def training_set(*, seed=0, annotated=("a", "b"), flip=0.0):
    drawn = {name: masks(place) for place, name in enumerate("ab")}
    runs = {name: Runs.from_dense(one[0]) for name, one in drawn.items()}
    several = {n: Runs.from_dense(drawn[n].reshape(-1, *SIZE)) for n in annotated}
    recipe = Recipe(
        name="x", about="x", size=SIZE, augmentation=STILL.model_copy(update={"flip": flip})
    )
    laid = dict.fromkeys("ab", Laid("ab", SIZE, SIZE))
    labelled = Labelled(("a", "b"), laid, runs, {}, several)
    return TrainingSet(labelled, recipe, permutation=(0, 1), seed=seed)


def target(dataset, epoch, index):
    return unpack(dataset[Draw(epoch, index, None, 0)]["planes"], CLASSES).numpy()


def test_an_example_is_the_mask_of_one_annotator():
    dataset = training_set()
    shown = {
        place
        for epoch in range(30)
        for place, one in enumerate(masks(1))
        if np.array_equal(target(dataset, epoch, 1), one)
    }
    assert shown == {0, 1, 2}


def test_over_many_draws_the_mean_target_is_the_share_of_annotators():
    dataset, epochs = training_set(), 600
    for index in range(2):
        mean = np.mean([target(dataset, epoch, index) for epoch in range(epochs)], axis=0)
        assert np.abs(mean - masks(index).mean(axis=0)).max() < 4 * np.sqrt(0.25 / epochs)


def test_who_is_drawn_depends_on_seed_epoch_and_index_alone():
    first, again, other = training_set(), training_set(), training_set(seed=1)
    order = [(epoch, index) for epoch in range(20) for index in range(2)]
    forward = [target(first, *one) for one in order]
    backward = [target(again, *one) for one in reversed(order)][::-1]
    assert all(map(np.array_equal, forward, backward))
    assert not all(map(np.array_equal, forward, [target(other, *one) for one in order]))


def test_images_without_annotators_keep_their_labels():
    dataset = training_set(annotated=("a",))
    assert all(np.array_equal(target(dataset, epoch, 1), masks(1)[0]) for epoch in range(10))


def annotators_of(labels, images):
    """The labels moved by one, two and three pixels, by image."""
    found = {}
    for image in images:
        dense = labels[image].to_dense()
        found[image] = Runs.from_dense(np.concatenate([np.roll(dense, k, -1) for k in range(1, 4)]))
    return found


@pytest.fixture
def annotated(project):
    """A tiny training whose images have three annotators."""
    task = task_of(project, schedule={"epochs": 2}, size=[32, 32])
    several = annotators_of(project.labels, project.labels)
    return replace(task, train=replace(task.train, annotators=several))


def test_a_training_knows_them_and_its_validation_does_not(project):
    several = annotators_of(project.labels, list(project.labels)[:3])
    project.labels.annotators = several
    task = task_of(project, best={"rounds": 1, "aside": 0.3})
    assert task.train.annotators is several
    assert not task.validation.annotators and not task.aside.annotators
    assert task.validation.runs is project.labels


def test_loaders_and_a_kill_change_nothing(annotated, straight_and_resumed):
    """Straight without loader processes, killed and resumed with two: the same weights."""
    straight_and_resumed(
        annotated,
        1,
        machine=replace(machine_of(), workers=0),
        resumed_on=replace(machine_of(), workers=2),
    )
