import pytest

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
