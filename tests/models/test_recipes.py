import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from competition.errors import InputFault
from competition.freshness import hash_of
from competition.recipes import (
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
    experiment_names,
    further_recipes,
    named,
    read_experiment,
    recipe_named,
    recipe_names,
    trials,
)
from competition.recipes.derive import SUFFIX
from competition.recipes.recipe import Best
from competition.settings import DEFAULTS

ROOT = Path(__file__).parents[2]
FULL = {name: recipe_named(name, {}) for name in (*recipe_names(), *further_recipes())}
TWINS = {name: recipe_named(name + SUFFIX, {}) for name in FULL}
"""By the name of the full recipe."""
UNET = TWINS["unet"]


def test_every_recipe_survives_a_checkpoint_as_json():
    for recipe in (*FULL.values(), *TWINS.values()):
        assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_names_are_keys_and_say_what_is_a_twin():
    for name, recipe in FULL.items():
        assert recipe.name == name and not name.endswith(SUFFIX)
        assert TWINS[name].name == name + SUFFIX


def test_those_to_choose_from_are_few_and_need_no_file_of_an_experiment():
    assert 15 <= len(recipe_names()) <= 30
    assert "fcn-resnet50-dice" not in recipe_names() and "unet-cpu" not in recipe_names()
    file = Path(trials.__file__).parent / "recipes.toml"
    tables = tomllib.loads(file.read_text(encoding="utf-8"))["recipes"]
    bases = {name: table.get("base") for name, table in tables.items()}
    assert set(bases.values()) <= {None, *tables} and list(tables) == recipe_names()
    assert [name for name, base in bases.items() if base is None] == ["unet-resnet18"]


def test_a_recipe_of_an_experiment_is_of_use_to_it():
    used = {
        name: {trial.recipe for trial in read_experiment(name).trials}
        for name in experiment_names()
    }
    for name in experiment_names():
        assert set(read_experiment(name).recipes) <= used[name]


def test_no_file_is_read_before_a_recipe_is_asked_for():
    """Importing the package is on the way of every command."""
    code = (
        "import competition.cli, competition.steps; from competition.recipes import named; "
        "print(named._chosen.cache_info().misses + named._built_in.cache_info().misses)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "0"


def test_a_twin_starts_from_scratch_and_keeps_what_is_compared():
    for name, twin in TWINS.items():
        full = FULL[name]
        assert twin.pretrained == name.endswith("unet-lite0") and twin.size <= full.size
        assert twin.loss == full.loss and twin.augmentation == full.augmentation
        assert (twin.network.kind, twin.network.norm) == (full.network.kind, full.network.norm)
        assert (twin.network.head, twin.network.up) == (full.network.head, full.network.up)


def test_the_medical_recipe_is_the_surveys():
    medical = FULL["medical"]
    assert medical.network == UNet(block="residual", blocks=2, norm="group", auxiliary=0.4)
    assert not medical.pretrained
    assert medical.loss == (LossTerm(name="focal-tversky", form="power", empty="bce"),)
    assert medical.loss[0].gamma == pytest.approx(1.33, abs=0.01)
    assert medical.augmentation == Augmentation(noise=0.5)


def test_a_recipes_own_table_says_what_its_twin_has_otherwise():
    sizes = [TWINS[f"unet-resnet18-{side}"].size for side in (256, 384, 1024)]
    assert sizes == [(96, 96), (144, 144), (384, 384)]
    assert TWINS["unet-resnet18"].size == (192, 192)
    tables = {
        "mine": {"base": "unet", "batch": 2, "cpu": {"batch": 3}},
        "ours": {"base": "mine"},
        "wrong": {"base": "unet", "cpu": {"batches": 3}},
        "odd": {"base": "unet", "cpu": 3},
    }
    mine = recipe_named("mine-cpu", tables)
    assert mine == derive(UNET, {"name": "mine-cpu", "batch": 3})
    assert recipe_named("mine", tables).batch == 2
    assert recipe_named("ours-cpu", tables).batch == UNET.batch
    with pytest.raises(InputFault, match=r"\[recipes.wrong.cpu\] batches: "):
        recipe_named("wrong-cpu", tables)
    with pytest.raises(InputFault, match=r"\[recipes.odd\] cpu: expected a table .* found 3"):
        recipe_named("odd-cpu", tables)
    with pytest.raises(InputFault, match="no recipe 'mine-cpu-cpu'"):
        recipe_named("mine-cpu-cpu", tables)


def test_a_files_own_names_change_no_built_in_recipe():
    tables = {
        "unet": {"base": "unet-cpu", "batch": 3},
        "fcn-resnet50-dice": {"base": "fcn-resnet50-dice-cpu", "batch": 3},
        "resunet": {"base": "fcn-resnet50"},
        "first": {"base": "second"},
        "second": {"base": "first"},
    }
    for name in ("unet", "fcn-resnet50-dice"):
        assert recipe_named(name, tables) == derive(TWINS[name], {"name": name, "batch": 3})
        assert recipe_named(f"{name}-cpu", tables) == TWINS[name]
    assert recipe_named("resunet-32", tables) == FULL["resunet-32"]
    with pytest.raises(InputFault, match="first → second → first derive from each other"):
        recipe_named("first", tables)


def test_an_unknown_name_is_told_those_to_choose_from_and_how_all_are_listed():
    with pytest.raises(InputFault) as told:
        recipe_named("fcn-resnet50-dize", {"mine": {"base": "unet"}})
    assert f"the nearest of {len(FULL) + 1} are fcn-resnet50-dice, " in str(told.value)
    assert "models --list --all` shows all" in str(told.value)


def test_no_two_recipes_are_the_same_but_for_their_words():
    seen: dict[str, str] = {}
    for recipe in (*FULL.values(), *TWINS.values()):
        name = recipe.name
        content = recipe.model_dump_json(exclude={"name", "about"})
        assert content not in seen, f"{name} repeats {seen[content]}"
        seen[content] = name


@pytest.mark.parametrize("name", experiment_names())
def test_every_trial_of_an_ablation_names_a_recipe_in_both_sizes(name):
    full = read_experiment(name).trials
    for compared, ending in ((full, ""), (tuple(one.renamed(SUFFIX) for one in full), SUFFIX)):
        before: set[str] = set()
        for trial in compared:
            assert trial.recipe.removesuffix(SUFFIX) in FULL and trial.recipe.endswith(ending)
            assert trial.continued is None or trial.continued in before
            before.add(trial.recipe)
        lines = [(trial.recipe, trial.pseudo) for trial in compared]
        assert len(set(lines)) == len(lines)


NEW = """
about = "The width of a U-Net."
source = "ours"

[recipes.unet-narrow]
base = "unet"
about = "U-Net of 16 channels"
network = { base = 16 }

[[trials]]
recipe = "unet"
changed = "64 channels"
published = { public = 0.9 }

[[trials]]
recipe = "unet-narrow"
changed = "16 channels"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder in the place of experiments/."""
    monkeypatch.setattr(trials, "_FOLDER", tmp_path)
    named._built_in.cache_clear()
    yield tmp_path
    named._built_in.cache_clear()


def test_another_file_is_another_experiment(folder):
    (folder / "width.toml").write_text(NEW)
    assert experiment_names() == ["width"] and further_recipes() == ["unet-narrow"]
    first, second = read_experiment("width").trials
    assert first.published == (None, 0.9, None, None) and second.against is None
    assert recipe_named("unet-narrow-cpu", {}).network.base == 4


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("changed =", "change =", "width.toml: trials.0.changed: .*width.toml: trials.0.change: "),
        ("public", "publik", "width.toml: trials.0.published.publik: .*; found 0.9"),
        ('source = "ours"', "", "width.toml: source: "),
        ("[[trials]]", "[[trials]", "width.toml is not valid TOML: "),
        ("", "", "no ablation 'wide'; there are width"),
    ],
)
def test_mistakes_in_the_file_of_an_experiment_are_named(folder, old, new, told):
    (folder / "width.toml").write_text(NEW.replace(old, new))
    with pytest.raises(InputFault, match=f"(?s){told}"):
        read_experiment("width" if old else "wide")


