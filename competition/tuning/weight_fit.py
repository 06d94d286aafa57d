"""Weights of members fitted on samples: the best member alone, greedy forward selection, the simplex,
the simplex per class.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

from competition.tuning.head_fit import SmoothDice

WeightKind = Literal["best member alone", "greedy weights", "simplex weights", "weights per class"]

MOST_PICKS = 12
"""Members picked in turn, with replacement."""

PENALTY = 1e-2
"""On the squared distance from equal weights, against a Dice between 0 and 1."""


def best_alone(score: Callable[[np.ndarray], float], members: int) -> np.ndarray:
    """Weights float64 (M,): 1 of the member that scores best by itself, the first of equals.

    score: of a mixture with weights (M,), NaN where nothing is counted.
    """
    alone = np.eye(members)
    scores = np.nan_to_num([score(weights) for weights in alone], nan=-np.inf)
    return alone[int(np.argmax(scores))]


def greedy(score: Callable[[np.ndarray], float], members: int) -> np.ndarray:
    """Weights float64 (M,) after Caruana et al. (2004): pick in turn, with replacement, what helps most.

    score: of a mixture with weights (M,). The best of all prefixes is taken, equal weights if none
    is better than they are.
    """
    equal = np.full(members, 1 / members)
    best, found = score(equal), equal
    picks = np.zeros(members)
    for _ in range(MOST_PICKS):
        options = picks + np.eye(members)
        scores = [score(option / option.sum()) for option in options]
        picks = options[int(np.argmax(scores))]
        if max(scores) > best + 1e-12:
            best, found = max(scores), picks / picks.sum()
    return found


def on_simplex(problems: Sequence[SmoothDice], *, penalty: float = PENALTY) -> np.ndarray:
    """Weights float64 (M,) of the best mean Dice over problems whose features are members' logits."""
    members = len(problems[0].features)
    equal = np.full(members, 1 / members)

    def value(exponents: np.ndarray) -> tuple[float, np.ndarray]:
        weights = softmax(exponents)
        loss, slope = penalty * np.sum((weights - equal) ** 2), 2 * penalty * (weights - equal)
        for problem in problems:
            own, by_pixel = problem.loss(weights.astype(np.float32) @ problem.features)
            loss += own / len(problems)
            slope = slope + problem.features @ by_pixel.astype(np.float32) / len(problems)
        return float(loss), weights * (slope - weights @ slope)

    start, most = np.zeros(members), {"maxiter": 30}
    return softmax(minimize(value, start, jac=True, method="L-BFGS-B", options=most).x)
