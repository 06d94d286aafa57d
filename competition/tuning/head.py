"""A head on one member's stored logits: a linear layer over classes, fitted after training."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from competition.errors import InputFault
from competition.tuning.record import Record

Kind = Literal["scale and bias", "1x1", "3x3"]

AROUND = tuple(
    (down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)
)
"""The eight neighbours of a pixel, (rows down, columns right)."""


class Head(Record):
    """Logit of class k: Σ mix[k] · logits + Σ around[k] · its own logits next to it + bias[k]."""

    kind: Kind
    mix: tuple[tuple[float, ...], ...] = Field(
        description="for each class the weight of its own logit, or of all K classes' logits"
    )
    bias: tuple[float, ...]
    around: tuple[tuple[float, ...], ...] = Field(
        (), description="for each class the weights of its logits at the eight neighbours"
    )

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        classes = len(self.bias)
        wide = 1 if self.kind == "scale and bias" else classes
        rows = classes if self.kind == "3x3" else 0
        if [len(row) for row in self.mix] != [wide] * classes:
            raise ValueError(f"mix of {len(self.mix)} rows; {classes} × {wide} is expected")
        if [len(row) for row in self.around] != [len(AROUND)] * rows:
            raise ValueError(
                f"around of {len(self.around)} rows; {rows} × {len(AROUND)} is expected"
            )
        return self

    @classmethod
    def of_rows(cls, kind: Kind, rows: np.ndarray) -> Self:
        """rows: float64 (K, F + 1), one a class: weights of its features, then the bias."""
        bias = tuple(rows[:, -1].tolist())
        wide = 1 if kind == "scale and bias" else len(rows)
        mix = tuple(map(tuple, rows[:, :wide].tolist()))
        around = tuple(map(tuple, rows[:, wide:-1].tolist())) if kind == "3x3" else ()
        return cls(kind=kind, mix=mix, bias=bias, around=around)

    def row(self, kind: int) -> np.ndarray:
        """Weights of one class's features and its bias, float64 (F + 1,)."""
        around = self.around[kind] if self.around else ()
        return np.array([*self.mix[kind], *around, self.bias[kind]])

    def applied(self, logits: np.ndarray) -> np.ndarray:
        """Logits float32 (K, h, w) → the same; beyond the border lies the border's own logit."""
        if len(logits) != len(self.bias):
            raise InputFault(
                f"a head of {len(self.bias)} classes on logits of {len(logits)}; tune again"
            )
        mix = np.array(self.mix, np.float32)
        flat = logits.reshape(len(logits), -1)
        result = flat * mix if self.kind == "scale and bias" else mix @ flat
        result += np.array(self.bias, np.float32)[:, None]
        result = result.reshape(logits.shape)
        if self.around:
            _add_around(result, logits, np.array(self.around, np.float32))
        return result


def identity_row(kind: Kind, place: int, classes: int) -> np.ndarray:
    """The row of `Head.row` that leaves class `place` as it is."""
    features = {"scale and bias": 1, "1x1": classes, "3x3": classes + len(AROUND)}[kind]
    row = np.zeros(features + 1)
    row[0 if kind == "scale and bias" else place] = 1.0
    return row


def _add_around(result: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> None:
    """Adds the weighted neighbours, class by class so that planes stay in the cache."""
    height, width = logits.shape[1:]
    for kind, plane in enumerate(logits):
        wide = np.pad(plane, 1, mode="edge")
        for weight, (down, right) in zip(weights[kind], AROUND, strict=True):
            beside = wide[1 + down : 1 + down + height, 1 + right : 1 + right + width]
            result[kind] += weight * beside
