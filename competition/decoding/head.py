"""A head on one member's stored logits: a 1×1 layer over classes, fitted after training."""

from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from competition.errors import InputFault
from competition.settings import Settings

HeadKind = Literal["scale and bias", "1x1"]


class Head(Settings):
    """Logit of class k: Σ mix[k] · logits + bias[k]."""

    kind: HeadKind
    mix: tuple[tuple[float, ...], ...] = Field(
        description="for each class the weight of its own logit, or of all K classes' logits"
    )
    bias: tuple[float, ...]

    @model_validator(mode="before")
    @classmethod
    def _without_neighbours(cls, given: Any) -> Any:
        """Files of 0.1.0 hold the weights of eight neighbours, empty but for its 3×3 head."""
        if isinstance(given, dict) and "around" in given:
            if given["around"]:
                raise ValueError("a 3x3 head, which is not offered any more")
            return {key: value for key, value in given.items() if key != "around"}
        return given

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        classes = len(self.bias)
        wide = 1 if self.kind == "scale and bias" else classes
        if [len(row) for row in self.mix] != [wide] * classes:
            raise ValueError(f"mix of {len(self.mix)} rows; {classes} × {wide} is expected")
        return self

    @classmethod
    def of_rows(cls, kind: HeadKind, rows: np.ndarray) -> Self:
        """rows: float64 (K, F + 1), one a class: weights of its features, then the bias."""
        mix = tuple(map(tuple, rows[:, :-1].tolist()))
        return cls(kind=kind, mix=mix, bias=tuple(rows[:, -1].tolist()))

    def row(self, k: int) -> np.ndarray:
        """Weights of class k's features and its bias, float64 (F + 1,)."""
        return np.array([*self.mix[k], self.bias[k]])

    def applied(self, logits: np.ndarray) -> np.ndarray:
        """Logits float32 (K, h, w) → the same."""
        if len(logits) != len(self.bias):
            raise InputFault(
                f"a head of {len(self.bias)} classes on logits of {len(logits)}; tune again"
            )
        mix = np.array(self.mix, np.float32)
        flat = logits.reshape(len(logits), -1)
        result = flat * mix if self.kind == "scale and bias" else mix @ flat
        result += np.array(self.bias, np.float32)[:, None]
        return result.reshape(logits.shape)


def identity_row(kind: HeadKind, k: int, classes: int) -> np.ndarray:
    """The row of `Head.row` that leaves class k as it is."""
    row = np.zeros(2 if kind == "scale and bias" else classes + 1)
    row[0 if kind == "scale and bias" else k] = 1.0
    return row
