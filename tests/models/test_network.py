import urllib.error

import pytest
import torch
import torchvision

from competition.errors import InputFault, MachineFault
from competition.models import build
from competition.recipes import DeepLabV3, Fcn, Smp, UNetResNet18


def test_an_odd_size_is_padded_and_cut_back_exactly():
    network = build(UNetResNet18(), 3, pretrained=False).eval()
    image = torch.randn(1, 3, 64, 96)
    odd = image[..., :50, :70]
    by_hand = torch.nn.functional.pad(odd, (0, 26, 0, 14), mode="replicate")
    with torch.no_grad():
        expected = network(by_hand).logits[..., :50, :70]
        assert torch.equal(network(odd).logits, expected)
        assert network(image).logits.shape == (1, 3, 64, 96)


def test_auxiliary_logits_come_only_in_training():
    network = build(Fcn(auxiliary=0.4), 5, pretrained=False)
    images = torch.randn(2, 3, 64, 64)
    output = network.train()(images)
    assert [logits.shape for logits in output.auxiliary] == [(2, 5, 8, 8)]
    assert network.eval()(images).auxiliary == ()


@pytest.mark.parametrize("network", [DeepLabV3(encoder="resnet50"), Smp(encoder="resnet18")])
def test_a_training_batch_of_one_is_refused_where_the_network_cannot_take_it(network):
    model = build(network, 2, pretrained=False)
    with pytest.raises(InputFault, match="needs at least 2 images"):
        model.train()(torch.randn(1, 3, 64, 64))
    assert model.eval()(torch.randn(1, 3, 64, 64)).logits.shape[:2] == (1, 2)


def no_network(*_args, **_options):
    raise urllib.error.URLError("no network")


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Where torch keeps ResNet18's weights, on a machine without a network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", no_network)
    cached = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    cached.parent.mkdir(parents=True)
    return cached


@pytest.mark.parametrize("content", [None, b"", b"<html>not found</html>"])
def test_weights_that_cannot_be_had_name_the_address_the_cache_and_the_way_out(cache, content):
    if content is not None:
        cache.write_bytes(content)
    with pytest.raises(MachineFault) as fault:
        build(UNetResNet18(), 1, pretrained=True)
    for part in ("https://download.pytorch.org", str(cache), "--no-pretrained"):
        assert part in str(fault.value)


def test_weights_from_the_cache_are_the_encoders(cache):
    resnet = torchvision.models.resnet18()
    torch.save(resnet.state_dict(), cache)
    body = build(UNetResNet18(), 1, pretrained=True).body
    assert torch.equal(body.stem[0].weight, resnet.conv1.weight)
    assert torch.equal(body.layer4[1].conv2.weight, resnet.layer4[1].conv2.weight)


def test_weights_of_the_hub_that_cannot_be_had_name_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", no_network)
    with pytest.raises(MachineFault) as fault:
        build(Smp(decoder="FPN", encoder="resnet18"), 1, pretrained=True)
    for part in ("https://huggingface.co/smp-hub/resnet18", str(tmp_path), "--no-pretrained"):
        assert part in str(fault.value)


def test_an_unknown_encoder_is_refused():
    with pytest.raises(InputFault, match="resnet19"):
        build(Smp(encoder="resnet19"), 1, pretrained=False)
