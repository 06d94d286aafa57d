"""Networks begin at background."""

import pytest
import torch

from competition.models import build
from competition.models.head import SHARE
from competition.recipes import recipe_named


@pytest.mark.parametrize("name", ["unet-resnet18", "fcn-resnet50-aux"])
def test_a_network_begins_with_few_pixels_inside(name):
    torch.manual_seed(0)
    network = build(recipe_named(name, {}).network, 5, pretrained=False)
    output = network(torch.randn(2, 3, 64, 64))
    for logits in (output.logits, *output.auxiliary):
        assert abs(logits.sigmoid().median().item() - SHARE) < 0.02


def test_a_layer_of_the_encoder_with_as_many_channels_is_left_alone():
    network = build(recipe_named("segformer-cpu", {}).network, 64, pretrained=False)
    assert network.body.logit_layers()[0].bias[0] < -3
    wide = [
        layer
        for layer in network.body.encoder.modules()
        if isinstance(layer, torch.nn.Conv2d) and layer.out_channels == 64
    ]
    assert wide and all(layer.bias.abs().max() < 1 for layer in wide)
