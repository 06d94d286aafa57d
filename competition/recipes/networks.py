"""The networks a recipe can name, each with its options; `models.build` makes them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from competition.settings import Settings

TIMM = "tu-"
"""What stands before the name of an encoder of timm's."""

Skip = Literal["e3", "e2", "e1", "e0"]

DropPath = Annotated[
    float,
    Field(
        ge=0,
        lt=1,
        description="probability that the encoder's deepest block is left out of a step, and the "
        "first ones ever less (stochastic depth, Huang et al. 2016); of timm's encoders",
    ),
]


class NetworkSettings(Settings):
    """What can be put around any network (models/adapters.py, models/head.py)."""

    channels: int = Field(3, ge=1, description="of the image; the competition says it")
    bits: Literal[8, 16] = Field(
        8, description="of the image's values, 0…255 or 0…65,535; the competition says it"
    )
    prior: float = Field(
        0.02, gt=0, lt=1, description="probability of every class at every pixel before training"
    )
    norm: Literal["batch", "group", "instance", "sync"] = Field(
        "batch",
        description="what stands in the place of BatchNorm; convolutions keep their weights",
    )
    groups: int = Field(8, ge=1, description="of GroupNorm")
    gradient_checkpointing: bool = Field(
        False, description="compute activations again in the backward pass instead of keeping them"
    )
    presence: float = Field(
        0.0, ge=0, description="loss weight of a head that says which classes an image has; 0: none"
    )
    down: Literal["none", "convolution", "unshuffle"] = Field(
        "none",
        description="halve the image: a learnt stride-2 convolution to 8 channels, or pixels",
    )
    up: Literal["none", "convolution", "shuffle"] = Field(
        "none", description="double the logits: a learnt transposed convolution, or channels"
    )
    head: Literal["none", "1x1", "3x3", "attention"] = Field(
        "none", description="a layer over the classes' logits; starts as the identity"
    )
    lora: int = Field(
        0,
        ge=0,
        description="rank of the updates that are all that is learnt of the encoder, one in each of "
        "its linear layers (LoRA, Hu et al. 2021); 0: all of it is learnt",
    )


class UNetResNet18(NetworkSettings):
    """ResNet18 encoder with three small pools and a light depthwise-separable decoder."""

    kind: Literal["unet-resnet18"] = "unet-resnet18"
    pools: Literal["MAM", "MAA", "AAM", "plain"] = Field(
        "MAA", description="the 3×3 pools after the stem (M max, A average); plain: one max pool"
    )
    decoder: tuple[int, int, int, int] = Field(
        (128, 64, 32, 32), description="channels of the decoder's stages, coarse to fine"
    )
    skips: tuple[Skip, ...] = ("e3", "e2")
    merge: Literal["concat", "add"] = "concat"
    stride: Literal[1, 2, 4] = Field(
        1, description="of the logits: decoder stages finer than this are left out"
    )


class UNet(NetworkSettings):
    """U-Net (Ronneberger et al. 2015) and ResUNet (Zhang et al. 2018), from scratch."""

    kind: Literal["unet"] = "unet"
    block: Literal["plain", "residual", "preactivation"] = Field(
        "plain", description="two convolutions; with a 1×1 shortcut; or norm and activation first"
    )
    blocks: int = Field(
        1, ge=1, description="in each stage of the encoder; the deepest and the decoder's have one"
    )
    base: int = Field(64, ge=1, description="channels of the first stage; each next one has double")
    stages: int = Field(5, ge=2, le=7, description="sizes, the finest and the deepest included")
    up_sampling: Literal["transposed", "bilinear"] = Field(
        "transposed", description="2×2 transposed convolution; or bilinear, then 1×1"
    )
    activation: Literal["relu", "leaky-relu", "silu", "gelu"] = "relu"
    auxiliary: float = Field(
        0.0,
        ge=0,
        description="deep supervision: loss weight of the decoder's middle outputs; 0: none",
    )


