"""`Recipe`: what a competitor chooses to train."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from competition.recipes.losses import LossTerm
from competition.recipes.networks import Network, UNetResNet18
from competition.settings import Settings


class Optimizer(Settings):
    """AdamW (Loshchilov & Hutter 2019), or another one: Adam, Adan (Xie et al. 2022), Lion (Chen et
    al. 2023), Muon (Jordan et al. 2024; AdamW for biases and norms), SGD with Nesterov momentum.

    `training.step.build_optimizer` makes it: a name here needs a case there.
    """

    name: Literal["adam", "adan", "lion", "muon", "adamw", "sgd"] = "adamw"
    momentum: float | None = Field(None, ge=0, lt=1, description="sgd: [.9]")
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    encoder_rate: float = Field(
        1.0, gt=0, description="the encoder's learning rate as a share of the learning rate"
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="each block of the encoder has this share of the learning rate of the one behind "
        "it, the last one of the decoder's (layer-wise decay, Bao et al. 2021)",
    )

    @model_validator(mode="after")
    def _momentum_is_used(self) -> Self:
        if self.momentum is not None and self.name != "sgd":
            raise ValueError(f"{self.name!r} does not use momentum; sgd does")
        return self


Fraction = Annotated[float, Field(ge=0, le=1)]
Length = Annotated[int, Field(ge=1)]


class Schedule(Settings):
    """How long: by epochs or by iterations. Linear warm-up, then a cosine to `final` × the rate.

    >>> Schedule(iterations=25_000).epochs is None
    True
    """

    epochs: int | None = Field(None, ge=1, description="30, where iterations are not given either")
    iterations: int | None = Field(
        None, ge=1, description="steps of the optimizer; in place of epochs"
    )
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the iterations")
    final: float = Field(1e-3, ge=0, le=1, description="share of the learning rate at the end")
    halved: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the iterations, the first ones, that see images at half the size, "
        "which cost a quarter (progressive resizing, Tan & Le 2021)",
    )
    frozen: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the iterations, the first ones, in which the encoder stays as it was "
        "published: its weights and the statistics of its BatchNorm",
    )
    restarts: int = Field(
        0, ge=0, description="how often the cosine begins anew (Loshchilov & Hutter 2017)"
    )
    stretch: float = Field(1.0, ge=1, description="each further cosine is so many times as long")

    @model_validator(mode="before")
    @classmethod
    def _default_length(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("epochs") is given.get("iterations") is None:
            return {**given, "epochs": 30}
        return given

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if None not in (self.epochs, self.iterations):
            raise ValueError("a schedule is by epochs or by iterations, not by both")
        if self.stretch != 1 and not self.restarts:
            raise ValueError(f"stretch {self.stretch} is for restarts, of which there are none")
        return self


class Sampling(Settings):
    """Which examples a run shows, and how much of an image each one is."""

    crop: tuple[Length, Length] | None = Field(
        None,
        description="height, width of the random part of an image that an example is, cut after "
        "it was laid into `size`; none: all of it. Validation and prediction see the whole. With "
        "`tiles` it is `size` itself",
    )
    centred: Fraction = Field(
        0.0, description="probability that a crop is centred on a pixel of a mask; else anywhere"
    )
    positives: tuple[Fraction, Fraction] | None = Field(
        None,
        description="share of examples that show a mask, at the first and at the last iteration, "
        "linear between: by choosing images, or crops where there are crops; none: as they come",
    )

    @model_validator(mode="after")
    def _options_fit_together(self) -> Self:
        if self.centred and self.positives:
            raise ValueError("centred and positives both choose crops; set one of them")
        return self


class Transform(Settings):
    """A transform of albumentations by its name, with its parameters beside it; further ones of a group
    (`OneOf`, `SomeOf`, `Sequential`) are tables in `transforms`. `transforms.py` checks and builds it.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def table(self) -> dict[str, Any]:
        """Name and parameters, as they were given."""
        return {"name": self.name, **(self.model_extra or {})}

    def chosen(self) -> dict[str, Any]:
        return self.table


class Tiles(Settings):
    """Each image at a scale of its own size, seen part by part: `size` is then what the network sees of
    it, in training a part from anywhere, in prediction one beside the other.
    """

    scale: float = Field(
        1.0, gt=0, le=4, description="pixels of the network for each native pixel, along a side"
    )
    overlap: float = Field(
        0.5,
        ge=0,
        le=0.9,
        description="share of a tile's side that the next one shows again; logits are averaged with "
        "Gaussian weights",
    )


class Augmentation(Settings):
    """Random changes of a training image; geometry moves image and targets together."""

    rotate: float = Field(10.0, ge=0, description="degrees, either way")
    scale: float = Field(0.1, ge=0, lt=1, description="share, either way")
    shift: float = Field(0.05, ge=0, lt=1, description="share of the size, either way")
    intensity: float = Field(0.2, ge=0, description="brightness and contrast, share either way")
    noise: float = Field(0.0, ge=0, le=1, description="probability of blur or noise")
    flip: float = Field(0.5, ge=0, le=1, description="probability, where the competition allows it")
    mosaic: Fraction = Field(
        0.0, description="probability that an example is made of parts of four training images"
    )
    cutmix: Fraction = Field(
        0.0, description="probability that a rectangle is another training image's"
    )
    copy_paste: Fraction = Field(
        0.0, description="probability that objects of a class come from another training image"
    )
    preset: Literal["light", "strong", "medical"] | None = Field(
        None, description="further transforms after these, a list of them by one name"
    )
    also: tuple[Transform, ...] = Field(
        (), description="transforms of albumentations by name and parameters, after all others"
    )

    @property
    def mixes(self) -> bool:
        """Whether an example may show several images."""
        return max(self.mosaic, self.cutmix, self.copy_paste) > 0


