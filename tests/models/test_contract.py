"""One contract that every architecture passes, at a reduced input.

The costly ones are marked long; every built-in recipe is at least built, on the meta device.
"""

import copy
import importlib.util
from typing import NamedTuple

import pytest
import torch

from competition.errors import InputFault
from competition.models import SegmentationNetwork, build
from competition.models.complexity import parameter_count
from competition.recipes import (
    Beit,
    DeepLabV3,
    Dpt,
    Fcn,
    LossTerm,
    Network,
    Recipe,
    Smp,
    UNet,
    UNetResNet18,
    further_recipes,
    recipe_named,
    recipe_names,
)
from competition.recipes.derive import SUFFIX
from competition.training.checkpoint import Training, load_checkpoint, save_checkpoint
from competition.training.losses import build_loss, total_loss

NAMES = ("first", "second", "third")
CLASSES = len(NAMES)
TRANSFORMERS = importlib.util.find_spec("transformers") is not None
needs_transformers = pytest.mark.skipif(not TRANSFORMERS, reason="the extra transformers")

QUICK: dict[str, Network] = {
    "unet-resnet18": UNetResNet18(),
    "unet-resnet18-add": UNetResNet18(merge="add", pools="AAM", skips=("e3", "e2", "e1", "e0")),
    "unet": UNet(base=8),
    "resunet": UNet(base=8, block="residual", up_sampling="bilinear", activation="leaky-relu"),
    "resunet-pre": UNet(base=8, block="preactivation", norm="group", auxiliary=0.4, head="1x1"),
    "resunet-two": UNet(base=4, block="residual", blocks=2, gradient_checkpointing=True),
    "segformer": Smp(decoder="Segformer", encoder="mit_b0"),
    "segformer-shuffle": Smp(
        decoder="Segformer", encoder="mit_b0", down="unshuffle", up="shuffle", head="attention"
    ),
    "light-unet": Smp(
        decoder="Unet",
        encoder="tu-tf_efficientnet_lite0",
        decoder_channels=(32, 24, 16, 16, 16),
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

FAMILIES = [
    *(pytest.param((name, network), id=name) for name, network in QUICK.items()),
    *(
        pytest.param((name, network), id=name, marks=pytest.mark.long)
        for name, network in COSTLY.items()
    ),
    pytest.param(("beit", BEIT), id="beit", marks=needs_transformers),
]


class Architecture(NamedTuple):
    """A network under the contract. `model` is built once; tests that change it take a copy."""

    name: str
    network: Network
    model: SegmentationNetwork

    def trained_on(self, count: int) -> SegmentationNetwork:
        """A fresh copy in training mode after the forward and backward pass of one batch."""
        model = copy.deepcopy(self.model).train()
        loss_of(model, self.network, count=count).backward()
        return model


@pytest.fixture(scope="module", params=FAMILIES)
def architecture(request) -> Architecture:
    name, network = request.param
    torch.manual_seed(0)
    return Architecture(name, network, build(network, CLASSES, pretrained=False))


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


def test_two_sizes_train_and_every_parameter_gets_a_finite_gradient(architecture):
    model = copy.deepcopy(architecture.model).train()
    for side in (64, 96):
        model.zero_grad(set_to_none=True)
        loss_of(model, architecture.network, side=side).backward()
        without = [key for key, p in model.named_parameters() if p.grad is None]
        broken = [key for key, p in model.named_parameters() if not p.grad.isfinite().all()]
        assert not without and not broken


def test_a_batch_of_one_trains_or_is_refused_in_plain_words(architecture):
    if architecture.name in REFUSE_ONE:
        with pytest.raises(InputFault, match="batch of 1"):
            architecture.trained_on(1)
    else:
        architecture.trained_on(1)


def test_the_loss_falls_by_a_third_in_twenty_steps(architecture):
    model = copy.deepcopy(architecture.model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    losses: list[float] = []
    for _ in range(21):
        loss = loss_of(model, architecture.network)
        losses.append(loss.item())
        if losses[-1] < 0.7 * losses[0]:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"the loss went {losses}")


def test_a_checkpoint_knows_its_recipe_and_classes_and_predicts_the_same_at_odd_sizes(
    architecture, tmp_path
):
    model = copy.deepcopy(architecture.model).eval()
    recipe = Recipe(name="contract", about="a test", network=architecture.network, size=(64, 64))
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, model, origin_of(recipe))
    back, training = load_checkpoint(path, classes=NAMES)
    with pytest.raises(InputFault, match="was trained for the classes"):
        load_checkpoint(path, classes=NAMES[::-1])
    path.unlink()  # up to 130 MB
    assert training.recipe == recipe and training.classes == NAMES
    with torch.no_grad():
        for height, width in ((63, 65), (33, 96)):
            output = model(images(1, height, width))
            assert output.logits.shape == (1, CLASSES, height, width)
            assert output.auxiliary == ()
            assert torch.equal(output.logits, back(images(1, height, width)).logits)


def origin_of(recipe: Recipe) -> Training:
    return Training(
        competition="contract",
        recipe=recipe,
        classes=NAMES,
        fold=0,
        seed=0,
        pseudo=None,
        images=2,
        iterations=1,
    )


def test_every_parameter_is_registered_and_counted_once(architecture):
    model = architecture.model
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    assert len(names) == len(list(model.parameters()))
    assert parameter_count(model) == sum(p.numel() for p in set(model.parameters()))


def test_every_built_in_recipe_builds(monkeypatch):
    monkeypatch.setattr(torch.nn.init, "trunc_normal_", lambda weight, *_, **__: weight)
    monkeypatch.setattr(
        "segmentation_models_pytorch.encoders.mix_transformer.trunc_normal_",
        lambda weight, *_, **__: weight,
    )
    built = set()
    full = [*recipe_names(), *further_recipes()]
    for recipe in (recipe_named(name + ending, {}) for name in full for ending in ("", SUFFIX)):
        key = recipe.network.model_dump_json()
        if key in built or (isinstance(recipe.network, Beit) and not TRANSFORMERS):
            continue
        with torch.device("meta"):
            build(recipe.network, 29, pretrained=False)
        built.add(key)
    assert len(built) > 60