class Fcn(NetworkSettings):
    """torchvision's FCN on a dilated ResNet (Long et al. 2015)."""

    kind: Literal["fcn"] = "fcn"
    encoder: Literal["resnet50", "resnet101"] = "resnet50"
    auxiliary: float = Field(0.0, ge=0, description="weight of the auxiliary head's loss; 0: none")


class DeepLabV3(NetworkSettings):
    """torchvision's DeepLabv3 (Chen et al. 2017)."""

    kind: Literal["deeplabv3"] = "deeplabv3"
    encoder: Literal["resnet50", "resnet101"] = "resnet101"
    auxiliary: float = Field(0.0, ge=0, description="weight of the auxiliary head's loss; 0: none")


_STAGES = 5
"""Of a Unet's decoder."""


class Smp(NetworkSettings):
    """Any segmentation-models-pytorch decoder on any of its encoders (timm's with `tu-`).

    A plain vision transformer has one scale of features: a pyramid is made of them first.
    """

    kind: Literal["smp"] = "smp"
    decoder: Literal[
        "DeepLabV3",
        "DeepLabV3Plus",
        "FPN",
        "Linknet",
        "MAnet",
        "PAN",
        "PSPNet",
        "Segformer",
        "UPerNet",
        "Unet",
        "UnetPlusPlus",
    ] = "DeepLabV3Plus"
    encoder: str = "resnet50"
    decoder_channels: tuple[int, ...] | None = Field(
        None, description="Unet: of its decoder's five stages, coarse to fine; none: smp's own"
    )
    drop_path: DropPath = 0.0

    @model_validator(mode="after")
    def _stages_are_a_unets(self) -> Self:
        if self.decoder_channels is not None and self.decoder != "Unet":
            raise ValueError(f"decoder_channels is of decoder = 'Unet', not of {self.decoder!r}")
        if self.decoder_channels is not None and (
            len(self.decoder_channels) != _STAGES or min(self.decoder_channels) < 1
        ):
            raise ValueError(f"decoder_channels: expected {_STAGES} numbers of at least 1")
        return self

    @model_validator(mode="after")
    def _drop_path_is_of_timms_encoders(self) -> Self:
        if self.drop_path and not self.encoder.startswith(TIMM):
            raise ValueError(
                f"drop_path is of timm's encoders, whose names begin with {TIMM!r}, not of "
                f"encoder = {self.encoder!r}"
            )
        return self


class Dpt(NetworkSettings):
    """DPT (Ranftl et al. 2021) on a vision transformer of timm, by way of smp."""

    kind: Literal["dpt"] = "dpt"
    encoder: str = "tu-beit_large_patch16_384"
    input_size: tuple[int, int] = Field(
        (384, 384), description="height, width of every input; a smaller image is padded to it"
    )
    drop_path: DropPath = 0.0


class Beit(NetworkSettings):
    """BEiT (Bao et al. 2021) with UPerNet (Xiao et al. 2018); needs the extra `transformers`."""

    kind: Literal["beit"] = "beit"
    width: int = Field(1024, ge=1)
    layers: int = Field(24, ge=4)
    heads: int = Field(16, ge=1)
    taps: tuple[int, int, int, int] = Field(
        (8, 12, 16, 24), description="the layers, from 1, whose outputs the decoder takes"
    )
    weights: str = Field(
        "microsoft/beit-large-patch16-224-pt22k-ft22k",
        description="published ones, where pretrained",
    )
    auxiliary: float = Field(0.0, ge=0, description="weight of the auxiliary head's loss; 0: none")

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide into {self.heads} heads")
        if sorted(set(self.taps)) != list(self.taps) or self.taps[0] < 1:
            raise ValueError(f"taps {self.taps} must rise from 1")
        if self.taps[-1] != self.layers:
            raise ValueError(
                f"the last tap, {self.taps[-1]}, must be the last layer, {self.layers}"
            )
        return self


Network = Annotated[
    UNetResNet18 | UNet | Fcn | DeepLabV3 | Smp | Dpt | Beit, Field(discriminator="kind")
]
