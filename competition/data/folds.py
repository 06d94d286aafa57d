"""Folds: groups dealt out so that every fold has its share of images, strata and classes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from competition.data.catalog import of_split
from competition.data.csv_text import image_id, read_csv_text
from competition.data.labels import PackedRuns
from competition.data.leaks import refuse_torn_groups
from competition.errors import InputFault, listed
from competition.masks import Runs
from competition.spec import Split
from competition.workspace import whole_file

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


FOLD_COLUMNS = ("image", "group", "stratum", "fold")

_WEIGHT_OF_IMAGES = 4.0  # equal sizes first: a class that is 4 images off costs as much as 1 image


def make_folds(catalog: pd.DataFrame, labels: Mapping[str, Runs], split: Split) -> pd.DataFrame:
    """Columns image, group, stratum (text), fold (int64, 0…k-1); a row a training image, by image.

    A group stays together, and every fold gets its share of images, strata and classes (`deal`).
    The same images, labels and seed give the same folds whatever the order of the rows.
    """
    images = of_split(catalog, "train").sort_values("image", ignore_index=True)
    names, totals, weights, owner = group_features(images, labels)
    if len(names) < split.folds:
        raise InputFault(
            f"{split.folds} folds asked for, and {len(images)} images make {len(names)} groups; "
            "lower folds in [split], or check group in [data]"
        )
    fold_of = deal(totals, split.folds, weights=weights, seed=split.seed)
    return images[["image", "group", "stratum"]].assign(fold=fold_of[owner].astype(np.int64))


def group_features(
    images: pd.DataFrame, labels: Mapping[str, Runs]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What `deal` takes: names (G,), how much each group holds of each feature float64 (G, F), what
    a deviation of each costs (F,), and which group each image is of, int64 (N,).
    """
    names, owner = np.unique(images["group"].tolist(), return_inverse=True)
    features = _features(images, labels)
    totals = np.zeros((len(names), features.shape[1]))
    np.add.at(totals, owner, features)
    return names, totals, _weights(features), owner


def write_folds(frame: pd.DataFrame, path: Path) -> None:
    """Write the split, once: a file that exists is never replaced, since results depend on it."""
    if path.exists():
        raise InputFault(f"{path} exists; a split is made once. To make another, delete it first")
    with whole_file(path) as file:
        frame.to_csv(file, index=False, lineterminator="\n", columns=list(FOLD_COLUMNS))


def load_folds(
    path: Path,
    catalog: pd.DataFrame,
    *,
    folds: int | None = None,
    marked: Collection[str] = (),
) -> pd.DataFrame:
    """The split as `make_folds` gave it, checked against the catalog at every load.

    marked: images that were left out by a mark after the split was made: their rows count no more,
    and the others stay in their folds.

    InputFault where an image is missing, unknown or stands twice, where a group is on two sides or
    is not the catalog's, where fold numbers are not 0…k-1, or k is not `folds`.
    """
    table = read_csv_text(path, FOLD_COLUMNS)
    table = table[~table["image"].isin([image_id(image) for image in marked])]
    images = of_split(catalog, "train")
    _check_numbers(table, path, folds)
    _check_images(table, images, path)
    frame = table[list(FOLD_COLUMNS)].assign(fold=table["fold"].astype("int64"))
    refuse_torn_groups(frame, images, path)
    return frame.sort_values("image", ignore_index=True)


def describe_folds(
    frame: pd.DataFrame, labels: Mapping[str, Runs], *, classes: Sequence[str] | None = None
) -> str:
    """A table in plain text: images, groups, strata and images with each class, by fold.

    Of the classes the ten that are spread most unevenly are shown, by name or by number.
    """
    by_fold = frame.groupby("fold", sort=True)
    lines = [
        _line("", [f"fold {fold}" for fold in by_fold.groups]),
        _line("images", by_fold.size().tolist()),
        _line("groups", by_fold["group"].nunique().tolist()),
    ]
    if frame["stratum"].nunique() > 1:
        counts = frame.groupby(["stratum", "fold"]).size().unstack(fill_value=0)
        lines += [_line(f"stratum {name}", counts.loc[name].tolist()) for name in counts.index]
    present = class_presence(frame, labels)
    table = np.stack([present[rows].sum(axis=0) for rows in by_fold.indices.values()], axis=1)
    names = list(classes) if classes is not None else [f"class {k}" for k in range(len(table))]
    spread = np.ptp(table, axis=1) / np.maximum(table.mean(axis=1), 1)
    for k in np.argsort(-spread, kind="stable")[:10]:
        lines.append(_line(f"with {names[k]}", table[k].tolist()))
    return "\n".join(lines)


def class_presence(images: pd.DataFrame, labels: Mapping[str, Runs]) -> np.ndarray:
    """bool (N, K): whether image n (a row of `images`) has any pixel of class k."""
    return PackedRuns.packed(labels).areas(images["image"]) > 0


def _features(images: pd.DataFrame, labels: Mapping[str, Runs]) -> np.ndarray:
    """float64 (N, 1 + strata + K): one for the image, its stratum, the classes it has."""
    strata, number = np.unique(images["stratum"].tolist(), return_inverse=True)
    one_hot = np.eye(len(strata))[number]
    ones = np.ones((len(images), 1))
    return np.concatenate([ones, one_hot, class_presence(images, labels)], axis=1)


def _weights(features: np.ndarray) -> np.ndarray:
    weights = np.ones(features.shape[1])
    weights[0] = _WEIGHT_OF_IMAGES
    return weights


def _check_numbers(table: pd.DataFrame, path: Path, folds: int | None) -> None:
    faults = [
        f"{path} line {line}: fold {fold!r} is not a number from 0"
        for line, fold in table["fold"].items()
        if not (fold.isascii() and fold.isdigit())
    ]
    if faults:
        raise InputFault(listed(faults))
    found = sorted(set(table["fold"].astype(int)))
    if found != list(range(len(found))):
        raise InputFault(f"{path} has the folds {found}; expected 0, 1, 2, … without a gap")
    if folds is not None and len(found) != folds:
        raise InputFault(
            f"{path} has {len(found)} folds and [split] asks for {folds}; set folds = {len(found)}, "
            f"or delete the file to divide anew"
        )


def _check_images(table: pd.DataFrame, images: pd.DataFrame, path: Path) -> None:
    """Each training image exactly once: the split is a partition of the catalog."""
    there, wanted = set(table["image"]), set(images["image"])
    faults = [
        f"{path} line {line}: image {image!r} stands twice"
        for line, image in table.loc[table["image"].duplicated(), "image"].items()
    ]
    faults += [
        f"{path}: image {image!r} is in the data and has no fold"
        for image in images["image"]
        if image not in there
    ]
    faults += [
        f"{path} line {line}: image {image!r} is not among the {len(wanted)} training images"
        for line, image in table["image"].items()
        if image not in wanted
    ]
    if faults:
        raise InputFault(
            f"{listed(faults)}\n"
            "a split is never changed by itself: restore the data or the file, or delete the file "
            "to divide anew (results of the old folds do not compare with those of the new)"
        )


def _line(name: str, cells: list) -> str:
    return f"{name:<24.24}" + "".join(f"{cell:>8}" for cell in cells)
