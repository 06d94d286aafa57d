"""Which decoders take which encoders, seen by building each pair: `python tests/models/pairs_page.py`
writes docs/encoders.md, and test_pairs.py compares it. No weights are made, none are fetched.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, get_args

import torch

from competition.errors import InputFault
from competition.models.dry_run import dry_run
from competition.recipes import Dpt, Recipe, Smp

PAGE = Path(__file__).parents[2] / "docs" / "encoders.md"
DECODERS = (*get_args(Smp.model_fields["decoder"].annotation), "DPT")
SIDE = 256
"""Of the images."""

FAMILIES = {
    "resnet34": "ResNet",
    "tu-tf_efficientnet_lite0": "EfficientNet, EfficientNet-Lite",
    "tu-tf_efficientnetv2_b0": "EfficientNetV2",
    "tu-mobilenetv3_large_100": "MobileNetV3",
    "tu-convnext_atto": "ConvNeXt; DINOv3's `tu-convnext_small.dinov3_lvd1689m` and others",
    "tu-convnextv2_atto": "ConvNeXtV2",
    "mit_b0": "MiT (SegFormer)",
    "tu-swin_tiny_patch4_window7_224": "Swin",
    "tu-swinv2_tiny_window8_256": "SwinV2",
    "tu-sam2_hiera_tiny": "Hiera of SAM 2",
    "tu-vit_tiny_patch16_224": "ViT, plain",
    "tu-vit_small_patch16_dinov3": "ViT of DINOv3, plain",
    "tu-vit_small_patch14_dinov2": "ViT of DINOv2, plain, patches of 14",
    "tu-beit_base_patch16_224": "BEiT",
}
"""An encoder of each family, the smallest that is quick to build → what else is of it."""


class Pair(NamedTuple):
    """stride: pixels of the image for each logit, None where the pair is refused, as `said`."""

    encoder: str
    decoder: str
    stride: float | None
    said: str = ""


def pair_of(encoder: str, decoder: str) -> Pair:
    """Built, shown an image, and shown two in training mode, whose loss reaches every weight."""
    network = Smp(encoder=encoder, decoder="Unet" if decoder == "DPT" else decoder)
    if decoder == "DPT":
        network = Dpt(encoder=encoder, input_size=(SIDE, SIDE))
    recipe = Recipe(name="mine", about="", network=network, size=(SIDE, SIDE))
    try:
        model = dry_run(recipe, 3)
    except InputFault as fault:
        return Pair(encoder, decoder, None, str(fault).removeprefix("recipe 'mine': "))
    device = next(model.parameters()).device
    logits = model.train()(torch.zeros(2, 3, SIDE, SIDE, device=device)).logits
    logits.sum().backward()
    untaught = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert not untaught, f"{encoder} with {decoder}: no gradient reaches {untaught[:3]}"
    return Pair(encoder, decoder, round(SIDE / logits.shape[-1], 2))


def cell(pair: Pair) -> str:
    if pair.stride is None:
        return "–"
    return "1" if pair.stride == 1 else f"1/{pair.stride:g}"


def row(encoder: str, pairs: Iterable[Pair]) -> str:
    return f"| `{encoder}` | {FAMILIES[encoder]} | {' | '.join(cell(pair) for pair in pairs)} |"


BEFORE = f"""# Encoders and decoders

Which decoder of `kind = "smp"` takes which encoder, and DPT (`kind = "dpt"`). A cell says at what \
share of the image's size the logits come; a dash is a pair that is refused. The table is made by \
`python tests/models/pairs_page.py`, which builds every pair without weights, shows it images of \
{SIDE}² and sees that a loss reaches each of its weights; a test makes it again.

One encoder stands for its family: the larger ones and the other published weights of the same \
architecture behave as it does. timm's go by `tu-` and a name of its list; `tu-NAME.TAG` says which of \
several published weights.
"""

AFTER = """
A plain vision transformer has one map of features, at 1/16. Under a decoder of smp's it gets a simple \
feature pyramid (ViTDet, Li et al. 2022; `competition/models/pyramid.py`): from its last map, by \
transposed convolutions and a pool, four of 256 channels at 1/4, 1/8, 1/16, 1/32. Images may be of any \
size that two patches divide; others are padded. With patches of 14 the image is padded to a multiple \
of 28 unless its size is one, and its logits are then enlarged to the image's size.

## What is refused

Before anything is downloaded or trained, in one sentence with a change that was seen to help:
"""


def page(pairs: Iterable[Pair]) -> str:
    """docs/encoders.md."""
    of_encoder: dict[str, list[Pair]] = {}
    for pair in pairs:
        of_encoder.setdefault(pair.encoder, []).append(pair)
    decoders: dict[str, list[str]] = {}
    for pair in (pair for found in of_encoder.values() for pair in found if pair.said):
        alike = pair.said.replace(f" with {pair.decoder} ", " with {} ", 1)
        decoders.setdefault(alike, []).append(pair.decoder)
    lines = [
        BEFORE,
        f"| encoder | family | {' | '.join(DECODERS)} |",
        "|---|---|" + "---|" * len(DECODERS),
        *(row(encoder, found) for encoder, found in of_encoder.items()),
        AFTER,
        *(f"- {said.replace('{}', ', '.join(names), 1)}" for said, names in decoders.items()),
    ]
    return "\n".join(lines) + "\n"


def all_pairs() -> Iterable[Pair]:
    for encoder in FAMILIES:
        for decoder in DECODERS:
            yield pair_of(encoder, decoder)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    PAGE.write_text(page(all_pairs()), encoding="utf-8")
