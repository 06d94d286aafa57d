"""Deal groups to folds such that every fold holds its share of every counted feature."""

from dataclasses import dataclass

import numpy as np

_CANDIDATES = 256
_VISITS = 20_000
_DEALS, _GROUPS = 16, 2_000
_GAIN = 1e-9


def deal(totals: np.ndarray, folds: int, *, weights: np.ndarray, seed: int) -> np.ndarray:
    """int64 (G,): a fold 0…folds-1 for each group; no fold is empty where G >= folds.

    `totals` (G, F), not negative: how much each group holds of each feature; `weights` (F,): what a
    deviation of the feature costs. Minimised is `deviation`. First the groups are dealt one by one,
    those with rare features and many images first, each to the fold that has least of what it
    holds (iterative stratification, Sechidis et al. 2011, on groups); then they are moved and
    swapped while that helps. Where groups are few, deals in random order are tried too, and the
    best counts. The seed decides among equals; the result depends on the order of the groups.

    >>> deal(np.array([[3.0], [1.0], [1.0], [1.0]]), 2, weights=np.ones(1), seed=0)
    array([0, 1, 1, 1])
    """
    random = np.random.default_rng(seed)
    deals = max(1, min(_DEALS, _GROUPS // max(len(totals), 1)))
    heaviest = -(totals @ _scale(totals, folds, weights))
    orders = [np.lexsort([random.permutation(len(totals)), heaviest])]
    orders += [random.permutation(len(totals)) for _ in range(deals - 1)]
    candidates = [_dealt(totals, folds, weights, order, random) for order in orders]
    return min(candidates, key=lambda found: round(deviation(totals, found, weights=weights), 9))


def deviation(totals: np.ndarray, fold_of: np.ndarray, *, weights: np.ndarray) -> float:
    """Sum over features and folds of weight · (count - share)² / share, share = total / folds."""
    counts = np.zeros((int(fold_of.max()) + 1, totals.shape[1]))
    np.add.at(counts, fold_of, totals)
    scale = _scale(totals, len(counts), weights)
    return float((((counts - counts.mean(axis=0)) ** 2) * scale).sum())


def _dealt(
    totals: np.ndarray,
    folds: int,
    weights: np.ndarray,
    order: np.ndarray,
    random: np.random.Generator,
) -> np.ndarray:
    """One deal in that order, improved until nothing helps or 20,000 groups were looked at."""
    scale = _scale(totals, folds, weights)
    dealing = _Dealing(
        totals, scale, np.zeros((folds, totals.shape[1])), np.zeros(len(totals), int)
    )
    dealing.deal(order)
    for _ in range(min(20, max(1, _VISITS // max(len(totals), 1)))):
        if not dealing.improve(random):
            break
    return dealing.fold_of


def _scale(totals: np.ndarray, folds: int, weights: np.ndarray) -> np.ndarray:
    """(F,): what one unit of squared deviation costs; 0 for a feature that nobody has."""
    shares = totals.sum(axis=0) / folds
    return np.divide(weights, shares, out=np.zeros_like(shares), where=shares > 0)


@dataclass
class _Dealing:
    """Groups on their way to folds: `counts` (folds, F) is what each fold holds by now."""

    totals: np.ndarray
    scale: np.ndarray
    counts: np.ndarray
    fold_of: np.ndarray

    def deal(self, order: np.ndarray) -> None:
        """Each group to the fold that has least of what it holds; none stays empty."""
        sizes = np.zeros(len(self.counts), int)
        for place, group in enumerate(order):
            empty = np.flatnonzero(sizes == 0)
            if len(empty) >= len(order) - place:
                fold = empty[0]
            else:
                fold = np.argmin(self.counts @ (self.totals[group] * self.scale))
            self.fold_of[group] = fold
            self.counts[fold] += self.totals[group]
            sizes[fold] += 1

    def improve(self, random: np.random.Generator) -> bool:
        """Visit each group once in random order; whether any moved."""
        moved = 0
        for group in random.permutation(len(self.totals)):
            moved += self._move(group) or self._swap(group, random)
        return moved > 0

    def _move(self, group: int) -> bool:
        """To the fold that gains most, unless the group is alone in its own."""
        home = self.fold_of[group]
        if (self.fold_of == home).sum() == 1:
            return False
        change = self._change(self.totals[group], home, np.arange(len(self.counts)))
        change[home] = 0
        best = int(np.argmin(change))
        if change[best] > -_GAIN:
            return False
        self._put(group, best)
        return True

    def _swap(self, group: int, random: np.random.Generator) -> bool:
        """With the group, of some drawn at random, that gains most."""
        home = self.fold_of[group]
        others = np.flatnonzero(self.fold_of != home)
        others = random.permutation(others)[:_CANDIDATES]
        change = self._change(self.totals[group] - self.totals[others], home, self.fold_of[others])
        if not len(others) or change.min() > -_GAIN:
            return False
        other = others[np.argmin(change)]
        there = self.fold_of[other]
        self._put(other, home)
        self._put(group, there)
        return True

    def _change(self, given: np.ndarray, home: int, target: np.ndarray) -> np.ndarray:
        """(T,): what the deviation gains (< 0) or loses when `home` gives (F,) or (T, F) to each."""
        moved = self.counts[target] - self.counts[home] + given
        return 2 * (given * moved * self.scale).sum(axis=-1)

    def _put(self, group: int, fold: int) -> None:
        self.counts[self.fold_of[group]] -= self.totals[group]
        self.counts[fold] += self.totals[group]
        self.fold_of[group] = fold
