"""Every recipe trains, is left and gone on with, predicts and exports, on random weights and no network.

Its network is the one of its twin for CPUs, which is of the same family; what fine-tunes it is the
recipe's own. In the ordinary suite one recipe of each family takes a step by hand; with --long all of
them go through the trainer and ONNX.
"""

import dataclasses
import importlib.util

import pytest
import torch
from light_runs import SIDE, equal_states, straight_and_left
from training_runs import ONE

from competition.export import LogitsOnly, export_network, fused
from competition.models import build
from competition.recipes import (
    Recipe,
    derive,
    further_recipes,
    recipe_named,
    recipe_names,
)
from competition.recipes.derive import SUFFIX
from competition.steps import training_task
from competition.training.checkpoint import load_checkpoint

FAMILIES = (
    "unet-dinov3-convnext",
    "upernet-dinov3-vit",
    "fpn-dinov3-vit-large-lora",
    "unet-sam2-hiera",
    "unet-efficientnetv2",
    "unet-convnextv2",
    "unet-mit",
    "upernet-swinv2",
)
KEPT = {"kind", "drop_path", "lora", "presence", "norm", "groups", "head", "gradient_checkpointing"}


def small_of(name: str) -> Recipe:
    """The recipe with its twin's network, tiny images, four iterations; fine-tuned as it says."""
    full, twin = recipe_named(name, {}), recipe_named(name + SUFFIX, {})
    own = {key: value for key, value in full.network.model_dump().items() if key in KEPT}
    if own.get("lora"):
        own["lora"] = 2
    changes = {
        "network": {**twin.network.model_dump(), **own},
        "optimizer": full.optimizer.model_dump(),
        "schedule": {"iterations": 4, "frozen": 0.5 if full.schedule.frozen else 0.0},
        "validate_every": 2,
        "size": [SIDE, SIDE],
        "sampling": {"crop": None if full.sampling.crop is None else [SIDE // 2] * 2},
        "batch": 2,
        "accumulate": 1,
        "precision": "fp32",
        "pretrained": True,
    }
    return derive(full, changes)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_recipe_of_each_family_takes_steps_resumes_and_predicts(name):
    straight, resumed = straight_and_left(small_of(name), steps=2)
    assert equal_states(straight, resumed)
    images = torch.rand(2, 3, 25, SIDE) * 255
    with torch.no_grad():
        logits = straight.eval()(straight.normalised(images)).logits
    assert logits.shape == (2, 3, 25, SIDE) and logits.isfinite().all()


DEAR = {"upernet-swinv2", "upernet-dinov3-vit", "unet-sam2-hiera"}
"""Families whose program takes several seconds to trace."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.long) if n in DEAR else n for n in FAMILIES],
)
def test_a_recipe_of_each_family_exports(name):
    torch.manual_seed(0)
    network = build(small_of(name).network, 3, pretrained=False).eval()
    images = torch.rand(2, 3, 25, SIDE) * 255
    with torch.no_grad():
        logits = network(network.normalised(images)).logits
        model = LogitsOnly(fused(network)).eval()
        program = torch.export.export(model, (images,)).module()
        assert torch.allclose(program(images), logits, atol=1e-4 * logits.abs().max())


@pytest.mark.long
@pytest.mark.parametrize("name", [*recipe_names(), *further_recipes()])
def test_every_recipe_trains_resumes_predicts_and_exports(name, project, straight_and_resumed):
    recipe = small_of(name)
    if recipe.network.kind == "beit" and importlib.util.find_spec("transformers") is None:
        pytest.skip("the extra transformers")
    pytest.importorskip("onnxruntime", reason="the extra export")
    task = training_task(project, ONE, 0, recipe)
    torch.manual_seed(1)
    start = build(recipe.network, len(task.training.classes), pretrained=False).state_dict()
    straight, _ = straight_and_resumed(dataclasses.replace(task, start=start), 1)
    network, training = load_checkpoint(straight / "checkpoint.pt", classes=task.training.classes)
    assert training.recipe == recipe
    with torch.no_grad():
        logits = network(network.normalised(torch.rand(1, 3, SIDE, 50) * 255)).logits
    assert logits.isfinite().all()
    assert export_network(network, straight, size=(SIDE, SIDE)).difference < 1e-3
