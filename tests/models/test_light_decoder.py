"""A Unet with another decoder than smp's own."""

import pytest
import torch
from pydantic import ValidationError

from competition.models import build
from competition.recipes import Smp, recipe_named


def test_the_stages_have_their_channels_and_logits_come_at_half_the_size():
    network = Smp(
        decoder="Unet", encoder="resnet18", decoder_channels=(40, 32, 24, 16, 8), stride=2
    )
    built = build(network, 3, pretrained=False)
    widths = [block.conv2[0].out_channels for block in built.body.decoder.blocks]
    assert widths == [40, 32, 24, 16]
    assert built(torch.zeros(1, 3, 64, 96)).logits.shape == (1, 3, 32, 48)


def test_the_stages_that_are_left_are_those_of_the_whole_decoder():
    torch.manual_seed(0)
    whole = build(Smp(decoder="Unet", encoder="resnet18"), 3, pretrained=False).eval()
    half = build(Smp(decoder="Unet", encoder="resnet18", stride=2), 3, pretrained=False).eval()
    known = whole.state_dict()
    left = {key: known[key] for key in half.state_dict() if ".head." not in key}
    half.load_state_dict(left, strict=False)
    seen = []
    whole.body.decoder.blocks[3].register_forward_hook(lambda *taken: seen.append(taken[2]))
    half.body.decoder.blocks[3].register_forward_hook(lambda *taken: seen.append(taken[2]))
    images = torch.rand(1, 3, 64, 64)
    whole(images)
    half(images)
    torch.testing.assert_close(*seen)


@pytest.mark.parametrize(
    "wrong",
    [
        {"decoder": "FPN", "stride": 2},
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
    assert light.loss_at == "logits"
    sizes = [
        sum(p.numel() for p in build(one.network, 1, pretrained=False).parameters())
        for one in (light, whole)
    ]
    assert sizes[0] < 0.8 * sizes[1]
