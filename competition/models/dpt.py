"""DPT (Ranftl et al. 2021) on a vision transformer of timm, by way of smp."""

import segmentation_models_pytorch
import timm
from torch import Tensor, nn

from competition.errors import InputFault
from competition.models.base import Body, Maps, convolution
from competition.models.weights import (
    HUB,
    fetching,
    hub_cache,
    require_published,
    timm_normalisation,
)
from competition.recipes import TIMM, Dpt

DPT_PATCH = 16


class DptBody(Body):
    """Images of one size (B,3,h,w) → logits (B,K,h/2,w/2)."""

    divisor = DPT_PATCH

    def __init__(self, network: Dpt, classes: int, *, pretrained: bool) -> None:
        super().__init__()
        model = _dpt(network, classes, pretrained=pretrained)
        self.encoder, self.decoder = model.encoder, model.decoder
        for unused in ("norm", "fc_norm", "head", "head_drop"):
            if hasattr(self.encoder.model, unused):
                setattr(self.encoder.model, unused, nn.Identity())
        self.head = model.segmentation_head.head
        self.fixed_size = network.input_size
        self.normalisation = timm_normalisation(network.encoder)
        self.deepest_channels = int(model.encoder.out_channels[-1])

    def forward(self, images: Tensor) -> Maps:
        features, prefix = self.encoder(images)
        return Maps(self.head(self.decoder(features, prefix)), (), features[-1])

    def logit_layers(self) -> list[nn.Conv2d]:
        return [convolution(self.head[-1])]


def _dpt(network: Dpt, classes: int, *, pretrained: bool) -> segmentation_models_pytorch.DPT:
    name = network.encoder.removeprefix(TIMM)
    if not timm.is_model(name):
        raise InputFault(
            f"no encoder {network.encoder!r}; DPT takes {TIMM!r} and a name of timm's, "
            "such as 'tu-vit_base_patch16_224'"
        )
    if pretrained:
        require_published(network.encoder)
    paths = {"drop_path_rate": network.drop_path} if network.drop_path else {}
    with fetching(f"{HUB}/timm/{name}", hub_cache()):
        return segmentation_models_pytorch.DPT(
            network.encoder,
            encoder_weights="imagenet" if pretrained else None,
            classes=classes,
            img_size=network.input_size,
            **paths,
        )
