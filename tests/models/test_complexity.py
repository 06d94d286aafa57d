import pytest
import torch
from torch import nn

from competition.models import build
from competition.models.complexity import kept_bytes, measure, measure_recipe, parameter_count
from competition.recipes import Fcn, Smp, UNet, UNetResNet18, recipe_named


def test_the_final_design_has_its_parameters_and_convolution_macs():
    cost = measure_recipe(recipe_named("light-unet", {}), 1)
    assert cost.parameters == 11_334_433
    assert cost.macs == 1_968_630_272
    assert cost.native == (224, 224)


def test_measuring_leaves_the_network_as_it_was():
    network = build(UNetResNet18(), 2, pretrained=False).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    measure(network, (64, 64))
    assert network.training
    assert not any(layer._forward_hooks for layer in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("network", "native"),
    [
        (Fcn(), (16, 24)),
        (Fcn(up="convolution"), (32, 48)),
        (Smp(encoder="resnet18"), (32, 48)),
        (Smp(encoder="resnet18", down="unshuffle"), (16, 24)),
        (UNet(base=8), (128, 192)),
    ],
)
def test_the_native_output_size_is_known_before_an_up_convolution_is_chosen(network, native):
    with torch.device("meta"):
        model = build(network, 29, pretrained=False)
    cost = measure(model, (128, 192))
    assert (cost.native, cost.stride) == (native, 128 / native[0])


def test_parameters_count_once_however_often_they_are_registered():
    layer = nn.Linear(3, 4)
    assert parameter_count(nn.ModuleList([layer, layer])) == 16


def test_gradient_checkpointing_keeps_fewer_bytes():
    def kept(**options: bool) -> int:
        with torch.device("meta"):
            network = build(Fcn(**options), 2, pretrained=False)
        return kept_bytes(network, torch.zeros(1, 3, 128, 128, device="meta"))

    assert kept(gradient_checkpointing=True) < kept() / 2


def test_the_resunet_of_two_blocks_has_the_parameters_of_the_surveys():
    """Two in each stage of the encoder, one in the centre and in each stage of the decoder, and
    shortcuts without bias. With one block it stays what networks were trained as.
    """
    assert measure_recipe(recipe_named("resunet-two", {}), 1).parameters == 38_701_185
    assert measure_recipe(recipe_named("resunet", {}), 1).parameters == 32_433_409
