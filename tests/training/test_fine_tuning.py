"""Rates by depth, encoders frozen at first, low ranks, optimisers: what moves, and that it resumes."""

import dataclasses

import pytest
import torch
from light_runs import CLASSES, LightRun, equal_states, straight_and_left
from pydantic import ValidationError
from training_runs import task_of

from competition.errors import InputFault
from competition.models import build
from competition.recipes import Optimizer, Recipe, derive, recipe_named
from competition.recipes.recipe import Schedule
from competition.training.fit import fit
from competition.training.step import TIMMS

SMP = {"kind": "smp", "decoder": "FPN", "encoder": "resnet18"}
VIT = {"kind": "smp", "decoder": "FPN", "encoder": "tu-vit_tiny_patch16_224", "lora": 2}


def recipe_of(network=SMP, **changes):
    base = Recipe(name="mine", about="", size=(64, 64), schedule=Schedule(epochs=1, warmup=0.0))
    return derive(base, {"network": network, **changes})


def rates_of(recipe):
    """Each weight's learning rate, by name."""
    run = LightRun(recipe, steps=2)
    names = {id(weight): name for name, weight in run.network.named_parameters()}
    return {
        names[id(weight)]: group["initial_lr"]
        for group in run.optimizer.param_groups
        for weight in group["params"]
    }


@pytest.mark.parametrize("name", ["adam", "adan", "lion", "muon", "adamw", "sgd"])
def test_every_optimiser_moves_all_weights_and_goes_on_as_if_it_had_not_stopped(name, tmp_path):
    recipe = recipe_of({"kind": "unet", "base": 2}, optimizer={"name": name})
    straight, resumed = straight_and_left(recipe, tmp_path / "left.pt")
    assert equal_states(straight, resumed)
    before = LightRun(recipe, steps=3).network.state_dict()
    moved = [not torch.equal(before[key], value) for key, value in straight.named_parameters()]
    assert all(moved)


def test_what_timm_makes_decays_weights_beside_the_gradient_and_no_norms():
    for name in TIMMS:
        run = LightRun(
            recipe_of({"kind": "unet", "base": 2}, optimizer={"name": name, "weight_decay": 0.5}),
            steps=2,
        )
        assert [group["weight_decay"] for group in run.optimizer.param_groups] == [0.5, 0.0]
        weight = run.network.body.get_parameter("head.weight")
        for one in run.network.parameters():
            one.grad = torch.zeros_like(one)
        before, bias = weight.clone(), run.network.body.get_parameter("head.bias").clone()
        run.optimizer.step()
        assert torch.allclose(weight, before * (1 - 0.5 * 1e-3), rtol=1e-6), name
        assert torch.equal(run.network.body.get_parameter("head.bias"), bias), name


def test_a_recipe_without_rates_has_the_two_groups_that_it_always_had():
    groups = LightRun(recipe_of(), steps=2).optimizer.param_groups
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(1e-3, 1e-4), (1e-3, 0.0)]


def test_the_encoder_has_its_share_of_the_rate_and_the_rest_the_whole():
    rates = rates_of(recipe_of(optimizer={"learning_rate": 0.01, "encoder_rate": 0.1}))
    assert len(rates) == len(list(build(recipe_of().network, 3, pretrained=False).parameters()))
    for name, rate in rates.items():
        assert rate == pytest.approx(0.001 if ".encoder." in name else 0.01), name


def test_rates_decay_from_block_to_block_towards_the_image():
    rates = rates_of(
        recipe_of(optimizer={"learning_rate": 1.0, "encoder_rate": 0.5, "layer_decay": 0.5})
    )
    expected = {  # ResNet18 has eight blocks
        "body.head.weight": 1.0,
        "body.encoder.layer4.1.conv1.weight": 0.5 * 0.5,
        "body.encoder.layer4.0.conv1.weight": 0.5 * 0.5**2,
        "body.encoder.layer1.0.bn2.bias": 0.5 * 0.5**8,
        "body.encoder.conv1.weight": 0.5 * 0.5**9,
    }
    assert {name: rates[name] for name in expected} == pytest.approx(expected)


def test_the_first_group_is_that_of_the_whole_rate_which_the_history_shows():
    run = LightRun(recipe_of(optimizer={"encoder_rate": 0.1}), steps=2)
    assert run.optimizer.param_groups[0]["lr"] == 1e-3


