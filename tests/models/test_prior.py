"""Networks begin at background."""

import pytest
import torch

from competition.models import build
from competition.recipes import derive, recipe_named


@pytest.mark.parametrize("name", ["unet-resnet18", "fcn-resnet50-aux"])
@pytest.mark.parametrize("prior", [0.02, 0.5])
def test_a_network_begins_with_the_share_of_pixels_inside_that_is_expected(name, prior):
    torch.manual_seed(0)
    recipe = derive(recipe_named(name, {}), {"network": {"prior": prior}})
    output = build(recipe.network, 5, pretrained=False)(torch.randn(2, 3, 64, 64))
    for logits in (output.logits, *output.auxiliary):
        assert abs(logits.sigmoid().median().item() - prior) < max(0.02, prior / 3)


def test_few_pixels_are_expected_inside_unless_a_recipe_says_otherwise():
    assert recipe_named("unet-resnet18", {}).network.prior == 0.02


def test_a_layer_of_the_encoder_with_as_many_channels_is_left_alone():
    network = build(recipe_named("segformer-cpu", {}).network, 64, pretrained=False)
    assert network.body.logit_layers()[0].bias[0] < -3
    wide = [
        layer
        for layer in network.body.encoder.modules()
        if isinstance(layer, torch.nn.Conv2d) and layer.out_channels == 64
    ]
    assert wide and all(layer.bias.abs().max() < 1 for layer in wide)
