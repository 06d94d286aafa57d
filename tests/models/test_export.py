import pytest
import torch

import competition.export
from competition.errors import InputFault
from competition.export import export_network
from competition.models import build
from competition.models.head import Pointwise
from competition.recipes import Beit, DeepLabV3, Dpt, Fcn, Network, Smp, UNet, UNetResNet18

pytest.importorskip("onnxruntime", reason="the extra export")

LONG: list[Network] = [
    Fcn(up="convolution", head="1x1"),
    DeepLabV3(encoder="resnet50"),
    Smp(encoder="resnet18", norm="group", head="attention"),
    Smp(decoder="Segformer", encoder="mit_b0", down="convolution", head="3x3"),
    Smp(decoder="UnetPlusPlus", encoder="resnet18"),
    Dpt(encoder="tu-vit_tiny_patch16_224", input_size=(64, 64)),
    Beit(width=48, layers=4, heads=3, taps=(1, 2, 3, 4)),
    UNetResNet18(head="1x1"),
]


def shaken_head(classes: int) -> Pointwise:
    head = Pointwise(classes)
    with torch.no_grad():
        head.weight.add_(0.3 * torch.randn_like(head.weight))
        head.bias.add_(0.3)
    return head


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(UNet(base=4, up_sampling="bilinear", head="1x1"), id="unet"),
        *(pytest.param(n, id=n.kind, marks=pytest.mark.long) for n in LONG),
    ],
)
def test_the_exported_network_equals_torch(network, tmp_path):
    if network.kind == "beit":
        pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = build(network, 3, pretrained=False).eval()
    if network.head == "1x1":
        model.head = shaken_head(3)
    done = export_network(model, tmp_path, size=(64, 64), fitted=shaken_head(3))
    assert done.difference < 1e-3
    assert done.speed > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.pt2"]


def test_a_network_that_comes_out_different_is_not_written(tmp_path, monkeypatch):
    def spoiled(network, fitted):
        with torch.no_grad():
            network.body.head.weight.mul_(1.1)
        return network

    monkeypatch.setattr(competition.export, "fused", lambda n, f: spoiled(build_twin(n), f))
    model = build(UNet(base=4), 2, pretrained=False).eval()
    with pytest.raises(InputFault, match="nothing was written"):
        export_network(model, tmp_path, size=(32, 32))
    assert not list(tmp_path.iterdir())


def build_twin(model):
    twin = build(UNet(base=4), 2, pretrained=False).eval()
    twin.load_state_dict(model.state_dict())
    return twin
