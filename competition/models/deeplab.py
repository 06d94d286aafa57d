"""DeepLabv3 on a dilated ResNet (Chen et al. 2017), from torchvision's parts."""

from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from competition.models.fcn import FcnBody


class DeepLabV3Body(FcnBody):
    """The FCN's body with atrous spatial pyramid pooling as its head."""

    head_class = DeepLabHead
    smallest_batch = 2  # the pooled branch normalises one value per channel and image
