"""Networks: `build` makes the one that a recipe names; images (B,C,h,w) → `Output`.

Shape letters: B batch, C channels, K classes, h w the size the network sees, h' w' its logits'.

base.py         Output, and the shell that takes any size     adapters.py   norms, half sizes
head.py         layers over the logits; class presence        dry_run.py    can it be, at that size
unet_resnet18.py, unet.py, fcn.py, deeplab.py, smp.py, dpt.py, beit.py      the bodies
complexity.py   sizes, parameters, operations, memory         weights.py    published weights
pyramid.py      plain transformers under smp's decoders       fine_tuning.py  low ranks, depths
gradient_checkpointing.py  activations computed again instead of kept
"""

from competition.models.adapters import (
    adapt_first_convolution,
    build_down,
    build_up,
    logit_channels,
    swap_norm,
)
from competition.models.base import Body, Maps, Output, SegmentationNetwork, Surround
from competition.models.fine_tuning import add_low_rank
from competition.models.gradient_checkpointing import recompute_blocks
from competition.models.head import Presence, build_head, expect_background
from competition.recipes import (
    Beit,
    DeepLabV3,
    Dpt,
    Fcn,
    Network,
    NetworkSettings,
    Smp,
    UNet,
    UNetResNet18,
)


def build(
    network: Network, classes: int, *, pretrained: bool, weights: str = "hub"
) -> SegmentationNetwork:
    """The network of a recipe with one logit per class; `pretrained`: encoder from ImageNet.

    weights: where those come from, as in a recipe. Raises MachineFault where they can neither be found
    nor fetched, InputFault where a file is not of this encoder.
    """
    given = pretrained and weights != "hub"
    body = _body(network, logit_channels(network, classes), pretrained=pretrained and not given)
    if given:
        body.load_published(network, weights)
    return surrounded(body, network, classes)


def surrounded(body: Body, network: NetworkSettings, classes: int) -> SegmentationNetwork:
    """`body`, changed in place and with all around it that the settings ask for."""
    expect_background(body.logit_layers(), network.prior)
    adapt_first_convolution(body, network)
    swap_norm(body, network.norm, groups=network.groups)
    if network.lora:
        add_low_rank(body, network.lora)
    if network.gradient_checkpointing:
        recompute_blocks(body)
    surround = Surround(
        down=build_down(network),
        up=build_up(network, classes),
        head=build_head(network.head, classes),
        presence=Presence(body.deepest_channels, classes) if network.presence else None,
        shuffled=network.up == "shuffle",
        channels=network.channels,
        white=2**network.bits - 1,
    )
    return SegmentationNetwork(body, surround)


def _body(network: Network, channels: int, *, pretrained: bool) -> Body:
    """The bare network. Its module is imported here: smp alone costs 11 s at first import."""
    match network:
        case UNetResNet18():
            from competition.models.unet_resnet18 import UNetResNet18Body

            return UNetResNet18Body(network, channels, pretrained=pretrained)
        case UNet():
            from competition.models.unet import UNetBody

            return UNetBody(network, channels)
        case Fcn():
            from competition.models.fcn import FcnBody

            return FcnBody(network, channels, pretrained=pretrained)
        case DeepLabV3():
            from competition.models.deeplab import DeepLabV3Body

            return DeepLabV3Body(network, channels, pretrained=pretrained)
        case Smp():
            from competition.models.smp import SmpBody

            return SmpBody(network, channels, pretrained=pretrained)
        case Dpt():
            from competition.models.dpt import DptBody

            return DptBody(network, channels, pretrained=pretrained)
        case Beit():
            from competition.models.beit import BeitBody

            return BeitBody(network, channels, pretrained=pretrained)
