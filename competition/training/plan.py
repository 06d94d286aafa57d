"""How long a run is, counted in iterations: what its schedule comes to on so many images."""

import math
from dataclasses import dataclass

from competition.recipes import Recipe


@dataclass(frozen=True)
class Plan:
    """A run in rounds; after each one there is a line of history and a point to go on from.

    By epochs a round is an epoch; by iterations it is what lies between two validations, whatever
    the number of images, and the last round may be shorter.
    """

    iterations: int
    """Steps of the optimizer in all."""
    rounds: int
    validate_every: int
    """Rounds between validations."""
    examples: int
    """Drawn in a round."""


def plan_of(recipe: Recipe, images: int) -> Plan:
    """The plan of training `recipe` on so many images.

    >>> from competition.recipes import Schedule
    >>> plan_of(Recipe(name="x", about="x", schedule=Schedule(iterations=50)), 1000)
    Plan(iterations=50, rounds=17, validate_every=1, examples=24)
    """
    schedule = recipe.schedule
    if schedule.iterations is not None:
        every = recipe.validate_every or math.ceil(schedule.iterations / 20)
        every = min(every, schedule.iterations)
        rounds = math.ceil(schedule.iterations / every)
        examples = every * recipe.accumulate * recipe.batch
        return Plan(schedule.iterations, rounds, 1, examples)
    assert schedule.epochs is not None  # one of the two is given
    batches = max(1, images // recipe.batch)  # a last short batch is dropped
    iterations = schedule.epochs * math.ceil(batches / recipe.accumulate)
    validate_every = min(recipe.validate_every or 1, schedule.epochs)
    return Plan(iterations, schedule.epochs, validate_every, images)
