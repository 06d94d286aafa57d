import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from competition.errors import InputFault
from competition.models import build
from competition.models.adapters import LearntDown, LearntUp, adapt_first_convolution, swap_norm
from competition.recipes import Beit, Dpt, Fcn, Smp, UNet, UNetResNet18

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
NORMS = nn.modules.batchnorm._BatchNorm


@pytest.mark.parametrize(
    ("norm", "kind"), [("group", nn.GroupNorm), ("instance", nn.InstanceNorm2d)]
)
def test_swapping_norms_keeps_every_convolution_and_leaves_no_batch_norm(norm, kind):
    body = build(Smp(encoder="resnet18"), 2, pretrained=False).body
    for layer in body.modules():
        if isinstance(layer, NORMS):
            nn.init.uniform_(layer.weight)
            nn.init.uniform_(layer.bias)
    before = copy.deepcopy(body)
    swapped = swap_norm(body, norm, groups=32)
    count = sum(isinstance(layer, NORMS) for layer in before.modules())
    assert count > 20
    assert sum(isinstance(layer, kind) for layer in swapped.modules()) == count
    assert not any(isinstance(layer, NORMS) for layer in swapped.modules())
    for old, new in zip(before.parameters(), swapped.parameters(), strict=True):
        assert torch.equal(old, new)


def test_sync_batch_norm_keeps_weights_and_running_means():
    body = build(UNet(base=4), 2, pretrained=False).body
    before = copy.deepcopy(body.state_dict())
    after = swap_norm(body, "sync", groups=8).state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_channels_that_the_groups_do_not_divide_take_fewer_groups():
    layer = swap_norm(nn.Sequential(nn.BatchNorm2d(12)), "group", groups=8)[0]
    assert layer.num_groups == 4


def test_a_network_without_batch_norm_trains_on_one_image():
    model = build(Smp(encoder="resnet18", norm="instance"), 2, pretrained=False).train()
    assert model(IMAGES[:1]).logits.isfinite().all()


@pytest.mark.parametrize("network", [UNetResNet18(), Smp(decoder="Segformer", encoder="mit_b0")])
@pytest.mark.parametrize("down", ["convolution", "unshuffle"])
def test_half_the_image_starts_as_the_network_on_the_mean_of_2x2_pixels(network, down):
    """From random first weights every class stayed empty for thousands of steps."""
    body = build(network, 2, pretrained=False).eval().body
    changed = network.model_copy(update={"down": down})
    adapted = copy.deepcopy(body)
    adapt_first_convolution(adapted, changed)
    first = LearntDown(3) if down == "convolution" else nn.PixelUnshuffle(2)
    with torch.no_grad():
        expected = body(functional.avg_pool2d(IMAGES, 2)).logits
        found = adapted(first(IMAGES)).logits
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_image_channels_keep_the_response_to_grey(channels):
    network = UNetResNet18()
    body = build(network, 2, pretrained=False).eval().body
    adapted = copy.deepcopy(body)
    adapt_first_convolution(adapted, UNetResNet18(channels=channels))
    grey = IMAGES[:, :1]
    with torch.no_grad():
        expected = body(grey.expand(-1, 3, -1, -1)).logits
        found = adapted(grey.expand(-1, channels, -1, -1)).logits
        if channels == 4:  # red's weights come twice
            assert found.shape == expected.shape
        else:
            assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("down", ["none", "convolution", "unshuffle"])
def test_images_of_any_channel_count_are_taken(channels, down):
    model = build(UNet(base=4, channels=channels, down=down), 2, pretrained=False).eval()
    assert model(torch.randn(1, channels, 50, 70)).logits.shape == (1, 2, 50, 70)
    with pytest.raises(InputFault, match=f"an image of 3 channels: this network takes {channels}"):
        model(torch.randn(1, 3, 50, 70))


@pytest.mark.parametrize(("channels", "down"), [(1, "none"), (5, "none"), (3, "convolution")])
def test_a_network_of_transformers_takes_them_too(channels, down):
    pytest.importorskip("transformers")
    small = {"width": 16, "layers": 4, "heads": 2, "taps": (1, 2, 3, 4)}
    model = build(Beit(channels=channels, down=down, **small), 2, pretrained=False).eval()
    assert model(torch.randn(1, channels, 64, 64)).logits.shape[:2] == (1, 2)


def test_the_learnt_up_convolution_starts_as_bilinear_enlargement():
    logits = torch.randn(1, 3, 9, 7)
    bilinear = functional.interpolate(logits, scale_factor=2, mode="bilinear")
    inner = (..., slice(1, -1), slice(1, -1))
    assert torch.allclose(LearntUp(3)(logits)[inner], bilinear[inner], atol=1e-6)


def test_up_and_down_change_the_native_size_each_alone_and_together():
    pairs = [
        ("none", "none"),
        ("unshuffle", "none"),
        ("none", "shuffle"),
        ("convolution", "convolution"),
    ]
    with torch.device("meta"):
        networks = [build(Fcn(down=d, up=u), 2, pretrained=False).eval() for d, u in pairs]
        sizes = [network(torch.zeros(1, 3, 64, 64)).logits.shape[-1] for network in networks]
    assert sizes == [8, 4, 16, 8]


def test_an_image_larger_than_a_fixed_size_network_is_refused_and_a_smaller_one_padded():
    network = Dpt(encoder="tu-vit_tiny_patch16_224", input_size=(64, 64))
    model = build(network, 2, pretrained=False).eval()
    assert model(IMAGES[..., :40, :64]).logits.shape[-2:] == (40, 64)
    with pytest.raises(ValueError, match="at most 64×64"):
        model(torch.randn(1, 3, 96, 64))