class Best(Settings):
    """The mean of the rounds that score best on groups set aside, which are not trained on."""

    rounds: int = Field(3, ge=1, description="how many are averaged")
    aside: float = Field(
        0.1, gt=0, le=0.5, description="share of the training groups that rounds are chosen by"
    )


class Recipe(Settings):
    """Everything that decides what a training run does, apart from fold, seed and data."""

    name: str
    about: str = Field(description="one sentence that describes it")
    network: Network = UNetResNet18()
    pretrained: bool = Field(True, description="start the encoder from published weights")
    weights: str = Field(
        "hub",
        description="where those come from: hub, a file, or package:NAME, an installed Python package",
    )
    size: tuple[int, int] = Field((512, 512), description="height, width the network sees")
    fit: Literal["stretch", "pad"] = Field(
        "stretch", description="stretch: to the size; pad: keep the aspect, pad bottom and right"
    )
    loss: tuple[LossTerm, ...] = (LossTerm(name="bce"), LossTerm(name="dice"))
    loss_at: Literal["image", "logits"] = Field(
        "image",
        description="the size at which the loss is taken: the image's (coarser logits are "
        "enlarged), or the logits' (masks are averaged over their pixels), which costs less",
    )
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    tiles: Tiles | None = Field(
        None,
        description="{ scale, overlap }: images keep their own size, times `scale`, and the network "
        "sees `size` of them at a time; none: every image is laid into `size`",
    )
    sampling: Sampling = Sampling()
    augmentation: Augmentation = Augmentation()
    batch: int = Field(8, ge=1)
    accumulate: int = Field(
        1, ge=1, description="batches whose gradients are averaged into one iteration"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="auto: bf16 where the processor computes in it, else fp32; fp16: with a scaled "
        "loss, on a GPU (fp32 without one)",
    )
    ema: float = Field(0.99, ge=0, lt=1, description="decay per step of the moving average")
    swa: int | None = Field(
        None,
        ge=2,
        description="instead of ema: the plain mean of the weights after so many last "
        "rounds (epochs, or what lies between validations); norms are measured anew",
    )
    best: Best | None = Field(
        None,
        description="instead of the last moving average: the mean of those after the rounds "
        "that score best on groups set aside for that, neither trained on nor validated on",
    )
    validate_every: int | None = Field(
        None,
        ge=1,
        description="epochs between validations [1]; with schedule.iterations: iterations [a "
        "twentieth], and so often a line of history and a point to go on from",
    )

    @model_validator(mode="after")
    def _one_average(self) -> Self:
        if self.swa is not None and self.best is not None:
            raise ValueError("swa and best both say which rounds are averaged; set one of them")
        return self

    @model_validator(mode="after")
    def _crop_is_inside(self) -> Self:
        crop = self.sampling.crop
        if crop is not None and (crop[0] > self.size[0] or crop[1] > self.size[1]):
            raise ValueError(f"sampling.crop {crop} is larger than size {self.size}")
        return self

    @model_validator(mode="after")
    def _tiles_are_what_is_trained(self) -> Self:
        """What a network sees in tiles it has seen in training: as much, and at the same scale."""
        if self.tiles is None:
            if self.sampling.centred and self.sampling.crop is None:
                raise ValueError("sampling.centred is about crops; set sampling.crop or tiles too")
            return self
        if self.sampling.crop is not None:
            raise ValueError(
                f"sampling.crop {list(self.sampling.crop)} beside tiles: examples are tiles, as in "
                "prediction; leave sampling.crop out and set size to what the network shall see"
            )
        if self.augmentation.mixes:
            raise ValueError(
                "augmentation.mosaic, cutmix and copy_paste are made of whole images; leave them out "
                "beside tiles"
            )
        if self.fit != "stretch":
            raise ValueError(
                "fit is for images laid into size; tiles keep their aspect: leave it out"
            )
        return self

    @property
    def crop(self) -> tuple[int, int] | None:
        """Height, width of the part of an image that an example is; None: all of it."""
        return self.size if self.tiles is not None else self.sampling.crop

    @property
    def margin(self) -> int:
        """Pixels around a tile that can come into it as it is turned, shrunk and shifted."""
        if self.tiles is None:
            return 0
        given = self.augmentation
        turned = math.radians(min(given.rotate, 45.0))
        reach = (math.cos(turned) + math.sin(turned)) / (1 - given.scale)
        reach += 2 * given.shift * reach  # of the whole that is shifted
        return math.ceil(max(self.size) * (reach - 1) / 2)

    @property
    def augmented_size(self) -> tuple[int, int]:
        """Height, width of what is augmented, which may be cut after it."""
        return self.size[0] + 2 * self.margin, self.size[1] + 2 * self.margin

    @property
    def input_sizes(self) -> tuple[tuple[int, int], ...]:
        """Every height, width that the network sees: whole images, crops, and those halved at first.

        >>> Recipe(name="x", about="", size=(65, 33), schedule=Schedule(halved=0.5)).input_sizes
        ((65, 33), (33, 17))
        """
        trained = self.sampling.crop or self.size
        sizes = [self.size, trained]
        if self.schedule.halved:
            sizes.append((-(-trained[0] // 2), -(-trained[1] // 2)))
        return tuple(dict.fromkeys(sizes))
