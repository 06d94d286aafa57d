"""Weights of members fitted on samples: greedy forward selection, the simplex, the simplex per class."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from scipy.optimize import minimize

from competition.tuning.dice_fit import Problem

Weighing = Literal["greedy weights", "simplex weights", "weights per class"]

MOST_PICKS = 12
"""Members picked in turn, with replacement."""

PENALTY = 1e-2
"""On the squared distance from equal weights, against a Dice between 0 and 1."""


def greedy(score: Callable[[np.ndarray], float], members: int) -> np.ndarray:
    """Shares float64 (M,) after Caruana et al. (2004): pick in turn, with replacement, what helps most.

    score: of a mixture with shares (M,). The best of all prefixes is taken, equal shares if none is
    better than they are.
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


def on_simplex(problems: Sequence[Problem], *, penalty: float = PENALTY) -> np.ndarray:
    """Shares float64 (M,) of the best mean Dice over problems whose features are members' logits."""
    members = len(problems[0].features)
    equal = np.full(members, 1 / members)

    def value(exponents: np.ndarray) -> tuple[float, np.ndarray]:
        shares = _softmax(exponents)
        loss, slope = penalty * np.sum((shares - equal) ** 2), 2 * penalty * (shares - equal)
        for problem in problems:
            own, by_pixel = problem.loss(shares.astype(np.float32) @ problem.features)
            loss += own / len(problems)
            slope = slope + problem.features @ by_pixel.astype(np.float32) / len(problems)
        return float(loss), shares * (slope - shares @ slope)

    result = minimize(
        value, np.zeros(members), jac=True, method="L-BFGS-B", options={"maxiter": 30}
    )
    return _softmax(result.x)


def _softmax(exponents: np.ndarray) -> np.ndarray:
    raised = np.exp(exponents - exponents.max())
    return raised / raised.sum()
