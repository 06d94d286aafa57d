"""Decoders of segmentation-models-pytorch on its encoders, and timm's by the prefix `tu-`."""

import copy
import difflib
import inspect
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import segmentation_models_pytorch
import timm
import torch
from torch import Tensor, nn

from competition.errors import InputFault
from competition.models.base import IMAGENET, Body, Maps, Normalisation, convolution
from competition.models.pyramid import PyramidEncoder, is_plain, timm_module
from competition.models.weights import (
    HUB,
    fetching,
    hub_cache,
    load_encoder,
    require_published,
    timm_normalisation,
)
from competition.recipes import TIMM, Smp

PAN_SMALLEST = 128
"""PAN's attention halves the deepest features, at 1/16, three times more."""

POOLED_TO_ONE = {"DeepLabV3", "DeepLabV3Plus", "PAN", "PSPNet", "UPerNet"}
"""Decoders with a branch that normalises a single pooled value per channel and image."""

SWIN = {"swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr"}
"""timm's modules of networks that take images of any size where they are told not to be strict."""


class _SmpEncoder(nn.Module):
    out_channels: Sequence[int]
    output_stride: int


class _SmpModel(nn.Module):
    """What all models of smp hold; its own base class declares none of it."""

    encoder: _SmpEncoder
    decoder: nn.Module
    segmentation_head: nn.Sequential


class SmpBody(Body):
    """Images (B,3,h,w), h and w multiples of the encoder's stride → logits (B,K,h/s,w/s).

    s is the decoder's own stride: smp's last, purely bilinear enlargement is left out.
    """

    def __init__(self, network: Smp, classes: int, *, pretrained: bool) -> None:
        super().__init__()
        model, self.normalisation = _create(network, classes, pretrained=pretrained)
        if network.decoder == "PSPNet":
            drop_unused(model)
        self.encoder, self.decoder = model.encoder, model.decoder
        self.head = convolution(model.segmentation_head[0])
        self.divisor = (
            PAN_SMALLEST if network.decoder == "PAN" else max(32, model.encoder.output_stride)
        )
        if isinstance(self.encoder, PyramidEncoder):
            self.divisor = self.encoder.output_stride
        self.smallest_batch = 2 if network.decoder in POOLED_TO_ONE else 1
        self.deepest_channels = model.encoder.out_channels[-1]

    def load_published(self, network: Smp, weights: str) -> None:
        """The encoder's own mean and deviation come with them."""
        (encoder,) = self.published_parts()
        before = "" if isinstance(self.encoder, PyramidEncoder) else "model."
        load_encoder(encoder, weights, beyond=whole_network(network.encoder, before=before))
        self.normalisation = _normalisation(network.encoder, pretrained=True)

    def published_parts(self) -> list[nn.Module]:
        plain = isinstance(self.encoder, PyramidEncoder)
        return [self.encoder.model if plain else self.encoder]

    def forward(self, images: Tensor) -> Maps:
        features = self.encoder(images)
        return Maps(self.head(self.decoder(features)), (), features[-1])

    def logit_layers(self) -> list[nn.Conv2d]:
        return [self.head]


def _create(network: Smp, classes: int, *, pretrained: bool) -> tuple[_SmpModel, Normalisation]:
    _check_encoder(network.encoder, pretrained=pretrained)
    decoder = getattr(segmentation_models_pytorch, network.decoder)
    options: dict[str, Any] = {"encoder_weights": "imagenet" if pretrained else None}
    options |= {"classes": classes, **_timms_options(network)}
    if network.decoder_channels is not None:
        options["decoder_channels"] = network.decoder_channels
    if "upsampling" in inspect.signature(decoder).parameters:
        options["upsampling"] = 1
    owner = "timm" if network.encoder.startswith(TIMM) else "smp-hub"
    address = f"{HUB}/{owner}/{network.encoder.removeprefix(TIMM)}"
    device = torch.empty(0).device  # torch.get_default_device() of older ones misses `with device:`
    with fetching(address, hub_cache()), _readable(network.encoder):
        with _named(network, pretrained=pretrained) as encoder:
            model = decoder(encoder, **options).to(device)
        return model, _normalisation(network.encoder, pretrained=pretrained)


