"""A Unet with another decoder than smp's own."""

import pytest
import torch
from pydantic import ValidationError

from competition.models import build
from competition.recipes import Smp, recipe_named


def test_the_stages_have_their_channels():
    network = Smp(decoder="Unet", encoder="resnet18", decoder_channels=(40, 32, 24, 16, 8))
    built = build(network, 3, pretrained=False)
    widths = [block.conv2[0].out_channels for block in built.body.decoder.blocks]
    assert widths == [40, 32, 24, 16, 8]
    assert built(torch.zeros(1, 3, 64, 96)).logits.shape == (1, 3, 64, 96)


@pytest.mark.parametrize(
    "wrong",
    [
        {"decoder": "FPN", "decoder_channels": (8, 8, 8, 8, 8)},
        {"decoder": "Unet", "decoder_channels": (8, 8)},
        {"decoder": "Unet", "decoder_channels": (8, 8, 8, 8, 0)},
    ],
)
def test_what_is_not_a_unets_is_refused(wrong):
    with pytest.raises(ValidationError, match=r"decoder = 'Unet'|expected 5 numbers"):
        Smp(encoder="resnet18", **wrong)


def test_the_light_recipe_has_fewer_parameters_and_starts_from_the_same_weights():
    light, whole = (recipe_named(name, {}) for name in ("light-unet-lite0", "unet-lite0"))
    assert light.weights == whole.weights
    sizes = [
        sum(p.numel() for p in build(one.network, 1, pretrained=False).parameters())
        for one in (light, whole)
    ]
    assert sizes[0] < 0.8 * sizes[1]
