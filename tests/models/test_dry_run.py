"""Encoders that cannot do what a recipe asks of them say so before anything is trained."""

import pytest
import torch

from competition import steps
from competition.entry import Member
from competition.errors import InputFault
from competition.models.dry_run import dry_run
from competition.recipes import Dpt, Recipe, Smp, UNet, derive


def recipe(network, size=(512, 512), **choices):
    return Recipe(name="mine", about="", network=network, size=size, **choices)


DINOV2, HIERA = "tu-vit_small_patch14_dinov2", "tu-hiera_tiny_224"


@pytest.mark.parametrize(
    ("network", "remedy"),
    [
        (Smp(encoder=DINOV2), 'network.decoder = "Unet"$'),
        (Dpt(encoder=DINOV2, input_size=(512, 512)), "network.encoder to another one, such as 'tu"),
        (Smp(encoder="tu-swinv2_tiny_window8_256"), 'network.decoder = "Unet"$'),
        (Smp(encoder="tu-densenet121", decoder="Unet", drop_path=0.1), "network.drop_path = 0$"),
        (Smp(encoder="tu-maxvit_tiny_tf_224", decoder="FPN"), r"size = \[224, 224\]$"),
        (Smp(encoder=HIERA), r'network.decoder = "Unet" and size = \[224, 224\]$'),
        (Smp(encoder="tu-densenet121"), 'network.decoder = "Unet"$'),
        (Smp(encoder="tu-nest_tiny", decoder="Unet"), "network.encoder to another one"),
        (Smp(encoder="mit_b0", decoder="UnetPlusPlus"), 'network.decoder = "Unet"$'),
        (
            Smp(encoder="tu-beit_base_patch16_224", decoder="Unet"),
            (
                r'network = \{ kind = "dpt", encoder = "tu-beit_base_patch16_224", input_size = '
                r"\[224, 224\] \} and size = \[224, 224\]$"
            ),
        ),
    ],
    ids=lambda value: f"{value.encoder} {value.kind}" if hasattr(value, "encoder") else "",
)
def test_an_encoder_that_cannot_is_one_sentence_with_what_would_do(network, remedy):
    """They once ended in tracebacks: wrong size, patches of 14, unknown keyword arguments …"""
    with pytest.raises(InputFault) as fault:
        dry_run(recipe(network), 2)
    expected = f"^recipe 'mine': network.encoder = '{network.encoder}' with .* of 512×512 .*; set "
    assert fault.match(expected + remedy) and "\n" not in str(fault.value)


@pytest.mark.parametrize(
    "network",
    [
        Smp(encoder="resnet15"),
        Smp(encoder="tu-resnet15"),
        Smp(encoder="convnext_tiny"),  # timm's, which goes by tu-convnext_tiny
        Dpt(encoder="resnet15"),
        Dpt(encoder="tu-resnet15"),
    ],
    ids=lambda network: f"{network.kind} {network.encoder}",
)
def test_an_encoder_that_there_is_not_is_named(network):
    with pytest.raises(InputFault, match=f"recipe 'mine': no encoder '{network.encoder}'"):
        dry_run(recipe(network), 2)


def test_the_sizes_of_crops_and_of_halved_images_are_tried_too():
    fits = Smp(encoder=HIERA, decoder="Unet")
    assert dry_run(recipe(fits, (224, 224)), 2).channels == 3
    for choices in ({"sampling": {"crop": (112, 112)}}, {"schedule": {"halved": 0.5}}):
        with pytest.raises(InputFault, match=r"of 224×224, 112×112 .*neither sampling.crop"):
            dry_run(recipe(fits, (224, 224), **choices), 2)


def test_an_encoder_that_reads_numbers_off_tensors_is_tried_where_there_are_numbers(monkeypatch):
    def halved(images: torch.Tensor) -> torch.Tensor:
        return images / (images.sum().item() + 2)

    build = dry_run.__globals__["build"]

    def wrapped(*arguments, **options):
        network = build(*arguments, **options)
        network.down.forward = halved
        return network

    monkeypatch.setitem(dry_run.__globals__, "build", wrapped)
    small = Smp(encoder="resnet18", decoder="Unet")
    assert next(dry_run(recipe(small, (64, 64)), 2).parameters()).device.type == "cpu"


def test_a_fault_of_our_own_networks_is_not_dressed_up_as_the_users():
    with pytest.raises(RuntimeError):
        dry_run(recipe(UNet(base=1, norm="group"), size=(0, 32)), 2)


def test_a_dry_run_computes_nothing_and_leaves_the_random_numbers_as_they_were():
    state = torch.get_rng_state()
    for network in (Smp(encoder="mit_b0", decoder="Segformer"), UNet(base=1)):
        found = dry_run(recipe(network, (64, 96)), 2)
        assert {parameter.device.type for parameter in found.parameters()} == {"meta"}
    assert torch.equal(torch.get_rng_state(), state)


def test_a_training_that_cannot_be_is_refused_before_it_leaves_anything(project, monkeypatch):
    project.say = lambda line: None
    steps.make_split(project)
    tiny = {"network": {"kind": "smp", "decoder": "Unet", "encoder": HIERA}}
    impossible = derive(project.recipe("tiny"), tiny)
    monkeypatch.setattr(project, "recipe", lambda name: impossible)
    with pytest.raises(InputFault, match=r"recipe 'tiny': network.encoder = .* of 64×64 "):
        steps.train_network(project, Member("tiny"), 0)
    assert not list(project.workspace.run("tiny", 0).rglob("*"))
