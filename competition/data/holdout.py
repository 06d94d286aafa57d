"""The holdout: labelled groups that nothing is fitted on, validated on or decided by, scored once.

Its images stand in `folds/<competition>.holdout.csv`, made with the folds and, like them, once. In the
catalog they are a split of their own beside "train" and "test", so that whatever asks for training
images does not see them; they are predicted by the mean over folds, as test images are.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from competition.data.catalog import of_split
from competition.data.csv_text import read_csv_text
from competition.data.folds import deal, group_features
from competition.errors import InputFault, listed
from competition.masks import Runs
from competition.spec import Split
from competition.workspace import whole_file

HOLDOUT_COLUMNS = ("image", "group")


def make_holdout(
    catalog: pd.DataFrame, labels: Mapping[str, Runs], split: Split, share: float
) -> pd.DataFrame:
    """Columns image, group of about `share` of the training groups, with their share of each class.

    Groups are dealt to round(1 / share) equal parts as folds are; the first is the holdout.
    InputFault where what is left has fewer groups than folds.
    """
    images = of_split(catalog, "train").sort_values("image", ignore_index=True)
    chosen = share_of_groups(images, labels, share, seed=split.seed)
    groups, left = images["group"].nunique(), images.loc[~chosen, "group"].nunique()
    if left < split.folds:
        raise InputFault(
            f"a holdout of {share} leaves too few of {groups} groups for {split.folds} folds; "
            "lower holdout or folds in [split]"
        )
    return images.loc[chosen, list(HOLDOUT_COLUMNS)].reset_index(drop=True)


def share_of_groups(
    images: pd.DataFrame, labels: Mapping[str, Runs], share: float, *, seed: int
) -> np.ndarray:
    """Bool (N,): the images, columns image and group, of about `share` of their groups.

    Groups are dealt to round(1 / share) equal parts, each with its share of every class; the first
    is the answer.
    """
    _, totals, weights, owner = group_features(images, labels)
    return deal(totals, round(1 / share), weights=weights, seed=seed)[owner] == 0


def write_holdout(frame: pd.DataFrame, path: Path) -> None:
    """Write the holdout, once: a file that exists is never replaced."""
    if path.exists():
        raise InputFault(f"{path} exists; a holdout is made once. To make another, delete it first")
    with whole_file(path) as file:
        frame.to_csv(file, index=False, lineterminator="\n", columns=list(HOLDOUT_COLUMNS))


def set_apart(catalog: pd.DataFrame, path: Path, folds: Path, share: float | None) -> pd.DataFrame:
    """The catalog with the holdout's images as the split "holdout"; before it is made, unchanged.

    InputFault where the file and `[split] holdout` do not go together, or the file does not fit the
    training images: an unknown image, or a group of which only a part is held out.
    """
    if share is None and path.exists():
        raise InputFault(
            f"{path} keeps images from every decision, and [split] has no holdout; set it, or delete "
            f"the file and {folds} to divide anew"
        )
    if share is None or not (path.exists() or folds.exists()):
        return catalog
    if not path.exists():
        raise InputFault(
            f"[split] asks for a holdout, and {folds} was made without one; delete it to divide anew "
            "(its networks have seen every image)"
        )
    held = set(read_csv_text(path, HOLDOUT_COLUMNS)["image"])
    images = of_split(catalog, "train")
    _check(held, images, path)
    apart = (catalog["split"] == "train") & catalog["image"].isin(held)
    return catalog.assign(split=catalog["split"].mask(apart, "holdout"))


def _check(held: set[str], images: pd.DataFrame, path: Path) -> None:
    faults = [
        f"{path}: image {image!r} is not among the {len(images)} training images"
        for image in sorted(held - set(images["image"]))
    ]
    inside = images["image"].isin(held)
    torn = set(images.loc[inside, "group"]) & set(images.loc[~inside, "group"])
    faults += [f"{path}: group {group!r} is held out in part only" for group in sorted(torn)]
    if faults:
        raise InputFault(listed(faults))
