"""docs/encoders.md says which decoders take which encoders, as building them shows."""

import re

import pytest
from pairs_page import DECODERS, FAMILIES, PAGE, all_pairs, cell, page, pair_of
from pydantic import ValidationError

from competition.recipes import Smp, further_recipes, recipe_named, recipe_names

TEXT = PAGE.read_text(encoding="utf-8")


def cells_of(encoder: str) -> dict[str, str]:
    (line,) = re.findall(rf"^\| `{re.escape(encoder)}` \|(.*)\|$", TEXT, re.MULTILINE)
    return dict(zip(DECODERS, (one.strip() for one in line.split("|")[1:]), strict=True))


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        ("resnet34", "PSPNet"),  # once refused: a dry run had no gradients to find unused stages by
        ("mit_b0", "Linknet"),
        ("tu-vit_tiny_patch16_224", "FPN"),
        ("tu-vit_tiny_patch16_224", "DeepLabV3Plus"),
    ],
)
def test_a_cell_of_the_page_is_what_building_the_pair_shows(encoder, decoder):
    found = pair_of(encoder, decoder)
    assert cells_of(encoder)[decoder] == cell(found)
    if found.stride is None:
        assert f" {found.said.partition(f'{decoder} ')[2]}\n" in TEXT
        assert "; set " in found.said and "\n" not in found.said


@pytest.mark.long
def test_the_page_is_the_one_that_is_made_now():
    assert page(all_pairs()) == TEXT


def test_every_decoder_and_the_encoder_of_every_recipe_stand_on_the_page():
    (head,) = re.findall(r"^\| encoder \| family \|(.*)\|$", TEXT, re.MULTILINE)
    assert [one.strip() for one in head.split("|")] == list(DECODERS)
    families = {stem_of(encoder) for encoder in FAMILIES}
    for name in (*recipe_names(), *further_recipes()):
        network = recipe_named(name, {}).network
        if isinstance(network, Smp):
            assert stem_of(network.encoder) in families, network.encoder
            assert cells_of(of_family(network.encoder))[network.decoder] != "–", name


def stem_of(encoder: str) -> str:
    """The architecture without its size: `tu-convnext` of `tu-convnext_small.dinov3_lvd1689m`."""
    bare = encoder.partition(".")[0]
    if "vit_" in bare:
        return "vit" + ("-dinov3" if "dinov3" in bare else "-dinov2" if "dinov2" in bare else "")
    return re.match(r"(tu-)?(tf_)?[a-z]+", bare)[0]


def of_family(encoder: str) -> str:
    return next(one for one in FAMILIES if stem_of(one) == stem_of(encoder))


def test_a_decoder_that_there_is_not_is_one_message():
    with pytest.raises(ValidationError, match="'UPerNet'"):
        Smp(decoder="Unet3Plus")
