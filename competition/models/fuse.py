"""A 1×1 head folded into the layer before it: the same logits, one layer less, for export."""

import copy

import torch
from torch import Tensor, nn

from competition.models.adapters import LearntUp
from competition.models.head import Pointwise
from competition.models.layers import bias_of
from competition.models.network import SegmentationNetwork


def fused(network: SegmentationNetwork, fitted: Pointwise | None = None) -> SegmentationNetwork:
    """A copy in eval mode without 1×1 heads: its own, and one `fitted` on its predictions.

    Both are folded into the convolution (or the transposed one) that makes the logits. Other
    heads stay as they are, and so does the limit that a presence head sets; a fitted head behind
    either stays a layer.
    """
    network = copy.deepcopy(network).eval()
    if isinstance(network.head, Pointwise):
        _fold(network, network.head)
        network.head = nn.Identity()
    if fitted is None:
        return network
    if isinstance(network.head, nn.Identity) and network.presence is None:
        _fold(network, fitted)
    else:
        network.fitted = copy.deepcopy(fitted)
    return network


@torch.no_grad()
def _fold(network: SegmentationNetwork, head: Pointwise) -> None:
    mix, shift = head.weight[:, :, 0, 0], bias_of(head)
    if isinstance(network.up, LearntUp):
        last = network.up
        last.weight.copy_(torch.einsum("ij,njab->niab", mix, last.weight))
        bias = bias_of(last)
        bias.copy_(mix @ bias + shift)
        return
    last = network.body.logit_layers()[0]
    last.weight.copy_(_mixed(mix, last.weight))
    bias = bias_of(last)
    shuffled = bias.numel() // len(shift)
    bias.copy_(_mixed(mix, bias) + shift.repeat_interleave(shuffled))


def _mixed(mix: Tensor, values: Tensor) -> Tensor:
    """Values (r·K,…) of K classes with r channels each → the same, mixed by (K,K)."""
    classes = values.unflatten(0, (len(mix), -1))
    return torch.tensordot(mix, classes, dims=1).flatten(0, 1)
