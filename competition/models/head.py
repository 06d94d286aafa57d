"""Layers over the classes' logits (B,K,h,w) → (B,K,h,w); each starts as the identity.

A 1×1 layer learns a threshold for each class, and how classes vouch for each other, jointly with
the network or on its stored predictions.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from competition.errors import InputFault
from competition.models.base import bias_of

POOLED = 8
"""The attention head looks at each class's logits as POOLED × POOLED means."""


def build_head(kind: str, classes: int) -> nn.Module:
    """The head that a recipe names: "none", "1x1", "3x3" or "attention"."""
    match kind:
        case "none":
            return nn.Identity()
        case "1x1":
            return Pointwise(classes)
        case "3x3":
            return Neighbourhood(classes)
        case "attention":
            return ClassAttention(classes)
    raise InputFault(f"no head {kind!r}; there are none, 1x1, 3x3, attention")


class Pointwise(nn.Conv2d):
    """1×1 convolution of K to K classes."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, classes, 1)
        nn.init.dirac_(self.weight)
        nn.init.zeros_(bias_of(self))


class Neighbourhood(nn.Conv2d):
    """3×3 convolution of K to K classes."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, classes, 3, padding=1)
        nn.init.dirac_(self.weight)
        nn.init.zeros_(bias_of(self))


class ClassAttention(nn.Module):
    """Classes attend to classes: a 1×1 layer whose weights depend on the image.

    A class's query, key and name come from the coarse picture of its logits, so that "this looks
    like a left hand" can raise one class and lower another (Vaswani et al. 2017, classes as tokens).
    """

    def __init__(self, classes: int, *, width: int = 32) -> None:
        super().__init__()
        self.names = nn.Parameter(torch.empty(classes, width))
        nn.init.normal_(self.names, std=0.02)
        self.token = nn.Linear(POOLED * POOLED, width)
        self.query_key = nn.Linear(width, 2 * width)
        self.strength = nn.Parameter(torch.zeros(classes))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, logits: Tensor) -> Tensor:
        """Logits (B,K,h,w) → the same, plus what the classes that it attends to say."""
        pooled = functional.adaptive_avg_pool2d(logits, POOLED).flatten(2)
        tokens = self.token(torch.tanh(pooled / POOLED)) + self.names
        query, key = self.query_key(tokens).chunk(2, -1)
        attention = (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).softmax(-1)
        heard = torch.einsum("bkj,bjhw->bkhw", attention.to(logits.dtype), logits)
        return logits + self.strength.view(-1, 1, 1) * heard + self.bias.view(-1, 1, 1)


class Presence(nn.Module):
    """Features (B,C,h,w) → logits (B,K) of whether each class is in the image at all."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * channels, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Means and maxima: the one for large classes, the other for small ones."""
        return self.linear(torch.cat([features.mean((-2, -1)), features.amax((-2, -1))], 1))


def expect_background(logit_layers: list[nn.Conv2d], prior: float) -> None:
    """Set the bias of the layers that make logits; prior: probability of every class at every pixel."""
    bias = -math.log((1 - prior) / prior)
    for layer in logit_layers:
        nn.init.constant_(bias_of(layer), bias)
