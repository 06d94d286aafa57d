import pytest
import torch

from competition.export import fused
from competition.models import build
from competition.models.head import Pointwise, build_head
from competition.recipes import Smp, UNet, UNetResNet18

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def shaken(head: torch.nn.Module) -> torch.nn.Module:
    """Away from the identity that it starts as."""
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return head


@pytest.mark.parametrize("kind", ["none", "1x1", "3x3", "attention"])
@pytest.mark.parametrize("classes", [1, 5])
def test_a_head_starts_as_the_identity(kind, classes):
    logits = torch.randn(2, classes, 17, 23)
    assert torch.equal(build_head(kind, classes)(logits), logits)


@pytest.mark.parametrize("kind", ["1x1", "3x3", "attention"])
def test_a_head_lets_classes_speak_for_each_other(kind):
    torch.manual_seed(0)
    head = shaken(build_head(kind, 3))
    logits = torch.randn(1, 3, 16, 16)
    louder = logits.clone()
    louder[:, 0] += 1
    assert (head(louder) - head(logits))[:, 2].abs().max() > 1e-3


@pytest.mark.parametrize(
    "network",
    [
        UNetResNet18(head="1x1"),
        UNet(base=4, head="1x1", up="convolution"),
        UNet(base=4, head="1x1", up="shuffle"),
        Smp(encoder="resnet18", head="1x1"),
    ],
    ids=["last convolution", "up convolution", "pixel shuffle", "smp"],
)
def test_a_1x1_head_is_fused_with_equal_logits(network):
    torch.manual_seed(0)
    model = build(network, 4, pretrained=False).eval()
    shaken(model.head)
    fitted = shaken(Pointwise(4))
    with torch.no_grad():
        expected = model(IMAGES).logits
        assert torch.allclose(fused(model)(IMAGES).logits, expected, atol=2e-5)
        both = fused(model, fitted)(IMAGES).logits
        assert torch.allclose(both, fitted(expected), atol=5e-5)
        assert torch.equal(model(IMAGES).logits, expected), "the network itself must stay"
    assert isinstance(fused(model).head, torch.nn.Identity)


def test_a_head_that_cannot_be_fused_stays_and_the_fitted_one_follows_it():
    torch.manual_seed(0)
    model = build(UNet(base=4, head="3x3"), 2, pretrained=False).eval()
    shaken(model.head)
    fitted = shaken(Pointwise(2))
    with torch.no_grad():
        expected = fitted(model(IMAGES).logits)
        assert torch.allclose(fused(model, fitted)(IMAGES).logits, expected, atol=1e-5)


def test_a_class_that_the_presence_head_rules_out_is_empty_in_prediction_alone():
    torch.manual_seed(0)
    model = build(UNet(base=4, presence=0.1), 2, pretrained=False)
    with torch.no_grad():
        model.presence.linear.weight.zero_()
        model.presence.linear.bias.copy_(torch.tensor([-3.0, 50.0]))
        output, free = model.eval()(IMAGES), model.body(IMAGES).logits
        assert torch.equal(output.logits[:, 0], free[:, 0].clamp(max=-3.0))
        assert torch.equal(output.logits[:, 1], free[:, 1])
        assert torch.equal(output.presence, torch.tensor([[-3.0, 50.0]] * 2))
        trained = model.train()(IMAGES).logits
        assert (trained[:, 0] > -3.0).any(), "the loss must see the pixels' own logits"


def test_a_head_fitted_on_predictions_comes_after_the_presence_head_on_export():
    torch.manual_seed(0)
    model = build(UNet(base=4, presence=0.1, head="1x1"), 2, pretrained=False).eval()
    shaken(model.head)
    shaken(model.presence)
    fitted = shaken(Pointwise(2))
    with torch.no_grad():
        expected = fitted(model(IMAGES).logits)
        assert torch.allclose(fused(model, fitted)(IMAGES).logits, expected, atol=1e-5)
