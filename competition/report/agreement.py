"""How far two sets of masks of the same image agree."""

import numpy as np

from competition.masks import Runs


def mask_agreement(first: Runs, second: Runs) -> np.ndarray:
    """Dice between masks (K, H, W) of one size, float64 (K,); 1 where both are empty.

    >>> whole, half = Runs.full((1, 1, 4)), Runs.from_dense(np.array([[[1, 1, 0, 0]]]))
    >>> mask_agreement(whole, half).round(3), mask_agreement(whole - whole, half - half)
    (array([0.667]), array([1.]))
    """
    both = (first.area() + second.area()).astype(np.float64)
    common = 2.0 * (first & second).area()
    return np.where(both > 0, common / np.maximum(both, 1), 1.0)
