"""Heads fitted on samples of stored logits: each member's, class by class, starting as the identity."""

from collections.abc import Iterable

import numpy as np

from competition.tuning.dice_fit import Problem, best_row
from competition.tuning.head import AROUND, Head, Kind, identity_row
from competition.tuning.samples import ClassSample, Samples

OWN, OTHERS = 1e-4, 1e-2
"""Penalties on the squared distance from the identity, against a Dice between 0 and 1: of a class's
own logit and bias, and of other classes' and neighbours' logits."""


def fit_heads(kind: Kind, samples: Samples, chosen: np.ndarray) -> tuple[Head, ...]:
    """One head a member, fitted on chosen images, bool (N,)."""
    parts = [sample.where(chosen) for sample in samples.classes]
    return tuple(
        Head.of_rows(kind, np.stack(list(_rows(kind, samples, parts, member))))
        for member in range(len(samples.members))
    )


def _rows(
    kind: Kind, samples: Samples, parts: Iterable[ClassSample], member: int
) -> Iterable[np.ndarray]:
    """The rows of one member, class by class."""
    for place, part in enumerate(parts):
        start = identity_row(kind, place, len(samples.classes))
        before = part.codes[member, place] >= 128
        features = features_of(kind, part, member, place)
        problem = problem_of(part, features, before, samples.counts(member, place))
        penalty = np.where(start == 1, OWN, OTHERS)
        penalty[-1] = OWN
        yield best_row(problem, start, penalty)


def features_of(kind: Kind, part: ClassSample, member: int, place: int) -> np.ndarray:
    """What a head of this kind sees at the drawn pixels of class `place`, float32 (F, P)."""
    classes = part.codes.shape[1] - len(AROUND)
    match kind:
        case "scale and bias":
            return part.logits(member, slice(place, place + 1))
        case "1x1":
            return part.logits(member, slice(0, classes))
        case "3x3":
            return part.logits(member)


def problem_of(
    part: ClassSample, features: np.ndarray, before: np.ndarray, counts: np.ndarray
) -> Problem:
    """The images of `part`; features (F, P), before bool (P,), counts (3, N) of all images."""
    images, starts = np.unique(part.image, return_index=True)
    return Problem(features, part.truth, before, part.weight, starts, *counts[:, images])
