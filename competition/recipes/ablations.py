"""Experiments as named lists of recipes, with the figures that their sources published.

The published figures come from data that is not public: print them beside ours, never as ours.
"""

from typing import NamedTuple

from competition.recipes.derive import SUFFIX
from competition.recipes.named import VARIANT


class Published(NamedTuple):
    """Scores of the sources; None where they give none."""

    validation: float | None = None
    public: float | None = None
    private: float | None = None
    iterations: int | None = None


class Trial(NamedTuple):
    """One line of an ablation's table."""

    recipe: str
    changed: str
    published: Published = Published()
    against: str | None = None
    """The recipe of the trial that it is compared with; None: the first one's."""
    continued: str | None = None
    """The trial whose checkpoint this one goes on from."""
    pseudo: bool = False
    """Trained with a round of pseudo labels too."""

    def renamed(self, ending: str) -> "Trial":
        """The same trial on the recipes whose names have this ending."""
        return self._replace(
            recipe=self.recipe + ending,
            against=self.against and self.against + ending,
            continued=self.continued and self.continued + ending,
        )


ABLATIONS: dict[str, tuple[Trial, ...]] = {
    "losses": (
        Trial("fcn-resnet50-bce", "BCE", Published(0.9444, 0.9428, 0.9438)),
        Trial("fcn-resnet50-dice", "Dice", Published(0.9497, 0.9488, 0.9497)),
        Trial("fcn-resnet50-bce-dice", ".5 BCE + .5 Dice", Published(0.9475, 0.9433, 0.9450)),
        Trial("fcn-resnet50-tversky", "Tversky", Published(0.9488, 0.9473, 0.9481)),
        Trial("fcn-resnet50-focal", "focal", Published(0.9472, 0.9432, 0.9444)),
        Trial("fcn-resnet50-jaccard", "Jaccard", Published(0.9494, 0.9478, 0.9486)),
        Trial("fcn-resnet50-focal-dice", ".5 focal + .5 Dice"),
        Trial("fcn-resnet50-focal-tversky", "focal Tversky"),
        Trial("fcn-resnet50-bce-jaccard", ".5 BCE + .5 Jaccard"),
        Trial("fcn-resnet50-boundary", "Dice + .01 boundary"),
        Trial("fcn-resnet50-metric", "the competition's score + BCE"),
    ),
    "aux": (
        Trial("fcn-resnet50-bce", "FCN, no auxiliary head", Published(0.9444, 0.9428, 0.9438)),
        Trial("fcn-resnet50-aux", "FCN, alpha .4", Published(0.9449, 0.9424, 0.9434)),
        Trial("deeplabv3", "DeepLabv3, none", Published(0.9472, 0.9446, 0.9457)),
        Trial("deeplabv3-aux-0.1", "DeepLabv3, alpha .1", against="deeplabv3"),
        Trial(
            "deeplabv3-aux",
            "DeepLabv3, alpha .4",
            Published(0.9473, 0.9431, 0.9451),
            against="deeplabv3",
        ),
        Trial(
            "deeplabv3-aux-0.7",
            "DeepLabv3, alpha .7",
            Published(0.9457, 0.9424, 0.9439),
            against="deeplabv3",
        ),
    ),
    "pooling": (
        Trial("light-unet-plain", "one max pool, decoder 256", Published(0.9084)),
        Trial("light-unet-mam", "MAM, decoder 180", Published(0.9077)),
        Trial("light-unet-maa", "MAA, decoder 180", Published(0.9104)),
        Trial("light-unet-aam", "AAM, decoder 180", Published(0.9016)),
        Trial("light-unet-narrow", "MAA, decoder 128", Published(0.9067)),
    ),
    "skips": (
        Trial("light-unet-narrow", "e3, e2, e1, e0, concat", Published(0.9067)),
        Trial("light-unet", "e3, e2, concat", Published(0.9090)),
        Trial("light-unet-add", "e3, e2, add", Published(0.9075)),
    ),
    "resampling": (
        Trial("segformer", "neither"),
        Trial("segformer-down", "learnt down", Published(0.0, iterations=5000)),
        Trial("segformer-up", "learnt up", Published(0.0, iterations=5000)),
        Trial("segformer-down-up", "both", Published(0.0, iterations=5000)),
        Trial("segformer-shuffle", "pixel unshuffle and shuffle"),
        Trial("deeplabv3plus-gn", "DeepLabv3+, neither", Published(0.9539, 0.9592, 0.9647, 25_000)),
        Trial(
            "deeplabv3plus-gn-up",
            "DeepLabv3+, up",
            Published(0.9444, 0.9580, 0.9626, 25_000),
            against="deeplabv3plus-gn",
        ),
        Trial(
            "deeplabv3plus-gn-up-6k",
            "DeepLabv3+, up, then 6k more",
            Published(0.9676, 0.9648, 0.9675, 31_000),
            against="deeplabv3plus-gn",
            continued="deeplabv3plus-gn-up",
        ),
    ),
    "norm": (
        Trial("deeplabv3plus-dice", "BatchNorm"),
        Trial("deeplabv3plus-sync", "SyncBatchNorm"),
        Trial("deeplabv3plus-gn", "GroupNorm", Published(0.9539, 0.9592, 0.9647, 25_000)),
        Trial("deeplabv3plus-in", "InstanceNorm"),
        Trial("unet", "U-Net, BatchNorm"),
        Trial("unet-gn", "U-Net, GroupNorm", against="unet"),
        Trial("unet-in", "U-Net, InstanceNorm", against="unet"),
    ),
    "head": (
        Trial("deeplabv3plus-gn", "no head", Published(0.9539, 0.9592, 0.9647, 25_000)),
        Trial("deeplabv3plus-gn-1x1", "1×1", Published(0.9445, 0.9618, 0.9647, 25_000)),
        Trial("deeplabv3plus-gn-3x3", "3×3"),
        Trial("deeplabv3plus-gn-attention", "attention over classes"),
        Trial("segformer", "SegFormer, no head"),
        Trial("segformer-1x1", "SegFormer, 1×1", against="segformer"),
    ),
    "resolution": (
        Trial("unet-resnet18-256", "256²"),
        Trial("unet-resnet18-384", "384²"),
        Trial("unet-resnet18", "512²"),
        Trial("unet-resnet18-1024", "1024²"),
    ),
    "pseudo": (
        Trial("beit-large", "labels alone", Published(None, 0.9533, 0.9540, 25_000)),
        Trial("beit-large", "and pseudo labels", Published(None, 0.9509, 0.9520), pseudo=True),
    ),
    "schedule": (
        Trial("deeplabv3plus-gn", "25k", Published(0.9539, 0.9592, 0.9647, 25_000)),
        Trial(
            "deeplabv3plus-gn-12k",
            "25k, then 12k more",
            Published(0.9647, 0.9642, 0.9674, 37_000),
            continued="deeplabv3plus-gn",
        ),
        Trial("deeplabv3plus-gn-37k", "37k in one"),
        Trial("deeplabv3plus-gn-50k", "50k in one"),
        Trial("deeplabv3plus-gn-1x1", "1×1 head, 25k", Published(0.9445, 0.9618, 0.9647, 25_000)),
        Trial(
            "deeplabv3plus-gn-1x1-12k",
            "1×1 head, then 12k more",
            Published(0.9666, 0.9653, 0.9677, 37_000),
            continued="deeplabv3plus-gn-1x1",
        ),
        Trial(
            "deeplabv3plus-gn-1x1-13k",
            "1×1 head, then 13k more",
            Published(0.9665, 0.9641, 0.9664, 50_000),
            continued="deeplabv3plus-gn-1x1-12k",
        ),
    ),
}


def for_cpus(trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
    """The same experiment on the recipes' CPU twins.

    >>> [trial.recipe for trial in for_cpus(ABLATIONS["skips"])]
    ['light-unet-narrow-cpu', 'light-unet-cpu', 'light-unet-add-cpu']
    """
    return tuple(trial.renamed(SUFFIX) for trial in trials)


def varied(trials: tuple[Trial, ...], variant: str) -> tuple[Trial, ...]:
    """The same experiment with the changes of `[variants.VARIANT]` laid over every recipe.

    >>> varied(ABLATIONS["skips"], "quick")[1].recipe
    'light-unet@quick'
    """
    return tuple(trial.renamed(VARIANT + variant) for trial in trials)
