"""Logits that begin where most pixels end: background.

From scratch, a network first spends dozens of steps learning that a class covers little of an
image. Starting the bias of its last convolutions there saves them (Lin et al. 2017, section 3.3).
"""

import math

from torch import nn

from competition.models.layers import bias_of

SHARE = 0.02
"""Probability of every class at every pixel before training."""


def expect_background(logit_layers: list[nn.Conv2d]) -> None:
    """Set the bias of the layers that make logits."""
    bias = -math.log((1 - SHARE) / SHARE)
    for layer in logit_layers:
        nn.init.constant_(bias_of(layer), bias)
