"""What can be put around or into any network: other norms, other image channels, half sizes."""

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from competition.errors import InputFault
from competition.models.base import bias_of
from competition.recipes import NetworkSettings

AnyModule = TypeVar("AnyModule", bound=nn.Module)

LEARNT_CHANNELS = 8
"""Channels of the learnt down convolution."""


class InstanceNorm(nn.InstanceNorm2d):
    """InstanceNorm; features of a single pixel, which have no deviation, by their channels."""

    def forward(self, input: Tensor) -> Tensor:
        if input.shape[-2] * input.shape[-1] > 1:
            return super().forward(input)
        return functional.group_norm(input, 1, self.weight, self.bias, self.eps)


def swap_norm(body: AnyModule, norm: str, *, groups: int) -> AnyModule:
    """`body` with every BatchNorm replaced, in place; scales, shifts and convolutions are kept.

    norm: "batch" (nothing changes), "group" (Wu & He 2018), "instance" (Ulyanov et al. 2016) or
    "sync" (BatchNorm over all devices). Channels that `groups` does not divide take the largest
    number of groups that does.
    """
    match norm:
        case "batch":
            return body
        case "sync":
            nn.SyncBatchNorm.convert_sync_batchnorm(body)
            return body
        case "group" | "instance":
            for parent in list(body.modules()):
                for name, child in parent.named_children():
                    if isinstance(child, _BatchNorm):
                        setattr(parent, name, _replacement(child, norm, groups))
            return body
    raise InputFault(f"no norm {norm!r}; there are batch, group, instance, sync")


def _replacement(old: _BatchNorm, norm: str, groups: int) -> nn.Module:
    channels = old.num_features
    if norm == "instance":
        new: nn.Module = InstanceNorm(channels, eps=old.eps, affine=True)
    else:
        new = nn.GroupNorm(math.gcd(groups, channels), channels, eps=old.eps)
    if old.affine:
        new.weight, new.bias = old.weight, old.bias
    return new


def image_channels(network: NetworkSettings) -> int:
    """Channels that the encoder's first convolution sees."""
    match network.down:
        case "convolution":
            return LEARNT_CHANNELS
        case "unshuffle":
            return 4 * network.channels
    return network.channels


def logit_channels(network: NetworkSettings, classes: int) -> int:
    """Channels that the body's last convolution makes."""
    return 4 * classes if network.up == "shuffle" else classes


def build_down(network: NetworkSettings) -> nn.Module:
    """Images (B,C,h,w) → what the encoder sees, at half the size but for "none"."""
    match network.down:
        case "convolution":
            return LearntDown(network.channels)
        case "unshuffle":
            return nn.PixelUnshuffle(2)
    return nn.Identity()


def build_up(network: NetworkSettings, classes: int) -> nn.Module:
    """The body's logits → logits (B,K,h',w') at double the size, but for "none"."""
    match network.up:
        case "convolution":
            return LearntUp(classes)
        case "shuffle":
            return nn.PixelShuffle(2)
    return nn.Identity()


class LearntDown(nn.Conv2d):
    """(B,C,h,w) → (B,8,h/2,w/2); its first C outputs start as the mean of 2×2 pixels.

    Four pixels wide with stride 2: three would shift the image by half a pixel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, LEARNT_CHANNELS, 4, stride=2, padding=1)
        with torch.no_grad():
            bias_of(self).zero_()
            self.weight[:channels].zero_()
            for channel in range(min(channels, LEARNT_CHANNELS)):
                self.weight[channel, channel, 1:3, 1:3] = 0.25


class LearntUp(nn.ConvTranspose2d):
    """(B,K,h,w) → (B,K,2h,2w); starts as bilinear enlargement (Long et al. 2015)."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, classes, 4, stride=2, padding=1)
        line = torch.tensor([0.25, 0.75, 0.75, 0.25])
        with torch.no_grad():
            bias_of(self).zero_()
            self.weight.zero_()
            for k in range(classes):
                self.weight[k, k] = torch.outer(line, line)


def adapt_first_convolution(body: nn.Module, network: NetworkSettings) -> None:
    """Make the first convolution of `body` take the channels that it will see, in place.

    Its weights for three colours are transferred, so that the network starts as it was on the
    image, or on the image at half the size. From scratch after a learnt down convolution (as
    SegFormer was once tried) every class stays empty for thousands of steps.
    """
    channels = image_channels(network)
    if channels == 3 and network.down == "none":
        return
    parent, name, old = _first_convolution(body)
    new = nn.Conv2d(
        channels * old.groups,
        old.out_channels,
        _pair(old.kernel_size),
        stride=_pair(old.stride),
        padding=old.padding if isinstance(old.padding, str) else _pair(old.padding),
        dilation=_pair(old.dilation),
        bias=old.bias is not None,
    )
    with torch.no_grad():
        new.weight.copy_(_transferred(old.weight, network))
        if old.bias is not None:
            bias_of(new).copy_(old.bias)
    setattr(parent, name, new)
    if hasattr(parent, "num_channels"):  # transformers compares it with what it is shown
        vars(parent)["num_channels"] = new.in_channels


def _pair(sides: tuple[int, ...]) -> tuple[int, int]:
    height, width = sides
    return height, width


def _transferred(weight: Tensor, network: NetworkSettings) -> Tensor:
    """(O,3,a,b) for colours → (O,C',a,b) for what the encoder will see.

    Other numbers of channels take the colours' weights in turn, scaled to the same sum. After the
    learnt convolution, whose first outputs are those channels, the other inputs start at 0. After
    pixel unshuffle, whose order is channel-major, each of four pixels takes a quarter.
    """
    of_image = _for_channels(weight, network.channels)
    match network.down:
        case "convolution":
            kept = of_image[:, :LEARNT_CHANNELS]
            rest = weight.new_zeros(len(weight), LEARNT_CHANNELS - kept.shape[1], *weight.shape[2:])
            return torch.cat([kept, rest], 1)
        case "unshuffle":
            return of_image.repeat_interleave(4, 1) / 4
    return of_image


def _for_channels(weight: Tensor, channels: int) -> Tensor:
    if channels == weight.shape[1]:
        return weight
    turns = [weight[:, channel % weight.shape[1]] for channel in range(channels)]
    return torch.stack(turns, 1) * (weight.shape[1] / channels)


def _first_convolution(body: nn.Module) -> tuple[nn.Module, str, nn.Conv2d]:
    for parent in body.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and child.in_channels == 3:
                return parent, name, child
    raise InputFault("this network has no first convolution of three channels to adapt")
