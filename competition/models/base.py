"""What every network gives back, and the shell that takes images of any size and channel count."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from competition.errors import InputFault


class Normalisation(NamedTuple):
    """Mean and deviation of red, green and blue, as shares of white, that an encoder expects."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Output(NamedTuple):
    """Logits of one batch.

    `logits` (B,K,h',w'): at the network's own size, which may be coarser than the image; a mere
    bilinear enlargement is left to the loss and to `masks.runs_from_logits`, who do it without
    ever holding the large array. `auxiliary`: logits (B,K,h'',w'') of the outputs that help
    training, the finest first; empty in eval mode. `presence` (B,K): logits of whether a class is
    in the image at all; None without that head. In eval mode no pixel is surer of its class than
    `presence` is, so that a class that is not there has an empty mask.
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...] = ()
    presence: Tensor | None = None


class Maps(NamedTuple):
    """What the body of a network computes: its logits, and the features a further head may use.

    `deepest` (B,C,h''',w'''): the encoder's last features.
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...]
    deepest: Tensor


class Body(nn.Module):
    """A bare network: images (B,3,h,w) → Maps. Subclasses set what the shell must know of it."""

    divisor: int
    """Height and width must be a multiple of this."""
    smallest_batch = 1
    """The fewest images that it can train on at once, as long as it has BatchNorm."""
    deepest_channels: int
    """Channels of `Maps.deepest`."""
    fixed_size: tuple[int, int] | None = None
    """Height, width that every image must be padded to; None: any multiple of the divisor."""
    normalisation: Normalisation = IMAGENET
    """What its published weights were trained with, whether they are loaded or not."""

    def logit_layers(self) -> list[nn.Conv2d]:
        """The layers whose outputs are logits: the main one first, then the auxiliary ones."""
        raise NotImplementedError

    def make_exportable(self) -> None:
        """Change in place what exporters cannot take; the outputs stay."""

    def load_published(self, network: Any, weights: str) -> None:
        """Take the encoder's weights from the file that `weights` of a recipe names."""
        raise InputFault(
            f"weights = {weights!r}: a network of kind {network.kind!r} takes published weights from "
            'the hub alone; take kind = "smp", or weights = "hub"'
        )

    def encoder_part(self) -> nn.Module:
        """Where most activations are, and gradient checkpointing is worth it."""
        return self.get_submodule("encoder")

    def published_parts(self) -> list[nn.Module]:
        """What published weights are of: trained slower, frozen at first, or updated by low ranks."""
        return [self.encoder_part()]


class Surround(NamedTuple):
    """What stands around a body: see models/adapters.py and models/head.py.

    `down` and `up` change the size by 1/2 and 2 where `factor` is 2 for them.
    """

    down: nn.Module
    up: nn.Module
    head: nn.Module
    presence: nn.Module | None
    shuffled: bool
    """The body's logits are pixels to shuffle, the auxiliary ones as well."""
    channels: int
    """Of the image."""
    white: int
    """The largest value of its pixels, 255 or 65,535."""


