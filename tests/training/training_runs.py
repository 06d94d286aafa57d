"""Tiny trainings that tests start, kill and compare."""

from competition.entry import Member
from competition.recipes import derive
from competition.steps import training_task
from competition.training.checkpoint import read_torch

ONE = Member("tiny")


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def task_of(bench, **changes):
    """The training of the recipe `tiny`, changed, on fold 0."""
    recipe = derive(bench.project.recipe("tiny"), changes)
    return training_task(bench, ONE, 0, recipe)


def weights(folder):
    return read_torch(folder / "checkpoint.pt")["weights"]
