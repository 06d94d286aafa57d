"""One contract that every architecture passes, at a reduced input.

The costly ones are marked long; every recipe of the book is at least built, on the meta device.
"""

import copy
import importlib.util

import pytest
import torch

from competition.errors import InputFault
from competition.models import SegmentationNetwork, build
from competition.models.complexity import parameter_count
from competition.recipes import (
    RECIPES,
    Beit,
    DeepLabV3,
    Dpt,
    Fcn,
    LossTerm,
    Network,
    Smp,
    UNet,
    UNetResNet18,
)
from competition.training.losses import build_loss, total_loss

CLASSES = 3
TRANSFORMERS = importlib.util.find_spec("transformers") is not None
needs_transformers = pytest.mark.skipif(not TRANSFORMERS, reason="the extra transformers")

QUICK: dict[str, Network] = {
    "unet-resnet18": UNetResNet18(),
    "unet-resnet18-add": UNetResNet18(merge="add", pools="AAM", skips=("e3", "e2", "e1", "e0")),
    "unet": UNet(base=8),
    "resunet": UNet(base=8, block="residual", up_sampling="bilinear", activation="leaky-relu"),
    "resunet-pre": UNet(base=8, block="preactivation", norm="group", auxiliary=0.4, head="1x1"),
    "segformer": Smp(decoder="Segformer", encoder="mit_b0"),
    "segformer-shuffle": Smp(
        decoder="Segformer", encoder="mit_b0", down="unshuffle", up="shuffle", head="attention"
    ),
    "fpn-timm": Smp(decoder="FPN", encoder="tu-resnet18", presence=0.1, norm="instance"),
}
COSTLY: dict[str, Network] = {
    "fcn": Fcn(auxiliary=0.4),
    "fcn-down-up": Fcn(down="convolution", up="convolution", auxiliary=0.4),
    "deeplabv3": DeepLabV3(encoder="resnet50", auxiliary=0.4),
    "deeplabv3plus": Smp(encoder="resnet18", head="3x3"),
    "deeplabv3plus-gn": Smp(encoder="resnet18", norm="group", gradient_checkpointing=True),
    "unetplusplus": Smp(decoder="UnetPlusPlus", encoder="resnet18"),
    "upernet": Smp(decoder="UPerNet", encoder="resnet18"),
    "dpt": Dpt(encoder="tu-vit_tiny_patch16_224", input_size=(96, 96)),
    **{
        name.lower(): Smp(decoder=name, encoder="resnet18")
        for name in ("DeepLabV3", "Linknet", "MAnet", "PAN", "PSPNet", "Unet")
    },
}
BEIT = Beit(width=48, layers=4, heads=3, taps=(1, 2, 3, 4), auxiliary=0.4)
REFUSE_ONE = {"deeplabv3", "deeplabv3plus", "pan", "pspnet", "upernet", "beit"}
"""Those that normalise a single value per channel and image somewhere."""

architectures = pytest.mark.parametrize(
    ("name", "network"),
    [
        *(pytest.param(name, network, id=name) for name, network in QUICK.items()),
        *(
            pytest.param(name, network, id=name, marks=pytest.mark.long)
            for name, network in COSTLY.items()
        ),
        pytest.param("beit", BEIT, id="beit", marks=needs_transformers),
    ],
)


def images(count: int, height: int = 64, width: int = 64) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(count))


def squares(count: int, size: int = 64) -> torch.Tensor:
    """Targets (count,K,size,size): a square a class, all elsewhere; whole blocks of 8 pixels."""
    targets = torch.zeros(count, CLASSES, size, size, dtype=torch.uint8)
    for image in range(count):
        for k in range(CLASSES):
            top = 8 * (image + k)
            targets[image, k, top : top + 24, 8 * k : 8 * k + 32] = 1
    return targets


def loss_of(model: SegmentationNetwork, network: Network, count: int = 2, side: int = 64):
    loss = build_loss((LossTerm(name="bce"), LossTerm(name="dice")))
    targets = torch.nn.functional.interpolate(squares(count).float(), size=(side, side))
    output = model(images(count, side, side))
    return total_loss(
        loss,
        output,
        targets,
        auxiliary=getattr(network, "auxiliary", 0.0),
        presence=network.presence,
    )


@architectures
def test_two_sizes_train_and_every_parameter_gets_a_finite_gradient(name, network):
    model = build(network, CLASSES, pretrained=False).train()
    for side in (64, 96):
        model.zero_grad(set_to_none=True)
        loss_of(model, network, side=side).backward()
        without = [key for key, p in model.named_parameters() if p.grad is None]
        broken = [key for key, p in model.named_parameters() if not p.grad.isfinite().all()]
        assert not without and not broken
    assert parameter_count(model) == sum(p.numel() for p in set(model.parameters()))
    assert len(list(model.named_parameters(remove_duplicate=False))) == len(
        list(model.parameters())
    ), "a parameter is registered under two names"


@architectures
def test_a_batch_of_one_trains_or_is_refused_in_plain_words(name, network):
    model = build(network, CLASSES, pretrained=False).train()
    if name in REFUSE_ONE:
        with pytest.raises(InputFault, match="batch of 1"):
            loss_of(model, network, count=1)
    else:
        loss_of(model, network, count=1).backward()


@architectures
def test_any_size_is_predicted_and_a_checkpoint_comes_back_the_same(name, network):
    model = build(network, CLASSES, pretrained=False).eval()
    other = build(network, CLASSES, pretrained=False).eval()
    other.load_state_dict(copy.deepcopy(model.state_dict()), strict=True)
    with torch.no_grad():
        for height, width in ((63, 65), (33, 96)):
            output = model(images(1, height, width))
            assert output.logits.shape == (1, CLASSES, height, width)
            assert output.auxiliary == ()
            assert torch.equal(output.logits, other(images(1, height, width)).logits)


@architectures
def test_the_loss_falls_by_a_third_in_twenty_steps(name, network):
    torch.manual_seed(0)
    model = build(network, CLASSES, pretrained=False).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    losses: list[float] = []
    for _ in range(21):
        loss = loss_of(model, network)
        losses.append(loss.item())
        if losses[-1] < 0.7 * losses[0]:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"the loss went {losses}")


def test_every_recipe_of_the_book_builds(monkeypatch):
    monkeypatch.setattr(torch.nn.init, "trunc_normal_", lambda weight, *_, **__: weight)
    monkeypatch.setattr(
        "segmentation_models_pytorch.encoders.mix_transformer.trunc_normal_",
        lambda weight, *_, **__: weight,
    )
    built = set()
    for recipe in RECIPES.values():
        key = recipe.network.model_dump_json()
        if key in built or (isinstance(recipe.network, Beit) and not TRANSFORMERS):
            continue
        with torch.device("meta"):
            build(recipe.network, 29, pretrained=False)
        built.add(key)
    assert len(built) > 60
