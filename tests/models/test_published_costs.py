"""The cost table of docs/models.md, counted again.

The published module held the encoder under two names, `base` and `layer0…4`. thop hangs a counter
on a layer once for each name and adds the layer up once for each name, so the encoder's operations
came out four times and its parameters twice.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from competition.models import build
from competition.models.complexity import parameter_count
from competition.recipes import read_experiment, recipe_named

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
ROWS = re.findall(
    r"^\| ([^|]+) \| `(light-unet[a-z-]*)` \| (.*) \|$",
    PAGE.split("## The published cost table")[1].split("\n## ")[0],
    re.MULTILINE,
)
PUBLISHED = [
    (7.924, 22.738, 0.9084),
    (7.660, 22.598, 0.9077),
    (7.660, 22.598, 0.9104),
    (7.661, 22.598, 0.9016),
    (7.519, 22.516, 0.9067),
    (7.474, 22.511, 0.9090),
    (7.485, 22.597, 0.9075),
    (7.474, 22.511, 0.9111),
]
"""GFLOPs, as they are called there; million parameters; Dice."""
REAL = [
    (2.4539, 11.562),
    (2.1893, 11.422),
    (2.1895, 11.422),
    (2.1901, 11.422),
    (2.0483, 11.340),
    (2.0032, 11.334),
    (2.0140, 11.420),
    (2.0032, 11.334),
]
"""GMACs and million parameters of the networks whose encoder is registered once."""


def thop_counts(network: nn.Module, image: Tensor) -> dict[nn.Module, int]:
    """MACs of each counted layer by the rules of thop (2022), in eval mode."""
    counts: dict[nn.Module, int] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts[layer] = counts.get(layer, 0) + rules[layer](inputs[0], output)

    found = ((layer, _thop_rule(layer)) for layer in network.modules())
    rules = {layer: rule for layer, rule in found if rule is not None}
    handles = [layer.register_forward_hook(note) for layer in rules]
    try:
        with torch.no_grad():
            network.eval()(image)
    finally:
        for handle in handles:
            handle.remove()
    return counts


def _thop_rule(layer: nn.Module) -> Callable[[Tensor, Tensor], int] | None:
    """(input, output) → operations; None for layers that thop counts as free."""
    match layer:
        case nn.Conv2d() | nn.ConvTranspose2d():
            taps = layer.kernel_size[0] * layer.kernel_size[1] * layer.in_channels // layer.groups
            return lambda before, after: after.numel() * taps
        case nn.Linear():
            return lambda before, after: after.numel() * layer.in_features
        case _BatchNorm() | nn.InstanceNorm2d():
            return lambda before, after: before.numel() * (4 if layer.affine else 2)
        case nn.GroupNorm() | nn.LayerNorm():
            return lambda before, after: before.numel() * 4
        case nn.AvgPool2d():
            return lambda before, after: after.numel()
        case nn.AdaptiveAvgPool2d():
            return lambda before, after: before.numel() + after.numel()
    return None


def counted(name):
    """(operations, parameters) with the encoder under two names, and as it really is."""
    with torch.device("meta"):
        network = build(recipe_named(name, {}).network, 1, pretrained=False)
    body = network.body  # the small pools of its stem were new there, and had one name
    parts = (*body.stem[:3], body.layer1, body.layer2, body.layer3, body.layer4)
    encoder = {layer for part in parts for layer in part.modules()}
    counts = thop_counts(network, torch.zeros(1, 3, 224, 224, device="meta"))
    operations, parameters = sum(counts.values()), parameter_count(network)
    again = sum(count for layer, count in counts.items() if layer in encoder)
    own = sum(p.numel() for layer in encoder for p in layer.parameters(recurse=False))
    return ((operations + 3 * again) / 1e9, (parameters + own) / 1e6), (
        operations / 1e9,
        parameters / 1e6,
    )


def figures(row):
    return [float(cell) for cell in row[2].split(" | ")]


def test_the_table_has_the_published_figures_of_every_design():
    assert [(f[0], f[1], f[-1]) for f in map(figures, ROWS)] == PUBLISHED
    dice = {
        trial.recipe: trial.published.validation
        for name in ("pooling", "skips")
        for trial in read_experiment(name).trials
    }
    assert {row[1]: figures(row)[-1] for row in ROWS[:-1]} == dice


@pytest.mark.parametrize(
    ("row", "real"), list(zip(ROWS, REAL, strict=True)), ids=[row[0] for row in ROWS]
)
def test_counting_the_encoder_twice_gives_the_published_figures_to_three_decimals(row, real):
    twice, once = counted(row[1])
    published, told = figures(row)[:2], figures(row)[2:6]
    assert [round(value, 3) for value in (*twice, *once)] == told
    assert told[:2] == published
    assert (round(once[0], 4), round(once[1], 3)) == real
