"""FCN on a dilated ResNet (Long et al. 2015), from torchvision's parts."""

from torch import Tensor, nn
from torchvision import models
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.fcn import FCNHead

from competition.models.layers import convolution
from competition.models.network import Body, Maps
from competition.models.weights import published, torchvision_normalisation
from competition.recipes import Fcn

DEEPEST_CHANNELS, MIDDLE_CHANNELS = 2048, 1024
WEIGHTS = {
    "resnet50": models.ResNet50_Weights.IMAGENET1K_V1,
    "resnet101": models.ResNet101_Weights.IMAGENET1K_V1,
}


class FcnBody(Body):
    """Images (B,3,h,w), h and w multiples of 8 → logits (B,K,h/8,w/8)."""

    divisor = 8
    deepest_channels = DEEPEST_CHANNELS

    def __init__(self, network: Fcn, classes: int, *, pretrained: bool) -> None:
        super().__init__()
        auxiliary = network.auxiliary > 0
        self.encoder = dilated_resnet(network.encoder, auxiliary=auxiliary, pretrained=pretrained)
        self.head = FCNHead(DEEPEST_CHANNELS, classes)
        self.auxiliary = FCNHead(MIDDLE_CHANNELS, classes) if auxiliary else None
        self.normalisation = torchvision_normalisation(WEIGHTS[network.encoder])

    def forward(self, images: Tensor) -> Maps:
        features = self.encoder(images)
        auxiliary = auxiliary_logits(self.auxiliary, features, training=self.training)
        return Maps(self.head(features["out"]), auxiliary, features["out"])

    def logit_layers(self) -> list[nn.Conv2d]:
        heads = [self.head] if self.auxiliary is None else [self.head, self.auxiliary]
        return [convolution(head[-1]) for head in heads]


def auxiliary_logits(
    head: nn.Module | None, features: dict[str, Tensor], *, training: bool
) -> tuple[Tensor, ...]:
    """Logits of the auxiliary head on the middle features; none in eval mode."""
    if head is None or not training:
        return ()
    return (head(features["aux"]),)


def dilated_resnet(encoder: str, *, auxiliary: bool, pretrained: bool) -> nn.Module:
    """ResNet whose last two stages dilate instead of striding: images → {"out", "aux"} at 1/8.

    "aux" (the third stage) is there where `auxiliary` asks for it.
    """
    dilated = [False, True, True]
    resnet = models.get_model(encoder, replace_stride_with_dilation=dilated)
    if pretrained:
        resnet.load_state_dict(published(WEIGHTS[encoder]))
    layers = {"layer4": "out", **({"layer3": "aux"} if auxiliary else {})}
    return IntermediateLayerGetter(resnet, return_layers=layers)
