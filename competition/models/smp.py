"""Decoders of segmentation-models-pytorch on its encoders, and timm's by the prefix `tu-`."""

import copy
import difflib
import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import segmentation_models_pytorch
import timm
import torch
from torch import Tensor, nn

from competition.errors import InputFault
from competition.models.base import IMAGENET, Body, Maps, Normalisation, convolution
from competition.models.weights import HUB, fetching, hub_cache, load_encoder, timm_normalisation
from competition.recipes import TIMM, Smp

PAN_SMALLEST = 128
"""PAN's attention halves the deepest features, at 1/16, three times more."""

POOLED_TO_ONE = {"DeepLabV3", "DeepLabV3Plus", "PAN", "PSPNet", "UPerNet"}
"""Decoders with a branch that normalises a single pooled value per channel and image."""


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
        self.smallest_batch = 2 if network.decoder in POOLED_TO_ONE else 1
        self.deepest_channels = model.encoder.out_channels[-1]

    def load_published(self, network: Smp, weights: str) -> None:
        """The encoder's own mean and deviation come with them."""
        load_encoder(self.encoder, weights, beyond=whole_network(network.encoder))
        self.normalisation = _normalisation(network.encoder, pretrained=True)

    def forward(self, images: Tensor) -> Maps:
        features = self.encoder(images)
        return Maps(self.head(self.decoder(features)), (), features[-1])

    def logit_layers(self) -> list[nn.Conv2d]:
        return [self.head]


def _create(network: Smp, classes: int, *, pretrained: bool) -> tuple[_SmpModel, Normalisation]:
    _check_encoder(network.encoder)
    decoder = getattr(segmentation_models_pytorch, network.decoder)
    options = {"encoder_weights": "imagenet" if pretrained else None, "classes": classes}
    if network.decoder_channels is not None:
        options["decoder_channels"] = network.decoder_channels
    if "upsampling" in inspect.signature(decoder).parameters:
        options["upsampling"] = 1
    owner = "timm" if network.encoder.startswith(TIMM) else "smp-hub"
    address = f"{HUB}/{owner}/{network.encoder.removeprefix(TIMM)}"
    device = torch.empty(0).device  # torch.get_default_device() of older ones misses `with device:`
    with fetching(address, hub_cache()), _readable(network.encoder):
        model = decoder(network.encoder, **options).to(device)
        return model, _normalisation(network.encoder, pretrained=pretrained)


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


def whole_network(encoder: str) -> list[str]:
    """Names of the weights of the network that an encoder of timm's is cut from, as smp names them."""
    if not encoder.startswith(TIMM):
        return []
    with torch.device("meta"):
        whole = timm.create_model(encoder.removeprefix(TIMM), pretrained=False)
    return [f"model.{key}" for key in whole.state_dict()]


def _check_encoder(encoder: str) -> None:
    known = segmentation_models_pytorch.encoders.get_encoder_names()
    if encoder in known or (encoder.startswith(TIMM) and timm.is_model(encoder.removeprefix(TIMM))):
        return
    near = difflib.get_close_matches(encoder, known)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise InputFault(
        f"no encoder {encoder!r}{hint} smp has {len(known)}, and timm's go by {TIMM!r} and a name "
        "of timm.list_models()"
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
    probe(torch.zeros(2, 3, 128, 128, device="meta")).sum().backward()
    for name, layer in probe.named_modules():
        weights = list(layer.parameters())
        if name and weights and all(weight.grad is None for weight in weights):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, nn.Identity())
