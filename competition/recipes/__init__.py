"""What a competitor chooses: `Recipe`, the named recipes, and how one is derived from another.

networks.py  the networks and their options      losses.py  the terms of a loss
recipe.py    Recipe                              derive.py  changes laid over a recipe; CPU twins
book.py      the built-in recipes               named.py   RECIPES, and a competition file's
ablations.py experiments: lists of recipes, with the published figures
"""

from competition.recipes.ablations import ABLATIONS, Published, Trial, for_cpus, varied
from competition.recipes.derive import derive, small
from competition.recipes.losses import LossTerm
from competition.recipes.named import RECIPES, VARIANT, recipe_named
from competition.recipes.networks import (
    TIMM,
    Beit,
    DeepLabV3,
    Dpt,
    Fcn,
    Network,
    NetworkSettings,
    Smp,
    UNet,
    UNetResNet18,
)
from competition.recipes.recipe import Augmentation, Optimizer, Recipe, Sampling, Schedule
from competition.recipes.settings import Settings

__all__ = [
    "ABLATIONS",
    "RECIPES",
    "TIMM",
    "VARIANT",
    "Augmentation",
    "Beit",
    "DeepLabV3",
    "Dpt",
    "Fcn",
    "LossTerm",
    "Network",
    "NetworkSettings",
    "Optimizer",
    "Published",
    "Recipe",
    "Sampling",
    "Schedule",
    "Settings",
    "Smp",
    "Trial",
    "UNet",
    "UNetResNet18",
    "derive",
    "for_cpus",
    "recipe_named",
    "small",
    "varied",
]
