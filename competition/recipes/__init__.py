"""What a competitor chooses: `Recipe`, the named recipes, and how one is derived from another.

networks.py   the networks and their options     losses.py  the terms of a loss
recipe.py     Recipe                             derive.py  changes laid over a recipe; CPU twins
recipes.toml  the recipes to choose from         named.py   a recipe by its name
experiments/  comparisons of recipes             trials.py  reads them
weights_file.py  where published weights lie that are not the hub's
planned.py    the recipe "auto", read from a plan
transforms.py  transforms of albumentations by name, checked and built
"""

from competition.recipes.derive import SUFFIX, derive, small
from competition.recipes.losses import LossTerm
from competition.recipes.named import further_recipes, recipe_named, recipe_names, recipe_of
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
from competition.recipes.recipe import (
    Augmentation,
    Optimizer,
    Recipe,
    Sampling,
    Schedule,
    Tiles,
    Transform,
)
from competition.recipes.transforms import Allowed, Further, further_transforms
from competition.recipes.trials import (
    VARIANT,
    Comparison,
    Published,
    Trial,
    experiment_names,
    read_experiment,
)
from competition.settings import Settings
