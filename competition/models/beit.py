"""BEiT (Bao et al. 2021) with UPerNet (Xiao et al. 2018), from the extra `transformers`."""

from types import ModuleType
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from competition.errors import InputFault
from competition.models.base import Body, Maps, Normalisation
from competition.models.weights import HUB, fetching, hub_cache
from competition.recipes import Beit

if TYPE_CHECKING:
    from transformers import BeitForSemanticSegmentation

BEIT_PATCH = 16


class BeitBody(Body):
    """Images (B,3,h,w), h and w multiples of 16 → logits (B,K,h/4,w/4).

    transformers' own BeitForSemanticSegmentation counts layers from the embedding and so never
    uses the last one; here tap 24 is the output of layer 24.
    """

    divisor = BEIT_PATCH
    smallest_batch = 2  # the pyramid's coarsest level normalises one value per channel and image

    def __init__(self, network: Beit, classes: int, *, pretrained: bool) -> None:
        super().__init__()
        model = _beit(network, classes, pretrained=pretrained)
        self.encoder, self.neck, self.head = model.beit, model.fpn, model.decode_head
        self.auxiliary = model.auxiliary_head
        self.normalisation = _normalisation()
        self.taps = network.taps
        self.deepest_channels = network.width

    def forward(self, images: Tensor) -> Maps:
        layers = self.encoder(
            images, interpolate_pos_encoding=True, output_hidden_states=True
        ).hidden_states
        rows, columns = images.shape[-2] // BEIT_PATCH, images.shape[-1] // BEIT_PATCH
        taps = [_as_map(layers[tap], rows, columns) for tap in self.taps]
        features = self.neck(tuple(taps))
        use_auxiliary = self.training and self.auxiliary is not None
        auxiliary = (self.auxiliary(features),) if use_auxiliary else ()
        return Maps(self.head(features), auxiliary, taps[-1])

    def make_exportable(self) -> None:
        """ONNX's decomposition of fused attention makes strides that transformers cannot view."""
        self.encoder.set_attn_implementation("eager")

    def logit_layers(self) -> list[nn.Conv2d]:
        heads = [self.head] if self.auxiliary is None else [self.head, self.auxiliary]
        return [head.classifier for head in heads]


def _as_map(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """Tokens (B,1+rows·columns,C), the first of the whole image → (B,C,rows,columns)."""
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (rows, columns))


def _normalisation() -> Normalisation:
    """That of transformers for BEiT; it is the same for all published weights."""
    processor = _transformers().BeitImageProcessor()
    return Normalisation(tuple(processor.image_mean), tuple(processor.image_std))


def _transformers() -> ModuleType:
    try:
        import transformers
    except ImportError as error:
        raise InputFault(
            "this network needs transformers: python -m pip install 'podium[transformers]'"
        ) from error
    return transformers


def _beit(network: Beit, classes: int, *, pretrained: bool) -> "BeitForSemanticSegmentation":
    transformers = _transformers()
    chosen: dict[str, Any] = {
        "num_labels": classes,
        "out_indices": list(network.taps),
        "use_auxiliary_head": network.auxiliary > 0,
    }
    if not pretrained:
        configuration = transformers.BeitConfig(
            hidden_size=network.width,
            num_hidden_layers=network.layers,
            num_attention_heads=network.heads,
            intermediate_size=4 * network.width,
            use_relative_position_bias=True,
            layer_scale_init_value=1e-5,
            **chosen,
        )
        return transformers.BeitForSemanticSegmentation(configuration)
    with fetching(f"{HUB}/{network.weights}", hub_cache()):
        model = transformers.BeitForSemanticSegmentation.from_pretrained(network.weights, **chosen)
    found = model.config.hidden_size, model.config.num_hidden_layers
    if found != (network.width, network.layers):
        raise InputFault(
            f"{network.weights!r} has width and layers {found}, the recipe {network.width} and "
            f"{network.layers}"
        )
    return model
