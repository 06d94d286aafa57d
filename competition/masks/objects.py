"""`Objects`: instances that keep their identity and class from label rows to object rows."""

from dataclasses import dataclass

import numpy as np

from competition.errors import InputFault
from competition.masks import intervals
from competition.masks.runs import Runs


@dataclass(frozen=True, eq=False)
class Objects:
    """N objects as one stack: `runs` (N, H, W) and the class of each, int64 (N,), read-only.

    Objects may overlap; the order is the caller's and is kept.
    """

    runs: Runs
    classes: np.ndarray

    def __post_init__(self) -> None:
        classes = np.array(self.classes)
        if len(self.runs.shape) != 3 or classes.shape != self.runs.shape[:1]:
            raise InputFault(
                f"objects of shape {self.runs.shape} with classes of shape {classes.shape}; "
                "(objects, height, width) and (objects,) are asked for"
            )
        if len(classes) and (classes.dtype.kind not in "iu" or classes.min() < 0):
            raise InputFault(f"object classes {classes[:10].tolist()!r}; each must be ≥ 0")
        classes = classes.astype(np.int64)
        classes.flags.writeable = False
        object.__setattr__(self, "classes", classes)

    def __len__(self) -> int:
        return len(self.classes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Objects):
            return NotImplemented
        return self.runs == other.runs and np.array_equal(self.classes, other.classes)

    def __hash__(self) -> int:
        return hash((self.runs, self.classes.tobytes()))

    def select(self, indices: np.ndarray) -> "Objects":
        """The objects at `indices`, in that order."""
        indices = np.asarray(indices, dtype=np.int64)
        return Objects(self.runs.select(indices), self.classes[indices])

    def to_classes(self, classes: int) -> Runs:
        """The union of the objects of each class: Runs (classes, H, W)."""
        if len(self) and self.classes.max() >= classes:
            raise InputFault(
                f"an object of class {int(self.classes.max())}; it must be < {classes}"
            )
        plane = self.runs.plane
        moved = self.classes - np.arange(len(self))
        base = np.repeat(moved * plane, np.diff(self.runs.class_bounds()))
        starts, stops = np.sort(self.runs.starts + base), np.sort(self.runs.stops + base)
        union = intervals.joined(starts, stops, plane)
        return Runs.trusted(*union, (classes, self.runs.height, self.runs.width))
