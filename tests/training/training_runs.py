"""Tiny trainings that tests start, kill and compare."""

import torch

from competition.entry import Member
from competition.recipes import derive
from competition.steps import training_task
from competition.training.checkpoint import read_torch

ONE = Member("tiny")


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def task_of(project, **changes):
    """The training of the recipe `tiny`, changed, on fold 0."""
    recipe = derive(project.recipe("tiny"), changes)
    return training_task(project, ONE, 0, recipe)


def same_weights(one, other):
    """Whether two finished runs ended with the same weights, bit by bit."""
    first, second = weights(one), weights(other)
    return all(torch.equal(first[name], second[name]) for name in first)


def weights(folder):
    return read_torch(folder / "checkpoint.pt")["weights"]
