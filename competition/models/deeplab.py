"""DeepLabv3 on a dilated ResNet (Chen et al. 2017), from torchvision's parts."""

from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead

from competition.models.fcn import (
    DEEPEST_CHANNELS,
    MIDDLE_CHANNELS,
    WEIGHTS,
    auxiliary_logits,
    dilated_resnet,
)
from competition.models.layers import convolution
from competition.models.network import Body, Maps
from competition.models.weights import torchvision_normalisation
from competition.recipes import DeepLabV3


class DeepLabV3Body(Body):
    """Images (B,3,h,w), h and w multiples of 8 → logits (B,K,h/8,w/8)."""

    divisor = 8
    smallest_batch = 2  # the pooled branch normalises one value per channel and image
    deepest_channels = DEEPEST_CHANNELS

    def __init__(self, network: DeepLabV3, classes: int, *, pretrained: bool) -> None:
        super().__init__()
        auxiliary = network.auxiliary > 0
        self.encoder = dilated_resnet(network.encoder, auxiliary=auxiliary, pretrained=pretrained)
        self.head = DeepLabHead(DEEPEST_CHANNELS, classes)
        self.auxiliary = FCNHead(MIDDLE_CHANNELS, classes) if auxiliary else None
        self.normalisation = torchvision_normalisation(WEIGHTS[network.encoder])

    def forward(self, images: Tensor) -> Maps:
        features = self.encoder(images)
        auxiliary = auxiliary_logits(self.auxiliary, features, training=self.training)
        return Maps(self.head(features["out"]), auxiliary, features["out"])

    def logit_layers(self) -> list[nn.Conv2d]:
        heads = [self.head] if self.auxiliary is None else [self.head, self.auxiliary]
        return [convolution(head[-1]) for head in heads]
