"""Each encoder sees images with the mean and deviation that its published weights were trained with."""

import numpy as np
import pytest
import segmentation_models_pytorch
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights
from torchvision.transforms.v2 import functional

from competition.data.images import read_image
from competition.data.loader import channels_first
from competition.errors import InputFault
from competition.export import export_network
from competition.models import build
from competition.models.base import IMAGENET, Normalisation
from competition.recipes import Beit, DeepLabV3, Dpt, Fcn, Recipe, Smp, UNet, UNetResNet18
from competition.training.checkpoint import (
    Training,
    load_checkpoint,
    read_torch,
    save_checkpoint,
    write_torch,
)

HALF = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP = Normalisation(
    (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
)  # Radford et al. 2021
UNEQUAL = Normalisation((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def made(network):
    with torch.device("meta"):
        return build(network, 2, pretrained=False)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (UNetResNet18(), IMAGENET),
        (UNet(base=1), IMAGENET),
        (Fcn(), IMAGENET),
        (DeepLabV3(encoder="resnet50"), IMAGENET),
        (Smp(encoder="resnet18"), IMAGENET),
        (Smp(encoder="tu-resnet18", decoder="Unet"), IMAGENET),
        (Smp(encoder="tu-tf_efficientnet_b0", decoder="Unet"), IMAGENET),
        (Smp(encoder="tu-tf_efficientnet_lite0", decoder="Unet"), HALF),
        (Smp(encoder="tu-tf_efficientnet_b0.ap_in1k", decoder="Unet"), HALF),
        (Dpt(encoder="tu-beit_base_patch16_224"), HALF),
        (Dpt(encoder="tu-vit_tiny_patch16_224"), HALF),
        (Dpt(encoder="tu-vit_base_patch16_clip_224"), CLIP),
    ],
    ids=lambda value: getattr(value, "encoder", None),
)
def test_a_network_has_the_normalisation_of_its_encoder(network, expected):
    """ImageNet's was once used for all; 345 of timm's 1,371 encoders were trained with another."""
    assert made(network).body.normalisation == expected


def test_the_normalisation_of_beit_is_that_of_transformers():
    pytest.importorskip("transformers")
    assert made(Beit(width=48, layers=4, heads=3, taps=(1, 2, 3, 4))).body.normalisation == HALF


def test_images_are_normalised_as_torchvision_does_it_each_channel_by_its_own_mean():
    pixels = torch.randint(0, 256, (2, 3, 8, 6), dtype=torch.uint8)
    network = build(UNetResNet18(), 2, pretrained=False)
    transforms = ResNet18_Weights.IMAGENET1K_V1.transforms()
    expected = functional.normalize(pixels / 255, transforms.mean, transforms.std)
    assert torch.allclose(network.normalised(pixels), expected, atol=1e-6)
    assert torch.equal(network.normalised(pixels), network.normalised(pixels.float()))


def test_red_of_a_file_is_the_first_channel_that_a_network_sees(tmp_path):
    Image.new("RGB", (4, 3), (255, 0, 51)).save(tmp_path / "red.png")
    images = channels_first(read_image(tmp_path / "red.png"))[None]
    network = with_normalisation(UNEQUAL)
    expected = [(1 - 0.1) / 0.4, -0.2 / 0.5, (0.2 - 0.3) / 0.6]
    assert network.normalised(images)[0, :, 0, 0].tolist() == pytest.approx(expected, abs=1e-6)


def with_normalisation(values):
    network = build(UNet(base=4, channels=3), 2, pretrained=False).eval()
    for buffer, chosen in zip((network.mean, network.deviation), values, strict=True):
        buffer.copy_(torch.tensor(chosen).view(-1, 1, 1))
    return network


def test_further_channels_take_the_colours_in_turn():
    network = build(UNet(base=1, channels=5), 2, pretrained=False)
    assert network.mean.flatten().tolist() == pytest.approx([*IMAGENET.mean, *IMAGENET.mean[:2]])


TRAINING = Training(
    competition="x",
    recipe=Recipe(name="x", about="", network=UNet(base=4)),
    classes=("a", "b"),
    fold=0,
    seed=0,
    pseudo=None,
    images=1,
    iterations=1,
)


def test_a_checkpoint_keeps_what_its_network_was_trained_with(tmp_path):
    network = with_normalisation(UNEQUAL)
    save_checkpoint(tmp_path / "checkpoint.pt", network, TRAINING)
    found, _ = load_checkpoint(tmp_path / "checkpoint.pt", classes=("a", "b"))
    assert torch.equal(found.mean, network.mean)
    assert torch.equal(found.deviation, network.deviation)


def test_a_checkpoint_from_before_encoders_had_their_own_is_of_imagenets(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, with_normalisation(UNEQUAL), TRAINING)
    content = read_torch(path)
    for name in ("mean", "deviation"):
        del content["weights"][name]
    write_torch(path, content)
    network, _ = load_checkpoint(path, classes=("a", "b"))
    found = (network.mean.flatten().tolist(), network.deviation.flatten().tolist())
    assert found == (pytest.approx(IMAGENET.mean), pytest.approx(IMAGENET.deviation))


def test_an_exported_network_takes_pixels_and_normalises_them_itself(tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="the extra export")
    network = with_normalisation(UNEQUAL)
    export_network(network, tmp_path, size=(32, 32))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32)).astype(np.float32)
    session = runtime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {"images": pixels})[0]
    values = (pixels / 255 - np.reshape(UNEQUAL.mean, (3, 1, 1))) / np.reshape(
        UNEQUAL.deviation, (3, 1, 1)
    )
    with torch.no_grad():
        expected = network(torch.from_numpy(values.astype(np.float32))).logits
    assert np.abs(found - expected.numpy()).max() < 1e-3 * expected.abs().max()


def smp_without_hub(monkeypatch, **settings):
    """smp's own encoders keep their settings on the hub, beside the weights."""
    found = {"input_space": "RGB", "input_range": [0, 1], **settings}
    home = segmentation_models_pytorch.encoders
    monkeypatch.setattr(home, "get_preprocessing_params", lambda encoder: found)
    get_encoder = home.get_encoder
    for decoder in ("unet",):
        module = getattr(segmentation_models_pytorch.decoders, decoder).model
        monkeypatch.setattr(
            module, "get_encoder", lambda name, **o: get_encoder(name, **o | {"weights": None})
        )


@pytest.mark.parametrize("white", [1, 255])
def test_published_weights_of_smp_bring_their_own_normalisation(monkeypatch, white):
    settings = {"mean": [0.1 * white, 0.2 * white, 0.3 * white], "std": [0.5 * white] * 3}
    smp_without_hub(monkeypatch, input_range=[0, white], **settings)
    network = build(Smp(encoder="resnet18", decoder="Unet"), 2, pretrained=True)
    assert network.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert network.deviation.flatten().tolist() == pytest.approx([0.5] * 3)


def test_weights_for_another_order_of_colours_are_refused(monkeypatch):
    smp_without_hub(monkeypatch, input_space="BGR", mean=[0.5] * 3, std=[0.5] * 3)
    with pytest.raises(InputFault, match=r"network.encoder = 'resnet18'.*BGR.*expected RGB"):
        build(Smp(encoder="resnet18", decoder="Unet"), 2, pretrained=True)
