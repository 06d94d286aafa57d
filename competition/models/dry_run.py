"""Proof, before anything is trained, that a network takes the images that its recipe shows it."""

from collections.abc import Iterator
from textwrap import shorten
from typing import Any

import torch

from competition.errors import InputFault
from competition.models import SegmentationNetwork, build
from competition.models.gradient_checkpointing import repeated_blocks
from competition.recipes import TIMM, Dpt, Recipe, Smp, derive

REFUSALS = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""How an encoder says that it cannot be part of a network, or takes no image of a size."""


def dry_run(recipe: Recipe, classes: int) -> SegmentationNetwork:
    """The recipe's network on the meta device, after one image of every size that it will see.

    Nothing is computed and no weights are fetched. Among timm's encoders are some of one size only,
    of one scale of features, or that cannot be dilated; each says so in its own way, once it runs.
    InputFault says it now, and what would do instead.
    """
    network = recipe.network
    if not isinstance(network, Smp | Dpt):
        return _run(recipe, classes)
    try:
        return _run(recipe, classes)
    except InputFault as fault:
        raise InputFault(f"recipe {recipe.name!r}: {fault}") from fault
    except REFUSALS as refusal:
        said = _sentence(recipe, network, refusal)
        raise InputFault(said + _remedy(recipe, network, classes)) from refusal


def _run(recipe: Recipe, classes: int) -> SegmentationNetwork:
    """On the meta device; on the CPU where a network reads a number off a tensor, which meta lacks."""
    try:
        return _run_on("meta", recipe, classes)
    except (RuntimeError, NotImplementedError) as error:
        if "meta tensor" not in str(error):
            raise
        return _run_on("cpu", recipe, classes)


@torch.no_grad()
def _run_on(device: str, recipe: Recipe, classes: int) -> SegmentationNetwork:
    with torch.random.fork_rng(devices=[]), torch.device(device):
        network = build(recipe.network, classes, pretrained=False).to(device).eval()
        for size in recipe.input_sizes:
            network(torch.zeros(1, recipe.network.channels, *size))
    if recipe.optimizer.layer_decay < 1:
        _require_blocks(network)
    return network


def _require_blocks(network: SegmentationNetwork) -> None:
    if not any(repeated_blocks(part) for part in network.body.published_parts()):
        raise InputFault(
            "optimizer.layer_decay: this encoder is not built of repeated blocks whose rates could "
            "decay; set optimizer.encoder_rate instead"
        )


def _sentence(recipe: Recipe, network: Smp | Dpt, refusal: Exception) -> str:
    """What was asked of the encoder, and what it said."""
    decoder = network.decoder if isinstance(network, Smp) else "DPT"
    sizes = ", ".join(f"{height}×{width}" for height, width in recipe.input_sizes)
    said = shorten(str(refusal).rstrip("."), 120) or type(refusal).__name__
    return (
        f"recipe {recipe.name!r}: network.encoder = {network.encoder!r} with {decoder} does "
        f"not take images of {sizes} ({said}); set "
    )


def _remedy(recipe: Recipe, network: Smp | Dpt, classes: int) -> str:
    """The first change that is seen to help, as it is written in the recipe."""
    for text, changes in _changes(recipe, network):
        try:
            _run(derive(recipe, changes), classes)
        except REFUSALS:
            continue
        return text
    others = ("tu-vit_base_patch16_224", "tu-beit_base_patch16_224")
    first, second = others if isinstance(network, Dpt) else ("resnet50", "tu-convnext_tiny")
    return f"network.encoder to another one, such as {first!r} or {second!r}"


def _changes(recipe: Recipe, network: Smp | Dpt) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every path, another decoder, the encoder's own size, both, and DPT, which takes encoders of one
    scale.
    """
    if network.drop_path:
        yield "network.drop_path = 0", {"network": {"drop_path": 0.0}}
    side = _own_side(network.encoder)
    size = {"size": [side, side], "sampling": {"crop": None}, "schedule": {"halved": 0.0}}
    sized = f"size = [{side}, {side}]"
    sized += ", and neither sampling.crop nor schedule.halved" * (len(recipe.input_sizes) > 1)
    inputs = f"input_size = [{side}, {side}]"
    if isinstance(network, Smp):
        unet = {"network": {"decoder": "Unet"}}
        yield 'network.decoder = "Unet"', unet
        yield sized, size
        yield f'network.decoder = "Unet" and {sized}', size | unet
        encoder = network.encoder
        dpt = {"network": {"kind": "dpt", "encoder": encoder, "input_size": [side, side]}}
        text = f'network = {{ kind = "dpt", encoder = "{encoder}", {inputs} }}'
        yield f"{text} and {sized}", size | dpt
    else:
        yield f"network.{inputs} and {sized}", size | {"network": {"input_size": [side, side]}}


def _own_side(encoder: str) -> int:
    """Of the images that timm's weights were trained on; 256 for smp's own encoders, which take any."""
    import timm  # costs seconds, and most trainings never come here

    name = encoder.removeprefix(TIMM)
    known = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    return 256 if known is None else known.input_size[-1]
