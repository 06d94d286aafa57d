"""Plain transformers under smp's decoders, low ranks in any network, weights that nobody published."""

import copy

import pytest
import timm
import torch
from segmentation_models_pytorch import encoders

from competition.errors import InputFault
from competition.export import fused
from competition.models import build
from competition.models.fine_tuning import blocks_before
from competition.models.pyramid import LEVEL_CHANNELS, PyramidEncoder, is_plain, level_of
from competition.recipes import Beit, Dpt, Smp, UNet

VIT = "tu-vit_tiny_patch16_224"
NAME = VIT.removeprefix("tu-")


@pytest.fixture(scope="module")
def lora():
    torch.manual_seed(0)
    network = build(Smp(decoder="FPN", encoder=VIT, lora=2), 2, pretrained=False)
    for name, weight in network.named_parameters():
        if name.endswith(".up"):
            torch.nn.init.normal_(weight, std=0.1)
    return network.eval()


def test_a_pyramid_has_four_levels_of_one_width_at_any_size_that_patches_divide():
    with torch.device("meta"):
        encoder = PyramidEncoder(NAME, pretrained=False)
        for height, width in ((64, 96), (224, 224)):
            maps = encoder(torch.zeros(1, 3, height, width))
            assert (
                [one.shape[1] for one in maps]
                == [3, 0, *[LEVEL_CHANNELS] * 4]
                == encoder.out_channels
            )
            sizes = [tuple(one.shape[-2:]) for one in maps]
            assert sizes == [(height // s, width // s) for s in (1, 2, 4, 8, 16, 32)]


def test_each_level_sees_the_transformers_last_map_and_where_it_is():
    """A feature that is larger at one place is so at that place of every level."""
    torch.manual_seed(0)
    deepest = torch.zeros(1, 192, 8, 8)
    for place in range(4):
        level = level_of(place, 192)
        changed = deepest.clone()
        changed[0, :, 2, 5] += 3 * torch.randn(192)
        moved = (level(changed) - level(deepest)).abs().sum(1)[0]
        row, column = divmod(int(moved.argmax()), moved.shape[1])
        scale = 2 ** (2 - place)
        away = max(abs(row - 2 * scale), abs(column - 5 * scale))
        assert away <= 2 * max(1, scale)
        assert tuple(moved.shape) == (8 * scale, 8 * scale)


def test_smps_table_of_encoders_is_left_as_it_was():
    before = set(encoders.encoders)
    with torch.device("meta"):
        build(Smp(decoder="FPN", encoder=VIT), 2, pretrained=False)
    assert set(encoders.encoders) == before
    assert is_plain("vit_base_patch16_dinov3.lvd1689m") and not is_plain("convnext_atto")


def test_a_pyramids_transformer_takes_the_weights_of_a_file(tmp_path):
    torch.manual_seed(1)
    state = timm.create_model(NAME, pretrained=False).state_dict()
    torch.save(state, tmp_path / "w.pth")
    network = build(
        Smp(decoder="FPN", encoder=VIT), 2, pretrained=True, weights=str(tmp_path / "w.pth")
    )
    found = network.body.encoder.model.state_dict()
    assert len(found) > 100 and all(value.equal(state[key]) for key, value in found.items())
    assert network.body.normalisation.mean == (0.5, 0.5, 0.5)


def test_updates_of_low_rank_begin_as_nothing_and_are_learnt_alone():
    torch.manual_seed(0)
    plain = build(Smp(decoder="FPN", encoder=VIT), 2, pretrained=False).eval()
    torch.manual_seed(0)
    with_lora = build(Smp(decoder="FPN", encoder=VIT, lora=2), 2, pretrained=False).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(plain(images).logits, with_lora(images).logits)
    learnt = {n for n, w in with_lora.named_parameters() if w.requires_grad and ".model." in n}
    assert len(learnt) == 12 * 4 * 2
    assert sum(with_lora.get_parameter(n).numel() for n in learnt) == 12 * 2 * (192 * 16)


def test_an_exported_network_has_plain_layers_and_its_original_keeps_the_updates(lora):
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = lora(images).logits
        merged = fused(lora)
        assert torch.allclose(merged(images).logits, before, atol=1e-5)
        assert not any("parametrizations" in key for key in merged.state_dict())
        assert torch.equal(lora(images).logits, before)
        assert torch.equal(copy.deepcopy(lora)(images).logits, before)


def test_low_ranks_are_in_every_kind_that_has_linear_layers_and_refused_in_others():
    with torch.device("meta"):
        for network in (
            Dpt(encoder=VIT, input_size=(64, 64), lora=2),
            Smp(decoder="FPN", encoder="mit_b0", lora=2),
        ):
            names = [name for name, _ in build(network, 2, pretrained=False).named_parameters()]
            assert any(name.endswith("weight.0.down") for name in names), network
        for network in (UNet(lora=2), Smp(encoder="resnet18", lora=2)):
            with pytest.raises(InputFault, match=r"network.lora = 2: this encoder has no linear"):
                build(network, 2, pretrained=False)


def test_low_ranks_reach_the_beit_of_transformers():
    pytest.importorskip("transformers")
    beit = Beit(width=48, layers=4, heads=3, taps=(1, 2, 3, 4), lora=2)
    with torch.device("meta"):
        network = build(beit, 2, pretrained=False)
    learnt = [n for n, w in network.named_parameters() if w.requires_grad and ".encoder." in n]
    assert len(learnt) >= 4 * 6 * 2 and all(name.endswith((".up", ".down")) for name in learnt)


@pytest.mark.parametrize(
    ("encoder", "blocks", "last"),
    [
        ("mit_b0", {"patch_embed1.proj.weight": 0, "patch_embed4.proj.weight": 6}, 8),
        (VIT, {"model.pos_embed": 0, "model.blocks.0.norm1.weight": 1, "model.norm.bias": 12}, 12),
    ],
)
def test_depth_counts_the_blocks_that_an_image_meets(encoder, blocks, last):
    """smp's MiT registers its embeddings before its blocks; positions are of no layer."""
    with torch.device("meta"):
        network = build(Smp(decoder="FPN", encoder=encoder), 2, pretrained=False)
    depths = blocks_before(network, (64, 64))
    assert {name: depths[f"body.encoder.{name}"] for name in blocks} == blocks
    assert max(depths.values()) == last
    assert not any("levels" in name or "decoder" in name for name in depths)


def test_drop_path_reaches_the_deepest_block():
    with torch.device("meta"):
        for encoder in (VIT, "tu-convnext_atto"):
            network = build(Smp(decoder="FPN", encoder=encoder, drop_path=0.2), 2, pretrained=False)
            rates = [
                module.drop_prob for module in network.modules() if hasattr(module, "drop_prob")
            ]
            assert max(rates) == pytest.approx(0.2)
        dpt = build(Dpt(encoder=VIT, input_size=(64, 64), drop_path=0.2), 2, pretrained=False)
        assert max(m.drop_prob for m in dpt.modules() if hasattr(m, "drop_prob")) == pytest.approx(
            0.2
        )


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (Smp(decoder="FPN", encoder="tu-hieradet_small"), "no such published weights.*none: take"),
        (
            Smp(decoder="FPN", encoder="tu-convnext_tiny.dinov3"),
            "no such published weights.*'tu-convnext_tiny.*or --no-pretrained",
        ),
        (Dpt(encoder="tu-vit_tiny_patch16_224.dinov3"), "no such published weights.*augreg"),
    ],
    ids=lambda value: getattr(value, "encoder", ""),
)
def test_weights_that_nobody_published_are_told_before_anything_is_fetched(network, told):
    with pytest.raises(
        InputFault, match=f"^network.encoder = '{network.encoder}': timm has {told}"
    ):
        build(network, 2, pretrained=True)
