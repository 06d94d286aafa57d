import copy

import pytest
import torch

from competition.errors import InputFault
from competition.models import build
from competition.models.gradient_checkpointing import recompute_blocks, repeated_blocks
from competition.recipes import Fcn, Network, Smp, UNet, UNetResNet18

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

SUPPORTED: list[Network] = [
    UNetResNet18(decoder=(16, 16, 16, 16)),
    UNet(base=4),
    Smp(decoder="Segformer", encoder="mit_b0"),
    Smp(decoder="FPN", encoder="tu-convnext_atto"),
]


def trained_once(model: torch.nn.Module) -> tuple[dict, dict]:
    """Gradients and state after one forward and backward pass."""
    torch.manual_seed(0)
    model.train()(IMAGES).logits.square().mean().backward()
    return {name: p.grad for name, p in model.named_parameters()}, model.state_dict()


@pytest.mark.parametrize("network", SUPPORTED, ids=lambda network: network.kind)
def test_recomputing_changes_neither_gradients_nor_running_means_nor_names(network):
    """A second forward pass would count the batch into BatchNorm's running means twice."""
    plain = build(network, 2, pretrained=False)
    saving = copy.deepcopy(plain)
    recompute_blocks(saving.body)
    (gradients, state), (others, other_state) = trained_once(plain), trained_once(saving)
    assert gradients.keys() == others.keys() and state.keys() == other_state.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(others[name], gradient, rtol=1e-4, atol=1e-6), name
    for name, value in state.items():
        assert torch.allclose(other_state[name], value), name


def test_a_copy_recomputes_its_own_blocks_not_those_of_the_original():
    """Averaging weights copies the network; a copy bound to the original would never train."""
    model = build(UNet(base=4, gradient_checkpointing=True), 2, pretrained=False).train()
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(2)
    twin(IMAGES).logits.sum().backward()
    assert all(p.grad is None for p in model.parameters())
    assert all(p.grad is not None for p in twin.parameters())


def test_blocks_are_the_repeated_ones_and_not_nested():
    with torch.device("meta"):
        blocks = repeated_blocks(build(Fcn(), 1, pretrained=False).body)
    assert [type(block).__name__ for block in blocks] == ["Bottleneck"] * 16


def test_a_network_without_repeated_blocks_is_refused():
    network = Smp(decoder="FPN", encoder="vgg11", gradient_checkpointing=True)
    with torch.device("meta"), pytest.raises(InputFault, match="repeated blocks"):
        build(network, 1, pretrained=False)
