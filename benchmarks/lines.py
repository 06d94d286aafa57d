"""A line of the table: one item measured on one mask set."""

from dataclasses import dataclass

from benchmarks.measure import Measured


@dataclass(frozen=True)
class Line:
    """An item's figures on one mask set; floor: seconds to read its input once, None if not dense.

    target: the ratio usual / ours that is asked for, asked_of: the same of other libraries; repeats:
    how many timed calls the medians are of.
    """

    item: str
    masks: str
    ours: Measured
    usual: Measured
    others: dict[str, Measured]
    floor: float | None
    target: float | None
    asked_of: dict[str, float]
    repeats: int

    @property
    def ratio(self) -> float:
        return self.usual.seconds / self.ours.seconds
