"""ResNet18 encoder, three small pools after the stem, and a light depthwise-separable decoder.

Sizes below are those of a 224×224 image: e0 and e1 64 channels at 56, e2 128 at 28, e3 256 at 14,
the deepest features 512 at 7. Each encoder stage is registered once: registered twice, as in the
design's first write-up, it is counted twice by every counter of parameters and operations.
"""

import torch
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, resnet18

from competition.models.base import Body, Maps, enlarged
from competition.models.weights import published, torchvision_normalisation
from competition.recipes import UNetResNet18

SKIP_CHANNELS = {"e3": 256, "e2": 128, "e1": 64, "e0": 64}
_DEEPEST_CHANNELS = 512
POOL_STRIDES = (1, 1, 2)
RESNET18_WEIGHTS = ResNet18_Weights.IMAGENET1K_V1


class SeparableConvolution(nn.Sequential):
    """Depthwise 3×3 and pointwise 1×1, each with BatchNorm and ReLU (Howard et al. 2017)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class UpsamplingStage(nn.Module):
    """Doubles the size, merges a skip where there is one, and convolves twice."""

    def __init__(self, channels: int, out_channels: int, *, skip: int, merge: str) -> None:
        super().__init__()
        self.merge = merge
        if merge == "add" and skip not in (0, channels):
            self.project: nn.Module = nn.Conv2d(skip, channels, 1, bias=False)
        else:
            self.project = nn.Identity()
        merged = channels + skip if merge == "concat" else channels
        self.convolutions = nn.Sequential(
            SeparableConvolution(merged, out_channels),
            SeparableConvolution(out_channels, out_channels),
        )

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        """Features (B,C,h,w) and a skip (B,S,2h,2w) → (B,D,2h,2w)."""
        features = doubled(features)
        if skip is not None:
            skip = self.project(skip)
            features = features + skip if self.merge == "add" else torch.cat([features, skip], 1)
        return self.convolutions(features)


class UNetResNet18Body(Body):
    """Images (B,3,h,w), h and w multiples of 32 → logits (B,K,h/stride,w/stride)."""

    divisor = 32
    deepest_channels = _DEEPEST_CHANNELS

    def __init__(self, network: UNetResNet18, classes: int, *, pretrained: bool) -> None:
        super().__init__()
        encoder = resnet18()
        if pretrained:
            encoder.load_state_dict(published(RESNET18_WEIGHTS))
        self.normalisation = torchvision_normalisation(RESNET18_WEIGHTS)
        self.stem = nn.Sequential(encoder.conv1, encoder.bn1, encoder.relu, pools(network.pools))
        self.layer1, self.layer2 = encoder.layer1, encoder.layer2
        self.layer3, self.layer4 = encoder.layer3, encoder.layer4
        self.skips = network.skips
        self.stages = nn.ModuleList(_stages(network))
        last = network.decoder[len(self.stages) - 1]
        self.last = SeparableConvolution(last, last) if network.stride == 1 else None
        self.head = nn.Conv2d(last, classes, 1)

    def forward(self, images: Tensor) -> Maps:
        e0 = self.stem(images)
        e1 = self.layer1(e0)
        e2 = self.layer2(e1)
        e3 = self.layer3(e2)
        deepest = self.layer4(e3)
        features = deepest
        skips = {"e3": e3, "e2": e2, "e1": e1, "e0": e0}
        for stage, (name, skip) in zip(self.stages, skips.items(), strict=False):
            if name not in self.skips:
                features = stage(features, None)
            else:
                features = stage(features, doubled(skip) if name == "e0" else skip)
        if self.last is not None:
            features = self.last(doubled(features))
        return Maps(self.head(features), (), deepest)

    def logit_layers(self) -> list[nn.Conv2d]:
        return [self.head]

    def encoder_part(self) -> nn.Module:
        return self

    def published_parts(self) -> list[nn.Module]:
        return [self.stem, self.layer1, self.layer2, self.layer3, self.layer4]


def pools(letters: str) -> nn.Module:
    """The 3×3 pools of `letters` (M max, A average), strides 1, 1, 2; "plain": one max pool."""
    if letters == "plain":
        return nn.MaxPool2d(3, stride=2, padding=1)
    kinds = [
        nn.MaxPool2d(3, stride=stride, padding=1)
        if letter == "M"
        else nn.AvgPool2d(3, stride=stride, padding=1, count_include_pad=False)
        for letter, stride in zip(letters, POOL_STRIDES, strict=True)
    ]
    return nn.Sequential(*kinds)


def doubled(features: Tensor) -> Tensor:
    """Features (B,C,h,w) → (B,C,2h,2w), bilinear."""
    return enlarged(features, (2 * features.shape[-2], 2 * features.shape[-1]))


def _stages(network: UNetResNet18) -> list[UpsamplingStage]:
    """Stages down to 1/2 of the image, or to 1/4 where the logits stay there."""
    channels = [_DEEPEST_CHANNELS, *network.decoder[:-1]]
    return [
        UpsamplingStage(
            before, after, skip=depth if name in network.skips else 0, merge=network.merge
        )
        for (name, depth), before, after in zip(
            SKIP_CHANNELS.items(), channels, network.decoder, strict=True
        )
    ][: 3 if network.stride == 4 else 4]