class SegmentationNetwork(nn.Module):
    """down → body → up → head, for images of any size.

    `mean` and `deviation` (C,1,1) are the encoder's own, and saved with the weights.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: Body, surround: Surround) -> None:
        super().__init__()
        self.body = body
        self.down, self.up, self.head = surround.down, surround.up, surround.head
        self.presence = surround.presence
        self.fitted: nn.Module = nn.Identity()  # on export: a head fitted on stored logits
        self.shuffled, self.channels = surround.shuffled, surround.channels
        self.white = surround.white
        halved = not isinstance(surround.down, nn.Identity)
        self.divisor = body.divisor * (2 if halved else 1)
        self.fixed_size = body.fixed_size
        if halved and body.fixed_size is not None:
            self.fixed_size = 2 * body.fixed_size[0], 2 * body.fixed_size[1]
        has_batch_norm = any(isinstance(module, _BatchNorm) for module in body.modules())
        self.smallest_batch = body.smallest_batch if has_batch_norm else 1
        for name, values in body.normalisation._asdict().items():
            self.register_buffer(name, _of_channels(values, self.channels))

    def normalised(self, images: Tensor) -> Tensor:
        """Pixels (B,C,h,w), 0…`white` of any type → float32, as the encoder's published weights expect.

        Channels last: convolutions on CPUs and tensor cores run 1.2 to 1.8 times faster on it.
        """
        scaled = (images.float() / self.white - self.mean) / self.deviation
        return scaled.contiguous(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Output:
        """Images (B,C,h,w) float, normalised → Output.

        Where the network cannot take h or w, the image is padded at the bottom and the right by
        its own edge, and the logits come at (h, w), cut back exactly.
        """
        self._check(images)
        size = images.shape[-2], images.shape[-1]
        height, width = padded = self._padded_size(size)
        bottom, right = height - size[0], width - size[1]
        if bottom == 0 and right == 0:
            return self._forward(images)
        output = self._forward(functional.pad(images, (0, right, 0, bottom), mode="replicate"))
        return Output(
            _cut_back(output.logits, padded, size),
            tuple(_cut_back(logits, padded, size) for logits in output.auxiliary),
            output.presence,
        )

    # ty: ignore[incompatible-method-override] torch's hook: what is not looked at is handed on
    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Weights from before each encoder had its own normalisation were trained with ImageNet's."""
        for name, values in IMAGENET._asdict().items():
            state_dict.setdefault(prefix + name, _of_channels(values, self.channels))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def _forward(self, images: Tensor) -> Output:
        maps = self.body(self.down(images))
        auxiliary = maps.auxiliary
        if self.shuffled:
            auxiliary = tuple(self.up(logits) for logits in auxiliary)
        logits = self.head(self.up(maps.logits))
        presence = None if self.presence is None else self.presence(maps.deepest)
        if presence is not None and not self.training:
            logits = torch.minimum(logits, presence[..., None, None])
        return Output(self.fitted(logits), auxiliary, presence)

    def _padded_size(self, size: tuple[int, int]) -> tuple[int, int]:
        if self.fixed_size is None:
            height, width = size
            return height + -height % self.divisor, width + -width % self.divisor
        if size[0] > self.fixed_size[0] or size[1] > self.fixed_size[1]:
            raise InputFault(
                f"an image of {size[0]}×{size[1]}: this network takes at most "
                f"{self.fixed_size[0]}×{self.fixed_size[1]}; set network.input_size, "
                "or predict in tiles"
            )
        return self.fixed_size

    def _check(self, images: Tensor) -> None:
        if images.shape[1] != self.channels:
            raise InputFault(
                f"an image of {images.shape[1]} channels: this network takes {self.channels}; say "
                f"channels = {images.shape[1]} in [data] and train it for them"
            )
        if self.training and len(images) < self.smallest_batch:
            raise InputFault(
                f"a training batch of {len(images)}: this network normalises over the batch and "
                f"needs at least {self.smallest_batch} images; raise the recipe's batch, drop the "
                'last, smaller batch, or take network.norm = "group"'
            )


def _of_channels(values: tuple[float, ...], channels: int) -> Tensor:
    """(C,1,1): those of the colours in turn, as the first layer's weights are transferred."""
    turns = [values[channel % len(values)] for channel in range(channels)]
    return torch.tensor(turns).view(-1, 1, 1)


def _cut_back(logits: Tensor, padded: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Logits (B,K,h',w') of a padded image → logits (B,K,h,w) of the image."""
    return enlarged(logits, padded)[..., : size[0], : size[1]]


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits (B,K,h',w') → (B,K,*size): bilinear between pixel centres, as the store does it."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return functional.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)


def convolution(layer: nn.Module) -> nn.Conv2d:
    """A layer that is a convolution; a sequence knows its layers as modules only."""
    assert isinstance(layer, nn.Conv2d)
    return layer


def bias_of(layer: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """The bias of a layer that was made with one."""
    assert layer.bias is not None
    return layer.bias
