"""U-Net (Ronneberger et al. 2015) and ResUNet (Zhang et al. 2018)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from competition.models.base import Body, Maps, convolution
from competition.recipes import UNet

ACTIVATIONS = {"relu": nn.ReLU, "leaky-relu": nn.LeakyReLU, "silu": nn.SiLU, "gelu": nn.GELU}


class PlainBlock(nn.Sequential):
    """Twice: 3×3 convolution, norm, activation."""

    def __init__(self, channels: int, out_channels: int, network: UNet) -> None:
        layers: list[nn.Module] = []
        for before in (channels, out_channels):
            layers += [
                nn.Conv2d(before, out_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
                ACTIVATIONS[network.activation](),
            ]
        super().__init__(*layers)


class ResidualBlock(nn.Module):
    """Two convolutions beside a 1×1 shortcut (He et al. 2016)."""

    def __init__(self, channels: int, out_channels: int, network: UNet) -> None:
        super().__init__()
        *inner, self.activation = PlainBlock(channels, out_channels, network)
        self.inner = nn.Sequential(*inner)
        self.shortcut = _shortcut(channels, out_channels, network)

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(self.inner(features) + self.shortcut(features))


class PreactivationBlock(nn.Module):
    """The same with norm and activation before each convolution (He et al. 2016b)."""

    def __init__(self, channels: int, out_channels: int, network: UNet) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before in (channels, out_channels):
            layers += [
                nn.BatchNorm2d(before),
                ACTIVATIONS[network.activation](),
                nn.Conv2d(before, out_channels, 3, padding=1, bias=False),
            ]
        self.inner = nn.Sequential(*layers)
        self.shortcut = _shortcut(channels, out_channels, network)

    def forward(self, features: Tensor) -> Tensor:
        return self.inner(features) + self.shortcut(features)


def _shortcut(channels: int, out_channels: int, network: UNet) -> nn.Module:
    if channels == out_channels:
        return nn.Identity()
    # A norm's shift follows anyway, so the survey's ResUNet (two blocks) has no bias here; with
    # one block it stays, for the networks that were trained with it.
    return nn.Conv2d(channels, out_channels, 1, bias=network.blocks == 1)


BLOCKS = {"plain": PlainBlock, "residual": ResidualBlock, "preactivation": PreactivationBlock}


def _stage(channels: int, out_channels: int, network: UNet) -> nn.Module:
    """A stage of the encoder: so many blocks, of which the first changes the channels."""
    block = BLOCKS[network.block]
    first = block(channels, out_channels, network)
    further = [block(out_channels, out_channels, network) for _ in range(network.blocks - 1)]
    return nn.Sequential(first, *further) if further else first


class UpStage(nn.Module):
    """Doubles the size and halves the channels, takes the skip, and one block."""

    def __init__(self, channels: int, network: UNet) -> None:
        super().__init__()
        half = channels // 2
        if network.up_sampling == "transposed":
            self.up: nn.Module = nn.ConvTranspose2d(channels, half, 2, stride=2)
        else:
            self.up = nn.Sequential(
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
                nn.Conv2d(channels, half, 1),
            )
        self.block = BLOCKS[network.block](channels, half, network)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Features (B,C,h,w) and skip (B,C/2,2h,2w) → (B,C/2,2h,2w)."""
        return self.block(torch.cat([self.up(features), skip], 1))


class UNetBody(Body):
    """Images (B,3,h,w), h and w multiples of 2^(stages−1) → logits (B,K,h,w)."""

    def __init__(self, network: UNet, classes: int) -> None:
        super().__init__()
        widths = [network.base * 2**stage for stage in range(network.stages)]
        self.divisor = 2 ** (network.stages - 1)
        self.deepest_channels = widths[-1]
        steps = list(zip([3, *widths], widths, strict=False))
        self.encoder = nn.ModuleList(_stage(*step, network) for step in steps[:-1])
        self.encoder.append(BLOCKS[network.block](*steps[-1], network))
        self.decoder = nn.ModuleList(UpStage(width, network) for width in widths[:0:-1])
        self.head = nn.Conv2d(widths[0], classes, 1)
        middle = widths[1:-1] if network.auxiliary else []
        self.auxiliary = nn.ModuleList(nn.Conv2d(width, classes, 1) for width in middle)
        self.apply(initialise)

    def forward(self, images: Tensor) -> Maps:
        features, skips = images, []
        for stage, block in enumerate(self.encoder):
            features = block(features if stage == 0 else functional.max_pool2d(features, 2))
            skips.append(features)
        deepest = skips.pop()
        outputs = []
        for up in self.decoder:
            features = up(features, skips.pop())
            outputs.append(features)
        return Maps(self.head(outputs.pop()), self._auxiliary(outputs), deepest)

    def _auxiliary(self, outputs: list[Tensor]) -> tuple[Tensor, ...]:
        """Logits of the decoder's middle outputs, the finest first; none in eval mode."""
        if not self.training or not len(self.auxiliary):
            return ()
        pairs = zip(self.auxiliary, reversed(outputs), strict=True)
        return tuple(head(features) for head, features in pairs)

    def logit_layers(self) -> list[nn.Conv2d]:
        return [self.head, *map(convolution, self.auxiliary)]


def initialise(module: nn.Module) -> None:
    """Convolutions by He et al. (2015), as rectifiers want it."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
