"""FCN on a dilated ResNet (Long et al. 2015), from torchvision's parts."""

from collections.abc import Callable

from torch import Tensor, nn
from torchvision import models
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.fcn import FCNHead

from competition.models.base import Body, Maps, convolution
from competition.models.weights import published, torchvision_normalisation
from competition.recipes import DeepLabV3, Fcn

_DEEPEST_CHANNELS, _MIDDLE_CHANNELS = 2048, 1024
RESNET_WEIGHTS = {
    "resnet50": models.ResNet50_Weights.IMAGENET1K_V1,
    "resnet101": models.ResNet101_Weights.IMAGENET1K_V1,
}


class FcnBody(Body):
    """Images (B,3,h,w), h and w multiples of 8 → logits (B,K,h/8,w/8)."""

    divisor = 8
    deepest_channels = _DEEPEST_CHANNELS
    head_class: Callable[[int, int], nn.Sequential] = FCNHead

    def __init__(self, network: Fcn | DeepLabV3, classes: int, *, pretrained: bool) -> None:
        super().__init__()
        auxiliary = network.auxiliary > 0
        self.encoder = dilated_resnet(network.encoder, auxiliary=auxiliary, pretrained=pretrained)
        self.head = self.head_class(_DEEPEST_CHANNELS, classes)
        self.auxiliary = FCNHead(_MIDDLE_CHANNELS, classes) if auxiliary else None
        self.normalisation = torchvision_normalisation(RESNET_WEIGHTS[network.encoder])

    def forward(self, images: Tensor) -> Maps:
        features = self.encoder(images)
        auxiliary = ()
        if self.auxiliary is not None and self.training:
            auxiliary = (self.auxiliary(features["aux"]),)
        return Maps(self.head(features["out"]), auxiliary, features["out"])

    def logit_layers(self) -> list[nn.Conv2d]:
        heads = [self.head] if self.auxiliary is None else [self.head, self.auxiliary]
        return [convolution(head[-1]) for head in heads]


def dilated_resnet(encoder: str, *, auxiliary: bool, pretrained: bool) -> nn.Module:
    """ResNet whose last two stages dilate instead of striding: images → {"out", "aux"} at 1/8.

    "aux" (the third stage) is there where `auxiliary` asks for it.
    """
    dilated = [False, True, True]
    resnet = models.get_model(encoder, replace_stride_with_dilation=dilated)
    if pretrained:
        resnet.load_state_dict(published(RESNET_WEIGHTS[encoder]))
    layers = {"layer4": "out", **({"layer3": "aux"} if auxiliary else {})}
    return IntermediateLayerGetter(resnet, return_layers=layers)
