"""A simple feature pyramid on a plain vision transformer (ViTDet, Li et al. 2022), for smp's decoders.

A plain transformer has one scale of features, a map at 1/16 for patches of 16 pixels. Its last one
becomes four, at 1/4, 1/8, 1/16 and 1/32, by transposed convolutions and a pool, and nothing else.
"""

from typing import Any, NoReturn, cast

import timm
from timm.layers import LayerNorm2d
from torch import Tensor, nn

PLAIN_MODULES = {"deit", "eva", "vision_transformer"}
"""timm's modules of networks that have patches, blocks of one width and no stages, and take images of
any size."""

LEVEL_CHANNELS = 256
"""Channels of each level, as in the paper."""


def is_plain(name: str) -> bool:
    """Whether timm's network of this name is a plain vision transformer."""
    return timm_module(name) in PLAIN_MODULES


def timm_module(name: str) -> str:
    """The module of timm's that makes the network of this name, with or without its weights' tag."""
    return timm.model_entrypoint(name.partition(".")[0]).__module__.rpartition(".")[2]


class PyramidEncoder(nn.Module):
    """Images (B,3,h,w) → maps as an encoder of smp gives them: the image, none at 1/2, then four of
    LEVEL_CHANNELS channels, for patches of 16 pixels at 1/4, 1/8, 1/16, 1/32.

    `depth` 5 has all of them, 3 those down to 1/8. Images of any size that the patches divide.
    """

    model: Any
    """timm's transformer; nothing declares what they have in common."""

    def __init__(
        self,
        name: str,
        *,
        pretrained: bool,
        depth: int = 5,
        output_stride: int = 32,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if output_stride != _STRIDE:
            self.make_dilated(output_stride)
        options: dict[str, Any] = {"dynamic_img_size": True, "drop_path_rate": drop_path_rate}
        model = cast(Any, timm.create_model(name, pretrained=pretrained, **options))
        for unused in ("attn_pool", "fc_norm", "head", "head_drop"):
            if hasattr(model, unused):
                setattr(model, unused, nn.Identity())
        self.model = model
        width = int(model.embed_dim)
        self.levels = nn.ModuleList(level_of(place, width) for place in range(depth - 1))
        self.out_channels = [3, 0, *[LEVEL_CHANNELS] * len(self.levels)]
        self.output_stride = 2 * int(model.patch_embed.patch_size[0])

    def forward(self, images: Tensor) -> list[Tensor]:
        (deepest,) = self.model.forward_intermediates(
            images, indices=1, norm=True, intermediates_only=True
        )
        height, width = images.shape[-2] // 2, images.shape[-1] // 2
        none = images.new_empty(len(images), 0, height, width)
        return [images, none, *(level(deepest) for level in self.levels)]

    def set_in_channels(self, channels: int, pretrained: bool = True) -> None:
        """smp's word; the shell around a network adapts its first convolution."""

    def make_dilated(self, output_stride: int) -> NoReturn:
        """smp's word, for the decoders that want it."""
        raise ValueError("a plain vision transformer cannot be dilated")


_STRIDE = 32
"""smp's word for "not dilated"."""


def level_of(place: int, width: int) -> nn.Sequential:
    """Features (B,width,h,w) → (B,LEVEL_CHANNELS,h',w'), 4, 2, 1 or 1/2 times as large."""
    resized: list[nn.Module] = []
    match place:
        case 0:
            resized = [
                nn.ConvTranspose2d(width, width // 2, 2, stride=2),
                LayerNorm2d(width // 2),
                nn.GELU(),
                nn.ConvTranspose2d(width // 2, width // 4, 2, stride=2),
            ]
        case 1:
            resized = [nn.ConvTranspose2d(width, width // 2, 2, stride=2)]
        case 3:
            resized = [nn.MaxPool2d(2)]
    channels = (width // 4, width // 2, width, width)[place]
    return nn.Sequential(
        *resized,
        nn.Conv2d(channels, LEVEL_CHANNELS, 1, bias=False),
        LayerNorm2d(LEVEL_CHANNELS),
        nn.Conv2d(LEVEL_CHANNELS, LEVEL_CHANNELS, 3, padding=1, bias=False),
        LayerNorm2d(LEVEL_CHANNELS),
    )
