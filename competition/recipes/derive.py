"""Recipes from recipes: `derive` lays changes over one, `small` makes its twin for CPUs."""

from typing import Any

from competition.recipes.networks import Beit, DeepLabV3, Dpt, Fcn, Network, Smp, UNet, UNetResNet18
from competition.recipes.recipe import Recipe
from competition.recipes.weights_file import PACKAGE

SUFFIX = "-cpu"
_INSTEAD = {"epochs": "iterations", "iterations": "epochs"}
"""Settings of which a group has one: giving the one takes the other away."""
_TAGS = ("kind", "name")
"""Of a network, of an optimizer: another one begins with its own defaults."""
_SHORTER = 125
"""A twin has this many times fewer iterations: 200 for 25,000."""


def derive(base: Recipe, changes: dict[str, Any]) -> Recipe:
    """`base` with `changes` laid over it, table by table; checked anew.

    >>> recipe = Recipe(name="large", about="an example")
    >>> derive(recipe, {"name": "small", "schedule": {"epochs": 3}}).schedule.epochs
    3
    >>> derive(recipe, {"schedule": {"iterations": 900}}).schedule.epochs is None
    True
    """
    return Recipe.model_validate(_laid_over(base.model_dump(), changes))


def _laid_over(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = {key: value for key, value in base.items() if _INSTEAD.get(key) not in changes}
    for key, value in changes.items():
        inner = merged.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            alike = all(value.get(tag, inner.get(tag)) == inner.get(tag) for tag in _TAGS)
            value = _laid_over(inner, value) if alike else value
        merged[key] = value
    return merged


def small(recipe: Recipe) -> Recipe:
    """The twin `NAME-cpu`: smaller, for minutes of training on two cores, and from scratch unless its
    weights are an installed package.

    It differs in size alone: loss, augmentation and everything that is compared stay.
    """
    size = 192 if isinstance(recipe.network, UNetResNet18 | Smp) else 128
    iterations, crop = recipe.schedule.iterations, recipe.sampling.crop
    if crop is not None:  # the same share of the image
        crop = size * crop[0] // recipe.size[0], size * crop[1] // recipe.size[1]
    tiles = None
    if recipe.tiles is not None:
        tiles = {"scale": float(f"{recipe.tiles.scale * size / max(recipe.size):.3g}")}
    length: dict[str, float] = (
        {"epochs": 20} if iterations is None else {"iterations": iterations // _SHORTER}
    )
    pretrained = recipe.pretrained and recipe.weights.startswith(PACKAGE)
    changes: dict[str, Any] = {
        "name": recipe.name + SUFFIX,
        "about": f"{recipe.about}; small{'' if pretrained else ' and from scratch'}, for CPUs",
        "network": _small_network(recipe.network),
        "pretrained": pretrained,
        "size": [size, size],
        "batch": 8,
        "accumulate": 1,
        "optimizer": {"learning_rate": 1e-3} if recipe.optimizer.name == "adamw" else {},
        "schedule": length,
        "sampling": {"crop": crop},
        **({} if tiles is None else {"tiles": tiles}),
    }
    if not pretrained:  # nothing published to be careful with
        changes["network"]["lora"] = 0
        changes["schedule"] = {**length, "frozen": 0.0}
        changes["optimizer"] |= {"encoder_rate": 1.0, "layer_decay": 1.0}
    return derive(recipe, changes)


def _small_network(network: Network) -> dict[str, Any]:
    """The changes that make a network cheap: fewer channels or layers, the same options."""
    changes: dict[str, Any] = {"gradient_checkpointing": False}
    match network:
        case UNetResNet18() | Fcn():
            pass
        case DeepLabV3():
            changes["encoder"] = "resnet50"
        case UNet(base=base):
            changes["base"] = max(1, base // 4)
        case Smp(encoder=encoder):
            cheaper = {
                "resnet101": "resnet50",
                "resnet50": "resnet34",
                "mit_b1": "mit_b0",
                "mit_b3": "mit_b0",
                "tu-convnext_tiny": "resnet18",
                "tu-convnext_small.dinov3_lvd1689m": "tu-convnext_atto",
                "tu-convnextv2_tiny.fcmae_ft_in22k_in1k": "tu-convnextv2_atto",
                "tu-sam2_hiera_small.fb_r896_2pt1": "tu-sam2_hiera_tiny",
                "tu-swinv2_small_window16_256.ms_in1k": "tu-swinv2_tiny_window8_256",
                "tu-tf_efficientnetv2_s.in21k_ft_in1k": "tu-tf_efficientnetv2_b0",
                "tu-vit_base_patch16_dinov3.lvd1689m": "tu-vit_tiny_patch16_224",
                "tu-vit_large_patch16_dinov3.lvd1689m": "tu-vit_tiny_patch16_224",
            }
            changes["encoder"] = cheaper.get(encoder, encoder)
        case Dpt():
            changes |= {"encoder": "tu-vit_tiny_patch16_224", "input_size": (128, 128)}
        case Beit():
            changes |= {"width": 192, "layers": 8, "heads": 3, "taps": (2, 4, 6, 8)}
    return {"kind": network.kind, **changes}
