"""Refused: a group in two folds, and labels of images that are held out.

Copies of one file share a group (`duplicates.py`), a holdout is no training image (`holdout.py`), and
the doctor finds equal images in two groups.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pandas as pd

from competition.errors import InputFault, listed


def refuse_torn_groups(frame: pd.DataFrame, images: pd.DataFrame, path: Path) -> None:
    """InputFault where a group stands in several folds, the file's or the catalog's.

    frame: columns image, group, fold, of the file at `path`; images: rows of the catalog.
    """
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


def refuse_leak(
    images: Iterable[str],
    held: Collection[str],
    *,
    groups: Mapping[str, str],
    where: str = "the validation fold",
) -> None:
    """InputFault if an image of a round is held back, or its group is.

    images: those of the round; held: the fold's validation images, or those of the holdout; groups:
    group of every image; where: what `held` is.
    """
    held_groups = {groups[image]: image for image in held}
    faults = []
    for image in images:
        if image in held:
            faults.append(f"pseudo-labelled image {image!r} is in {where}")
        elif groups.get(image) in held_groups:
            other = held_groups[groups[image]]
            faults.append(
                f"pseudo-labelled image {image!r} is of group {groups[image]!r}, and so is "
                f"{other!r} of {where}"
            )
    if faults:
        raise InputFault(listed(faults) + "\nmake the round from other images")
