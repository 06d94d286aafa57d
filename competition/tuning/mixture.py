"""The decided heads and weights: what turns the members' stored logits into one prediction."""

from collections.abc import Iterable, Mapping

import numpy as np
from pydantic import Field

from competition.errors import InputFault
from competition.tuning.ensemble import Blend, Mean, Reader, blend
from competition.tuning.head import Head
from competition.tuning.record import Record


class Mixture(Record):
    """heads: of the members that have one; weights: a member's share, or its share in each class;
    mean: what is averaged.
    """

    weights: dict[str, float | tuple[float, ...]]
    heads: dict[str, Head] = Field(default_factory=dict)
    mean: Mean = "logits"

    @classmethod
    def equal(cls, members: Iterable[str]) -> "Mixture":
        """Logits as they are stored, in equal parts."""
        names = list(members)
        return cls(weights=dict.fromkeys(names, 1 / len(names)))

    @classmethod
    def of(
        cls,
        members: Iterable[str],
        shares: np.ndarray,
        heads: Iterable[Head] | None,
        *,
        mean: Mean = "logits",
    ) -> "Mixture":
        """shares: float64 (K, M); heads: one a member, None where logits stay as they are."""
        names = list(members)
        weights = {
            name: float(column[0]) if np.all(column == column[0]) else tuple(column.tolist())
            for name, column in zip(names, shares.T, strict=True)
        }
        decided = {} if heads is None else dict(zip(names, heads, strict=True))
        return cls(weights=weights, heads=decided, mean=mean)

    def share(self, member: str) -> float:
        """A member's mean share over the classes."""
        return float(np.mean(self.weights[member]))

    def blended(self, readers: Mapping[str, Reader], *, exclusive: bool) -> Blend:
        """The members' predictions, mixed; InputFault for other members."""
        if set(self.weights) != set(readers):
            raise InputFault(
                f"the decisions are about the members {list(self.weights)}, the predictions are of "
                f"{list(readers)}; tune again"
            )
        ordered = {name: readers[name] for name in self.weights}
        return blend(ordered, self.weights, heads=self.heads, exclusive=exclusive, mean=self.mean)
