"""Labels against images: classes, overlap, and whether mirroring is a fact."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from competition.data.catalog import of_split
from competition.data.folds import class_presence
from competition.doctor.report import Report
from competition.masks import Runs
from competition.spec import Competition

_SIDED = 0.95
_ENOUGH = 10


def check_labels(
    competition: Competition, catalog: pd.DataFrame, labels: Mapping[str, Runs]
) -> Report:
    """All checks of labels that could be read; `labels` are those of all training images."""
    images = of_split(catalog, "train")
    present = class_presence(images, labels)
    return (
        _check_classes(competition, images, labels, present)
        + _check_overlap(competition, labels)
        + check_flip(competition, labels)
    )


def _check_classes(
    competition: Competition, images: pd.DataFrame, labels: Mapping[str, Runs], present: np.ndarray
) -> Report:
    counts = present.sum(axis=0)
    pixels = (images["height"] * images["width"]).to_numpy()
    share = np.array([labels[i].area().sum() for i in images["image"]]) / pixels
    rarest, commonest = int(np.argmin(counts)), int(np.argmax(counts))
    names = competition.classes
    often = (
        f"{len(names)}, each in {counts.min()} to {counts.max()} of {len(images)} images "
        f"(rarest {names[rarest]!r}, commonest {names[commonest]!r})"
    )
    found = (
        ("classes", often if len(names) > 1 else f"{names[0]!r}, in {counts[0]} images"),
        ("empty", f"{1 - present.mean():.1%} of the masks, {(~present.any(axis=1)).sum()} images"),
        ("positive", f"{share.mean():.1%} of the pixels, summed over classes"),
    )
    warnings = [
        f"class {name!r} is in no training image: nothing can be learnt of it"
        for name, count in zip(names, counts, strict=True)
        if count == 0
    ]
    warnings += [
        f"class {name!r} is in {count} images, fewer than the {competition.split.folds} folds"
        for name, count in zip(names, counts, strict=True)
        if 0 < count < competition.split.folds
    ]
    return Report((), tuple(warnings), found)


def _check_overlap(competition: Competition, labels: Mapping[str, Runs]) -> Report:
    if len(competition.classes) == 1:
        return Report()
    shared = {
        image: pixels
        for image, mask in labels.items()
        if (pixels := int(mask.area().sum() - mask.any_mask().area().sum()))
    }
    if competition.exclusive and shared:
        image, pixels = next(iter(shared.items()))
        return Report.error(
            f"exclusive = true, and classes overlap in {len(shared)} of {len(labels)} images, in "
            f"{image!r} by {pixels} pixels: set exclusive = false"
        )
    return Report.fact("overlap", f"classes share pixels in {len(shared)} images")


def check_flip(competition: Competition, labels: Mapping[str, Runs]) -> Report:
    """`horizontal_flip` against where classes lie.

    A class that is on one side in 95 % of ten images and more is never seen on the other: mirrored
    images would teach it there. Pairs are right where mirroring brings each onto its partner's side.
    """
    if not competition.may_flip or len(competition.classes) == 1:
        return Report()
    left, known = _left_share(labels, len(competition.classes))
    swap = np.array(competition.flip_permutation)
    with np.errstate(invalid="ignore"):
        sided = (known >= _ENOUGH) & (np.maximum(left, 1 - left) >= _SIDED)
        same_side = sided & sided[swap] & ((left > 0.5) == (left[swap] > 0.5))
    wrong = np.flatnonzero(same_side).tolist()
    if not wrong:
        return Report()
    names = [
        f"{competition.classes[k]!r} ({'left' if left[k] > 0.5 else 'right'} in "
        f"{max(left[k], 1 - left[k]):.0%} of {known[k]} images)"
        for k in wrong
    ]
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return Report.warning(
        f"horizontal_flip lets images be mirrored, and {shown} would come to a side where they are "
        'never seen: set "forbidden", or name the pairs of classes that change places'
    )


def _left_share(labels: Mapping[str, Runs], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(K,) share of images with the class whose centroid is left of the middle; (K,) their number."""
    left, known = np.zeros(classes), np.zeros(classes, int)
    for mask in labels.values():
        rows, begin, end = mask.segments()
        owner = rows // mask.height
        length = (end - begin).astype(float)
        area = np.bincount(owner, length, classes)
        moment = np.bincount(owner, length * (begin + end) / 2, classes)
        known += area > 0
        left += moment < area * mask.width / 2
    with np.errstate(invalid="ignore"):
        return left / known, known