def test_two_recipes_of_one_name_are_refused(folder):
    (folder / "width.toml").write_text(NEW.replace("unet-narrow", "speed"))
    with pytest.raises(InputFault, match="experiments/width.toml: there is a recipe speed already"):
        recipe_named("unet", {})


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
    changed = derive(recipe_named("fcn-resnet50", {}), {"name": "x", "network": {"kind": "unet"}})
    assert changed.network.kind == "unet" and changed.network.base == 64


def test_another_optimizer_begins_with_its_own_defaults_and_a_twin_keeps_its_rate():
    tables = {
        "mine": {
            "base": "unet",
            "optimizer": {"name": "sgd", "momentum": 0.8, "learning_rate": 0.02},
        },
        "back": {"base": "mine", "optimizer": {"name": "adamw"}},
        "same": {"base": "mine", "optimizer": {"learning_rate": 0.01}, "cpu": {"name": "zzz"}},
    }
    found = {name: recipe_named(name, tables).optimizer for name in (*tables, "mine-cpu")}
    assert (found["back"].name, found["back"].momentum) == ("adamw", None)
    assert (found["same"].name, found["same"].momentum, found["same"].learning_rate) == (
        "sgd",
        0.8,
        0.01,
    )
    assert found["mine-cpu"] == found["mine"]
    assert recipe_named("same-cpu", tables).name == "same-cpu"
    with pytest.raises(InputFault, match=r"\[recipes.odd\] base: expected the name .* found 3"):
        recipe_named("odd", {"odd": {"base": 3}})


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
    for name, recipe in FULL.items():
        few = name.startswith(FOUR) or name == "beit-large-dpt"
        assert recipe.batch * recipe.accumulate == (4 if few else 8), name


DIFFER = {"resolution": {"size"}, "schedule": {"schedule"}, "resampling": {"schedule"}}
"""What the trials of an ablation compare, beside networks and losses; resampling: continued ones."""


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", experiment_names())
def test_trials_differ_in_what_is_compared_and_in_nothing_else(name, full):
    """The norms once trained at 512² for 30 epochs, all but GroupNorm: 1024² and 156 epochs."""
    compared = read_experiment(name).trials
    recipes = FULL if full else TWINS
    words = {"name", "about", "network", "loss"} | DIFFER.get(name, set())
    for trial in compared:
        recipe, base = recipes[trial.recipe], recipes[trial.against or compared[0].recipe]
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
    return LaterRecipe.model_validate(UNET.model_dump() | changes)


def test_a_field_that_recipes_get_later_changes_no_identity_until_it_is_set():
    """Every trained network was once stale after an update: all fields were hashed."""
    assert later().chosen() == UNET.chosen()


@pytest.mark.parametrize(
    "changes",
    [
        {"patience": 3},
        {"network": {**UNET.network.model_dump(), "dropout": 0.1}},
        {"network": {**UNET.network.model_dump(), "best": {"rounds": 4}}},
    ],
    ids=str,
)
def test_a_field_that_recipes_get_later_counts_once_it_is_set(changes):
    assert later(**changes).chosen() != later().chosen()


def test_recipes_that_differ_differ_in_what_was_chosen():
    recipes = [*FULL.values(), *TWINS.values()]
    assert len({hash_of(recipe.chosen()) for recipe in recipes}) == len(recipes)
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
