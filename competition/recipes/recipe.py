"""`Recipe`: what a competitor chooses to train."""

from typing import Literal

from pydantic import Field

from competition.recipes.losses import LossTerm
from competition.recipes.networks import Network, UNetResNet18
from competition.recipes.settings import Settings


class Optimizer(Settings):
    """AdamW (Loshchilov & Hutter 2019)."""

    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")


class Schedule(Settings):
    """Linear warm-up, then a cosine to `final` × the learning rate."""

    epochs: int = Field(30, ge=1)
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps")
    final: float = Field(1e-3, ge=0, le=1)


class Augmentation(Settings):
    """Random changes of a training image; geometry moves image and targets together."""

    rotate: float = Field(10.0, ge=0, description="degrees, either way")
    scale: float = Field(0.1, ge=0, lt=1, description="share, either way")
    shift: float = Field(0.05, ge=0, lt=1, description="share of the size, either way")
    intensity: float = Field(0.2, ge=0, description="brightness and contrast, share either way")
    noise: float = Field(0.0, ge=0, le=1, description="probability of blur or noise")
    flip: float = Field(0.5, ge=0, le=1, description="probability, where the competition allows it")


class Recipe(Settings):
    """Everything that decides what a training run does, apart from fold, seed and data."""

    name: str
    about: str = Field(description="one sentence for people")
    network: Network = UNetResNet18()
    pretrained: bool = Field(True, description="start the encoder from ImageNet weights")
    size: tuple[int, int] = Field((512, 512), description="height, width the network sees")
    fit: Literal["stretch", "pad"] = Field(
        "stretch", description="stretch: to the size; pad: keep the aspect, pad bottom and right"
    )
    loss: tuple[LossTerm, ...] = (LossTerm(name="bce"), LossTerm(name="dice"))
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    augmentation: Augmentation = Augmentation()
    batch: int = Field(8, ge=1)
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 where the processor computes in it, else fp32"
    )
    ema: float = Field(0.99, ge=0, lt=1, description="decay per step of the averaged weights")
    validate_every: int = Field(1, ge=1, description="epochs between validations")
