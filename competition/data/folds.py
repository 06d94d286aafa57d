"""Folds: groups dealt out so that every fold has its share of images, strata and classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from competition.data.balance import deal, deviation
from competition.data.catalog import of_split
from competition.data.tables import read_csv_text
from competition.errors import InputFault, listed
from competition.masks import Runs
from competition.spec import Split
from competition.workspace import whole_file

COLUMNS = ("image", "group", "stratum", "fold")

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
        frame.to_csv(file, index=False, lineterminator="\n", columns=list(COLUMNS))


def load_folds(path: Path, catalog: pd.DataFrame, *, folds: int | None = None) -> pd.DataFrame:
    """The split as `make_folds` gave it, checked against the catalog at every load.

    InputFault where an image is missing, unknown or stands twice, where a group is on two sides or
    is not the catalog's, where fold numbers are not 0…k-1, or k is not `folds`.
    """
    table = read_csv_text(path, COLUMNS)
    images = of_split(catalog, "train")
    _check_numbers(table, path, folds)
    _check_images(table, images, path)
    frame = table[list(COLUMNS)].assign(fold=table["fold"].astype("int64"))
    _check_groups(frame, images, path)
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
    return np.stack([labels[image].area() > 0 for image in images["image"]])


def imbalance(frame: pd.DataFrame, labels: Mapping[str, Runs]) -> float:
    """How far folds are from equal shares, 0 if equal; what `make_folds` makes small.

    For images (weight 4), strata and classes: the sum over folds of (count - share)² / share.
    """
    features = _features(frame, labels)
    return deviation(features, frame["fold"].to_numpy(), weights=_weights(features))


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


def _check_groups(frame: pd.DataFrame, images: pd.DataFrame, path: Path) -> None:
    """No group on two sides, neither the file's nor the catalog's."""
    known = images.set_index("image")["group"]
    merged = frame.assign(known=frame["image"].map(known))
    faults = []
    for column in ("group", "known"):
        for group, rows in merged.groupby(column, sort=True):
            if rows["fold"].nunique() > 1:
                sides = ", ".join(
                    f"{image!r} in fold {fold}"
                    for image, fold in rows.drop_duplicates("fold")[["image", "fold"]].values
                )
                faults.append(f"{path}: group {group!r} is in several folds: {sides}")
    faults += [
        f"{path}: image {row.image!r} is of group {row.group!r}, and of {row.known!r} in the data"
        for row in merged[merged["group"] != merged["known"]].itertuples()
    ]
    if faults:
        raise InputFault(listed(list(dict.fromkeys(faults))))


def _line(name: str, cells: list) -> str:
    return f"{name:<24.24}" + "".join(f"{cell:>8}" for cell in cells)