def _timms_options(network: Smp) -> dict[str, Any]:
    """What timm is told of an encoder beyond what smp tells it; nothing where the defaults will do."""
    name = network.encoder.removeprefix(TIMM)
    if name == network.encoder or is_plain(name):
        return {}
    options: dict[str, Any] = {"strict_img_size": False} if timm_module(name) in SWIN else {}
    return options | ({"drop_path_rate": network.drop_path} if network.drop_path else {})


@contextmanager
def _named(network: Smp, *, pretrained: bool) -> Generator[str]:
    """The name by which smp knows an encoder; that of a plain transformer's pyramid for as long as it
    is built, in the table that smp has for encoders from elsewhere.
    """
    name = network.encoder.removeprefix(TIMM)
    if name == network.encoder or not is_plain(name):
        yield network.encoder
        return
    table: dict[str, Any] = segmentation_models_pytorch.encoders.encoders
    ours = f"pyramid-{name}"
    params = {"name": name, "pretrained": pretrained, "drop_path_rate": network.drop_path}
    table[ours] = {"encoder": PyramidEncoder, "pretrained_settings": {}, "params": params}
    try:
        yield ours
    finally:
        del table[ours]


def _normalisation(encoder: str, *, pretrained: bool) -> Normalisation:
    """smp keeps that of its own encoders beside their weights; from scratch ImageNet's will do."""
    if encoder.startswith(TIMM):
        return timm_normalisation(encoder)
    if not pretrained:
        return IMAGENET
    found = segmentation_models_pytorch.encoders.get_preprocessing_params(encoder)
    if found["input_space"] != "RGB":
        raise InputFault(
            f"network.encoder = {encoder!r} was trained on {found['input_space']} images; expected "
            "RGB: take another encoder, or --no-pretrained"
        )
    white = found["input_range"][1]
    mean, deviation = (tuple(value / white for value in found[key]) for key in ("mean", "std"))
    return Normalisation(mean, deviation)


def whole_network(encoder: str, *, before: str = "model.") -> list[str]:
    """Names of the weights of the network that an encoder of timm's is cut from; smp puts `model.`
    before them.
    """
    if not encoder.startswith(TIMM):
        return []
    with torch.device("meta"):
        whole = timm.create_model(encoder.removeprefix(TIMM), pretrained=False)
    return [before + key for key in whole.state_dict()]


def _check_encoder(encoder: str, *, pretrained: bool) -> None:
    known = segmentation_models_pytorch.encoders.get_encoder_names()
    if encoder in known or (encoder.startswith(TIMM) and timm.is_model(encoder.removeprefix(TIMM))):
        if pretrained:
            _check_weights(encoder)
        return
    near = difflib.get_close_matches(encoder, known)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise InputFault(
        f"no encoder {encoder!r}{hint} smp has {len(known)}, and timm's go by {TIMM!r} and a name "
        "of timm.list_models()"
    )


def _check_weights(encoder: str) -> None:
    """InputFault where nobody has published what the recipe begins with."""
    if encoder.startswith(TIMM):
        require_published(encoder)
        return
    table: dict[str, Any] = segmentation_models_pytorch.encoders.encoders
    if "imagenet" not in table[encoder]["pretrained_settings"]:
        raise InputFault(
            f"network.encoder = {encoder!r}: smp has no ImageNet weights of it; take another encoder, "
            "or --no-pretrained"
        )


def _readable(encoder: str) -> AbstractContextManager[object]:
    """smp's MiT reads numbers off a tensor as it is built, which the meta device has not."""
    return torch.device("cpu") if encoder.startswith("mit_") else nullcontext()


def drop_unused(model: nn.Module) -> None:
    """Remove, in place, the layers that no output depends on: stages behind the last one taken.

    Left in, they would be counted, decayed and saved, and distributed training would wait for
    their gradients.
    """
    probe = copy.deepcopy(model).to("meta").train()
    with torch.enable_grad():  # a dry run learns nothing
        probe(torch.zeros(2, 3, 128, 128, device="meta")).sum().backward()
    for name, layer in probe.named_modules():
        weights = list(layer.parameters())
        if name and weights and all(weight.grad is None for weight in weights):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, nn.Identity())
