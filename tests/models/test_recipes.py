from typing import Any

import pytest
from pydantic import Field

from competition.errors import InputFault
from competition.freshness import hash_of
from competition.recipes import (
    ABLATIONS,
    RECIPES,
    Augmentation,
    Beit,
    DeepLabV3,
    Dpt,
    Fcn,
    LossTerm,
    NetworkSettings,
    Optimizer,
    Recipe,
    Sampling,
    Schedule,
    Smp,
    UNet,
    UNetResNet18,
    derive,
    for_cpus,
    recipe_named,
)
from competition.recipes.derive import SUFFIX
from competition.recipes.recipe import Best
from competition.recipes.settings import DEFAULTS


def test_every_recipe_survives_a_checkpoint_as_json():
    for recipe in RECIPES.values():
        assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_names_are_keys_and_every_recipe_has_a_twin_for_cpus():
    assert all(recipe.name == name for name, recipe in RECIPES.items())
    full = [name for name in RECIPES if not name.endswith(SUFFIX)]
    assert all(name + SUFFIX in RECIPES for name in full)
    assert len(RECIPES) == 2 * len(full)


def test_a_twin_starts_from_scratch_and_keeps_what_is_compared():
    for name, twin in RECIPES.items():
        if name.endswith(SUFFIX):
            full = RECIPES[name.removesuffix(SUFFIX)]
            assert not twin.pretrained and twin.size <= full.size
            assert twin.loss == full.loss and twin.augmentation == full.augmentation
            assert (twin.network.kind, twin.network.norm) == (full.network.kind, full.network.norm)
            assert (twin.network.head, twin.network.up) == (full.network.head, full.network.up)


def test_no_two_recipes_are_the_same_but_for_their_words():
    seen: dict[str, str] = {}
    for name, recipe in RECIPES.items():
        content = recipe.model_dump_json(exclude={"name", "about"})
        assert content not in seen, f"{name} repeats {seen[content]}"
        seen[content] = name


@pytest.mark.parametrize("name", list(ABLATIONS))
def test_every_trial_of_an_ablation_names_a_recipe_in_both_sizes(name):
    for trials in (ABLATIONS[name], for_cpus(ABLATIONS[name])):
        assert all(trial.recipe in RECIPES for trial in trials)
        before: set[str] = set()
        for trial in trials:
            assert trial.continued is None or trial.continued in before
            before.add(trial.recipe)
        lines = [(trial.recipe, trial.pseudo) for trial in trials]
        assert len(set(lines)) == len(lines)


def test_a_table_of_the_competition_file_changes_a_recipe_and_its_mistakes_are_named():
    tables = {
        "mine": {"base": "fcn-resnet50-cpu", "network": {"auxiliary": 0.4}, "batch": 2},
        "ours": {"base": "mine", "loss": [{"name": "tversky"}]},
        "wrong": {"base": "mine", "network": {"auxilary": 0.4}},
    }
    ours = recipe_named("ours", tables)
    assert (ours.network.auxiliary, ours.batch, ours.network.kind) == (0.4, 2, "fcn")
    assert ours.loss == (LossTerm(name="tversky", alpha=0.3, beta=0.7),)
    with pytest.raises(InputFault, match="auxilary"):
        recipe_named("wrong", tables)


def test_another_kind_of_network_replaces_the_whole_table():
    changed = derive(RECIPES["fcn-resnet50"], {"name": "x", "network": {"kind": "unet"}})
    assert changed.network.kind == "unet" and changed.network.base == 64


def test_a_variant_is_laid_over_any_recipe_and_its_mistakes_are_named():
    tables = {"mine": {"base": "unet-cpu", "batch": 2}}
    variants = {"quick": {"schedule": {"epochs": 3}}, "wrong": {"schedule": {"epoch": 3}}}
    for name in ("mine@quick", "fcn-resnet50-cpu@quick"):
        recipe = recipe_named(name, tables, variants)
        assert (recipe.name, recipe.schedule.epochs) == (name, 3)
    assert recipe_named("mine@quick", tables, variants).batch == 2
    with pytest.raises(InputFault, match=r"\[variants.wrong\] schedule.epoch"):
        recipe_named("mine@wrong", tables, variants)
    with pytest.raises(InputFault, match=r"no \[variants.slow\].*quick, wrong"):
        recipe_named("mine@slow", tables, variants)


FOUR = ("deeplabv3plus-dice", "deeplabv3plus-gn", "deeplabv3plus-in", "deeplabv3plus-sync")


def test_a_step_of_a_full_recipe_shows_eight_images_or_four_where_they_are_large():
    """So trials of a table are compared at equal iterations and equal images."""
    for name, recipe in RECIPES.items():
        if not name.endswith(SUFFIX):
            few = name.startswith(FOUR) or name == "beit-large-dpt"
            assert recipe.batch * recipe.accumulate == (4 if few else 8), name


