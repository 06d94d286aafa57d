import pytest
import torch

from competition.models import build
from competition.recipes import UNetResNet18

ALL = ("e3", "e2", "e1", "e0")


def parameters(network: UNetResNet18) -> int:
    return sum(weight.numel() for weight in build(network, 1, pretrained=False).parameters())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pools": "plain", "decoder": (256, 128, 64, 64), "skips": ALL}, 11_561_729),
        ({"pools": "MAM", "decoder": (180, 90, 45, 45), "skips": ALL}, 11_421_642),
        ({"skips": ALL}, 11_339_937),
        ({}, 11_334_433),
        ({"merge": "add"}, 11_420_321),
    ],
)
def test_the_designs_have_the_parameters_of_the_write_up(changes: dict, expected: int):
    assert parameters(UNetResNet18(**changes)) == expected


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("skips", [ALL, ("e3", "e2")])
def test_logits_come_at_the_stride_asked_for_and_nothing_idle_is_built(stride: int, skips: tuple):
    network = build(UNetResNet18(stride=stride, skips=skips), 3, pretrained=False)
    logits = network(torch.zeros(2, 3, 64, 96)).logits
    assert logits.shape == (2, 3, 64 // stride, 96 // stride)
    logits.sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
