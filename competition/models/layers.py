"""What torch's types leave open of a layer that this package made itself."""

from torch import Tensor, nn


def convolution(layer: nn.Module) -> nn.Conv2d:
    """A layer that is a convolution; a sequence knows its layers as modules only."""
    assert isinstance(layer, nn.Conv2d)
    return layer


def bias_of(layer: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """The bias of a layer that was made with one."""
    assert layer.bias is not None
    return layer.bias