DIFFER = {"resolution": {"size"}, "schedule": {"schedule"}, "resampling": {"schedule"}}
"""What the trials of an ablation compare, beside networks and losses; resampling: continued ones."""


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", list(ABLATIONS))
def test_trials_differ_in_what_is_compared_and_in_nothing_else(name, full):
    """The norms once trained at 512² for 30 epochs, all but GroupNorm: 1024² and 156 epochs."""
    trials = ABLATIONS[name] if full else for_cpus(ABLATIONS[name])
    words = {"name", "about", "network", "loss"} | DIFFER.get(name, set())
    for trial in trials:
        recipe, base = RECIPES[trial.recipe], RECIPES[trial.against or trials[0].recipe]
        encoders = {getattr(r.network, "encoder", None) for r in (recipe, base)}
        if recipe.network.kind == base.network.kind and len(encoders) == 1:
            assert recipe.model_dump(exclude=words) == base.model_dump(exclude=words)


KINDS = (UNetResNet18, UNet, Fcn, DeepLabV3, Smp, Dpt, Beit)


class LaterTerm(LossTerm):
    """A term of a loss, from a day when it has one more option."""

    sharpness: float = 1.0


class LaterUNet(UNet):
    """A network with one more option and one more group of them."""

    dropout: float = 0.0
    best: Best = Best()


class LaterRecipe(Recipe):
    """A recipe with one more choice, and more of them within it."""

    network: LaterUNet | UNetResNet18 = Field(UNetResNet18(), discriminator="kind")
    loss: tuple[LaterTerm, ...] = (LaterTerm(name="bce"), LaterTerm(name="dice"))
    patience: int | None = None


def later(**changes: Any) -> LaterRecipe:
    """The recipe unet-cpu as a later version reads it, with changes to whole fields."""
    return LaterRecipe.model_validate(RECIPES["unet-cpu"].model_dump() | changes)


def test_a_field_that_recipes_get_later_changes_no_identity_until_it_is_set():
    """Every trained network was once stale after an update: all fields were hashed."""
    assert later().chosen() == RECIPES["unet-cpu"].chosen()


@pytest.mark.parametrize(
    "changes",
    [
        {"patience": 3},
        {"network": {**RECIPES["unet-cpu"].network.model_dump(), "dropout": 0.1}},
        {"network": {**RECIPES["unet-cpu"].network.model_dump(), "best": {"rounds": 4}}},
    ],
    ids=str,
)
def test_a_field_that_recipes_get_later_counts_once_it_is_set(changes):
    assert later(**changes).chosen() != later().chosen()


def test_recipes_that_differ_differ_in_what_was_chosen():
    identities = [hash_of(recipe.chosen()) for recipe in RECIPES.values()]
    assert len(set(identities)) == len(RECIPES)
    plain = [Recipe(name="x", about="", network=kind()) for kind in KINDS]
    assert len({hash_of(recipe.chosen()) for recipe in plain}) == len(KINDS)
    averaged = [Recipe(name="x", about="", best=best) for best in (None, Best())]
    assert averaged[0].chosen() != averaged[1].chosen()


NOTED = {
    Recipe: {
        "network": UNetResNet18(),
        "pretrained": True,
        "size": (512, 512),
        "fit": "stretch",
        "loss": (LossTerm(name="bce"), LossTerm(name="dice")),
        "loss_at": "image",
        "optimizer": Optimizer(),
        "schedule": Schedule(epochs=30),
        "sampling": Sampling(),
        "augmentation": Augmentation(),
        "batch": 8,
        "accumulate": 1,
        "precision": "auto",
        "ema": 0.99,
        "swa": None,
        "best": None,
        "validate_every": None,
    },
    Optimizer: {"learning_rate": 1e-3, "weight_decay": 1e-4, "clip": 1.0},
    Schedule: {"warmup": 0.05, "final": 1e-3, "halved": 0.0, "restarts": 0, "stretch": 1.0},
    Sampling: {"crop": None, "centred": 0.0, "positives": None},
    Augmentation: {"rotate": 10, "scale": 0.1, "shift": 0.05, "intensity": 0.2, "flip": 0.5},
    Best: {"rounds": 3, "aside": 0.1},
    LossTerm: {"weight": 1.0, "class_weights": "equal", "epsilon": 1e-6, "over": "image"},
    NetworkSettings: {"channels": 3, "norm": "batch", "groups": 8, "presence": 0.0},
    UNetResNet18: {"pools": "MAA", "decoder": (128, 64, 32, 32), "skips": ("e3", "e2")},
    UNet: {"block": "plain", "base": 64, "stages": 5, "up_sampling": "transposed"},
    Fcn: {"encoder": "resnet50", "auxiliary": 0.0},
    DeepLabV3: {"encoder": "resnet101", "auxiliary": 0.0},
    Smp: {"decoder": "DeepLabV3Plus", "encoder": "resnet50"},
    Dpt: {"encoder": "tu-beit_large_patch16_384", "input_size": (384, 384)},
    Beit: {"width": 1024, "layers": 24, "heads": 16, "taps": (8, 12, 16, 24)},
}
"""Defaults as they are of number 1; those that say "none" or "off" are left out."""


def test_a_default_changes_its_value_together_with_the_number_of_the_defaults():
    """Networks trained with the old value would pass for fresh; new fields may be added freely."""
    assert DEFAULTS == 1, "note above what the defaults of the new number are"
    for group, noted in NOTED.items():
        found = {name: group.model_fields[name].default for name in noted}
        assert found == noted, group.__name__
