"""Which pairs of image and class are sure enough for a round, and which images then are.

By level (a least confidence) or by share: the surest of each class, and within a class of its empty, its
smaller and its larger masks apart, so that neither rare classes nor small masks vanish because a network
is less sure of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from competition.errors import InputFault, listed
from competition.marks import HeldMarks

SURE_CLASSES = 0.5
"""Share of its classes that must be sure for an image to be in the round."""
COMMON = 0.05
"""Share of the labelled images from which a class may not be missing from a round."""


@dataclass(frozen=True)
class Selection:
    """least: confidence that a pair needs; share: of the pairs of a class, and of its empty, smaller
    and larger masks, the surest ones.
    """

    least: float = 0.0
    share: float = 0.7

    def sure(self, pairs: pd.DataFrame) -> np.ndarray:
        """bool (N,). pairs: columns teacher, class, confidence, area (pixels)."""
        sizes = pairs.groupby(["teacher", "class"])["area"].transform(_sizes)
        strata = pairs.groupby(["teacher", "class", sizes], sort=False)["confidence"]
        places = strata.rank(method="first", ascending=False)
        within = places <= np.ceil(self.share * strata.transform("size"))
        return (within & (pairs["confidence"] >= self.least)).to_numpy()


def _sizes(areas: pd.Series) -> pd.Series:
    """0 for empty masks, 1 for the smaller half of the others, 2 for the larger one."""
    there = areas[areas > 0]
    return (areas > 0).astype(int) + (areas > there.median() if len(there) else 0)


def sure_images(pairs: pd.DataFrame, sure: np.ndarray) -> np.ndarray:
    """bool (N,): the pairs of images that are in the round; columns teacher, image."""
    shares = (
        pd.Series(sure, pairs.index).groupby([pairs["teacher"], pairs["image"]]).transform("mean")
    )
    return (shares >= SURE_CLASSES).to_numpy()


def marked_pairs(pairs: pd.DataFrame, held: HeldMarks) -> tuple[np.ndarray, np.ndarray]:
    """bool (N,) twice: the pairs that a person accepted, and those that one rejected.

    held: (image, class or "" for all) → what holds, where a word on a class goes before one on all.
    """
    keys = list(zip(pairs["image"], pairs["class"], strict=True))
    kinds = np.array([held.get(key, held.get((key[0], ""), "")) for key in keys], object)
    return kinds == "accept", kinds == "reject"


def found_classes(
    pairs: pd.DataFrame, used: np.ndarray, labelled: Mapping[str, float], *, allow_missing: bool
) -> np.ndarray:
    """bool (N,): the pairs of classes that a teacher finds at all, or that are rare among the labels.

    used: bool (N,), the pairs whose masks are trained on; labelled: class → share of the labelled
    images that have it. InputFault where a common one has no mask in a teacher's round, unless
    that is allowed: it is to be ignored then, not taken for absent.
    """
    there = pairs[used & (pairs["area"] > 0).to_numpy()]
    kept = set(zip(there["teacher"], there["class"], strict=True))
    missing = [
        (teacher, name)
        for teacher in pairs["teacher"].unique()
        for name in labelled
        if labelled[name] >= COMMON and (teacher, name) not in kept
    ]
    if missing and not allow_missing:
        faults = [
            f"class {name!r} is in {labelled[name]:.0%} of the labelled images and in none of the "
            f"round of teacher {teacher!r}"
            for teacher, name in missing
        ]
        raise InputFault(
            listed(faults)
            + "\na student would learn that there is none: train the teachers longer, "
            "lower --least, raise --share, or --allow-missing, by which such a class is ignored"
        )
    keys = zip(pairs["teacher"], pairs["class"], strict=True)
    lost = set(missing)
    return np.array([key not in lost for key in keys], bool)