def test_a_frozen_encoder_keeps_weights_and_statistics_and_then_lets_go():
    recipe = recipe_of(schedule={"frozen": 0.5})
    run = LightRun(recipe, steps=4)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}

    def changed(part):
        now = run.network.state_dict()
        keys = [key for key in before if (".encoder." in key) == (part == "encoder")]
        return [key for key in keys if not torch.equal(before[key], now[key])]

    run.go_to(2)
    assert not changed("encoder") and len(changed("rest")) > 10
    run.go_to(4)
    learnt = dict(run.network.named_parameters())
    moved = changed("encoder")
    assert all(name in moved for name in learnt if ".encoder." in name)
    assert any(name.endswith("running_mean") for name in moved)


@pytest.mark.parametrize("left_after", [1, 3])
def test_a_run_that_is_left_while_the_encoder_is_frozen_or_later_goes_on_the_same(left_after):
    recipe = recipe_of(
        schedule={"frozen": 0.5}, optimizer={"encoder_rate": 0.5, "layer_decay": 0.9}
    )
    straight, resumed = straight_and_left(recipe, left_after=left_after, steps=4)
    assert equal_states(straight, resumed)


def test_a_run_with_a_frozen_start_resumes_by_the_trainer_too(project, straight_and_resumed):
    task = task_of(
        project,
        schedule={"epochs": 2, "frozen": 0.6},
        optimizer={"name": "lion", "encoder_rate": 0.3, "learning_rate": 1e-4},
    )
    made = build(task.training.recipe.network, len(task.training.classes), pretrained=False)
    straight_and_resumed(dataclasses.replace(task, start=made.state_dict()), 1)


def test_of_an_encoder_with_low_ranks_they_alone_are_learnt_and_they_resume(tmp_path):
    recipe = recipe_of(VIT)
    straight, resumed = straight_and_left(recipe, tmp_path / "left.pt", steps=2)
    assert equal_states(straight, resumed)
    before = LightRun(recipe, steps=2).network.state_dict()
    moved = {key for key, value in straight.state_dict().items() if not before[key].equal(value)}
    of_encoder = {key for key in moved if key.startswith("body.encoder.model.")}
    assert len(of_encoder) == 12 * 4 * 2
    assert all(key.endswith((".weight.0.up", ".weight.0.down")) for key in of_encoder)
    assert "body.head.weight" in moved and any("encoder.levels" in key for key in moved)


@pytest.mark.parametrize("changes", [{"network": VIT}, {"schedule": {"frozen": 0.5}}], ids=str)
def test_what_would_keep_random_weights_is_refused_from_scratch(project, tmp_path, changes):
    key = "network.lora" if "network" in changes else "schedule.frozen"
    with pytest.raises(InputFault, match=f"^recipe 'tiny': {key} would keep the encoder"):
        fit(task_of(project, **changes), tmp_path)
    assert not list(tmp_path.glob("**/last.pt"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"optimizer": {"layer_decay": 1.5}}, "optimizer.layer_decay: .*less than or equal to 1"),
        ({"optimizer": {"encoder_rate": 0.0}}, "optimizer.encoder_rate: .*greater than 0"),
        ({"optimizer": {"name": "lamb"}}, "optimizer.name: .*'adan'.*'muon'"),
        ({"optimizer": {"name": "lion", "momentum": 0.9}}, "'lion' does not use momentum; sgd"),
        ({"schedule": {"frozen": 2}}, "schedule.frozen: "),
        ({"network": {**SMP, "lora": -1}}, "network.smp.lora: "),
        ({"network": {**SMP, "drop_path": 0.1}}, "drop_path is of timm's encoders.*'resnet18'"),
    ],
    ids=str,
)
def test_a_key_that_cannot_be_is_one_message_as_the_recipe_is_read(changes, told):
    with pytest.raises(InputFault, match=told) as fault:
        recipe_named("mine", {"mine": {"base": "fcn-resnet50", **changes}})
    assert len(str(fault.value).splitlines()) == 1


def test_keys_that_are_not_set_leave_the_identity_of_a_recipe_as_it_was():
    chosen = recipe_named("fcn-resnet50", {}).chosen()
    assert chosen["optimizer"] == {"learning_rate": 3e-4} and "schedule" not in chosen
    assert chosen["network"] == {"kind": "fcn"}
    for changes in ({"encoder_rate": 0.5}, {"layer_decay": 0.5}):
        assert Optimizer(**changes).chosen() == changes
    with pytest.raises(ValidationError):
        Optimizer(layer_decay=0)


def test_a_network_whose_blocks_are_none_has_no_rates_by_depth():
    from competition.models.dry_run import dry_run

    recipe = recipe_of({"kind": "smp", "decoder": "FPN", "encoder": "vgg11"})
    with pytest.raises(InputFault, match="layer_decay: .*set optimizer.encoder_rate instead"):
        dry_run(derive(recipe, {"optimizer": {"layer_decay": 0.5}}), CLASSES)
