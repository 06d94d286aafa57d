import pytest

from competition.errors import InputFault
from competition.recipes import ABLATIONS, RECIPES, LossTerm, Recipe, derive, for_cpus, recipe_named
from competition.recipes.derive import SUFFIX


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
