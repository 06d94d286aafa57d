"""The cost table of the ResNet18-UNet write-up: as published, as reproduced, as it really is.

Its module held the encoder under two names, `base` and `layer0…4`. thop hangs a counter on a layer
once for each name and adds the layer up once for each name, so the encoder's operations came out
four times and its parameters twice.
"""

from dataclasses import dataclass

import torch
from torch import nn

from competition.models import SegmentationNetwork, build
from competition.models.complexity import parameter_count, thop_counts
from competition.models.unet_resnet18 import UNetResNet18Body
from competition.recipes import RECIPES

GIGA, MEGA = 1e9, 1e6


@dataclass(frozen=True)
class Cost:
    """Giga operations and million parameters."""

    operations: float
    parameters: float


@dataclass(frozen=True)
class PublishedRow:
    """One row of the table; `published` operations are printed as GFLOPs there, but are GMACs."""

    what: str
    recipe: str
    dice: float
    published: Cost
    reproduced: Cost
    real: Cost


_ROWS = (
    ("before: one max pool, decoder 256", "light-unet-plain", 0.9084, Cost(7.924, 22.738)),
    ("pools MAM, decoder 180", "light-unet-mam", 0.9077, Cost(7.660, 22.598)),
    ("pools MAA, decoder 180", "light-unet-maa", 0.9104, Cost(7.660, 22.598)),
    ("pools AAM, decoder 180", "light-unet-aam", 0.9016, Cost(7.661, 22.598)),
    ("pools MAA, decoder 128", "light-unet-narrow", 0.9067, Cost(7.519, 22.516)),
    ("+ skips e0, e1 removed", "light-unet", 0.9090, Cost(7.474, 22.511)),
    ("+ concat → add instead", "light-unet-add", 0.9075, Cost(7.485, 22.597)),
    ("final: 15 epochs, AdamW", "light-unet", 0.9111, Cost(7.474, 22.511)),
)


def published_table() -> list[PublishedRow]:
    """The eight rows, counted now for one class at 224×224; needs no weights."""
    return [
        PublishedRow(what, name, dice, published, *_counted(name))
        for what, name, dice, published in _ROWS
    ]


def published_text() -> str:
    """The table for people."""
    head = "published         reproduced        really            published"
    units = "GFLOPs  M params  GMACs   M params  GMACs   M params  Dice"
    lines = [f"{'':36}{head}", f"{'ResNet18-UNet, 224×224':36}{units}"]
    for row in published_table():
        costs = "  ".join(
            f"{cost.operations:6.3f}  {cost.parameters:8.3f}"
            for cost in (row.published, row.reproduced, row.real)
        )
        lines.append(f"{row.what:36}{costs}  {row.dice:.4f}")
    return "\n".join(lines)


def _counted(name: str) -> tuple[Cost, Cost]:
    """(with the encoder under two names, as it really is)."""
    with torch.device("meta"):
        network = build(RECIPES[name].network, 1, pretrained=False)
    encoder = _encoder_layers(network)
    counts = thop_counts(network, torch.zeros(1, 3, 224, 224, device="meta"))
    operations = sum(counts.values())
    again = sum(count for layer, count in counts.items() if layer in encoder)
    parameters = parameter_count(network)
    encoder_parameters = sum(
        p.numel() for layer in encoder for p in layer.parameters(recurse=False)
    )
    twice = Cost((operations + 3 * again) / GIGA, (parameters + encoder_parameters) / MEGA)
    return twice, Cost(operations / GIGA, parameters / MEGA)


def _encoder_layers(network: SegmentationNetwork) -> set[nn.Module]:
    """What came from torchvision's ResNet18; the small pools were new, under one name."""
    body = network.body
    assert isinstance(body, UNetResNet18Body)
    parts = (*body.stem[:3], body.layer1, body.layer2, body.layer3, body.layer4)
    return {layer for part in parts for layer in part.modules()}
