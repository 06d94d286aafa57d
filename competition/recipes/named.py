"""Recipes by name: a competition file's own, the built-in ones, their twins for CPUs, variants."""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from competition.errors import InputFault, nearest
from competition.recipes.derive import SUFFIX, derive, small
from competition.recipes.recipe import Recipe
from competition.recipes.transforms import Allowed, further_transforms
from competition.recipes.trials import VARIANT, experiment_names, read_experiment
from competition.spec import Competition

Tables = Mapping[str, Mapping[str, Any]]


def recipe_names() -> list[str]:
    """The built-in recipes to choose from; without their twins for CPUs."""
    return list(_chosen())


def further_recipes() -> list[str]:
    """The names of the built-in recipes that only experiments need."""
    return [name for name in _built_in() if name not in _chosen()]


def recipe_named(name: str, tables: Tables, variants: Tables = MappingProxyType({})) -> Recipe:
    """The recipe `name`: one of the file's `[recipes.NAME]` tables, or a built-in one.

    A table has `base`, the recipe that it changes; bases may be tables too. NAME-cpu is the twin
    for CPUs of any of them, changed by what its table has as `cpu`. NAME@VARIANT is that recipe
    with the changes of `[variants.VARIANT]` laid over it.
    """
    base, sign, variant = name.partition(VARIANT)
    recipe = _resolve(base, tables)
    if not sign:
        return recipe
    if variant not in variants:
        known = nearest(variant, variants, all_by="the competition file")
        raise InputFault(f"no [variants.{variant}] for the recipe {name!r}; {known}")
    return _derived(recipe, {**variants[variant], "name": name}, where=f"variants.{variant}")


def recipe_of(competition: Competition, name: str) -> Recipe:
    """The recipe `name` of a competition; its network takes the channels and bits of the images, and
    its transforms take them too and do what the competition allows.
    """
    recipe = recipe_named(name, competition.recipes, competition.variants)
    data, network = competition.data, recipe.network
    if (network.channels, network.bits) != (data.network_channels, data.bits):
        images = {"channels": data.network_channels, "bits": data.bits}
        recipe = derive(recipe, {"network": images})
    further_transforms(recipe, Allowed(competition.permutation, competition.turns))
    return recipe


@functools.cache
def _chosen() -> Tables:
    text = (Path(__file__).parent / "recipes.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["recipes"]


@functools.cache
def _built_in() -> Tables:
    """Those to choose from, and those of every experiment."""
    found = dict(_chosen())
    for experiment in experiment_names():
        for name, table in read_experiment(experiment).recipes.items():
            if name in found:
                raise InputFault(f"experiments/{experiment}.toml: there is a recipe {name} already")
            found[name] = table
    return found


def _resolve(name: str, tables: Tables, *, chain: tuple[str, ...] = ()) -> Recipe:
    """chain: the names that derive from this one."""
    if name in chain:
        raise InputFault(f"recipes {' → '.join((*chain, name))} derive from each other in a circle")
    chain, stem = (*chain, name), name.removesuffix(SUFFIX)
    if name in tables:
        return _from_table(name, tables, chain)
    if stem in _built_in() and tables is not _built_in():
        # Bases of built-in recipes are built-in: what a file calls `unet` leaves `unet-cpu` alone.
        return _resolve(name, _built_in())
    if stem not in tables:
        offered = [*tables, *_built_in()]
        known = nearest(name, offered, all_by="`python -m competition models --list --all`")
        raise InputFault(f"no recipe {name!r}; {known}")
    twin, changes = small(_resolve(stem, tables, chain=chain)), tables[stem].get("cpu", {})
    if not isinstance(changes, Mapping):
        raise InputFault(
            f"[recipes.{stem}] cpu: expected a table of what changes in {name}, such as "
            f"cpu = {{ size = [96, 96] }}; found {changes!r}"
        )
    return _derived(twin, {**changes, "name": name}, where=f"recipes.{stem}.cpu")


def _from_table(name: str, tables: Tables, chain: tuple[str, ...]) -> Recipe:
    changes = {key: value for key, value in tables[name].items() if key not in ("base", "cpu")}
    base = tables[name].get("base")
    if not isinstance(base, str | None):
        raise InputFault(f"[recipes.{name}] base: expected the name of a recipe; found {base!r}")
    if base is not None:
        parent = _resolve(base, tables, chain=chain)
    elif tables is _built_in():
        parent = Recipe(name=name, about="")  # the one that all others come from
    else:
        raise InputFault(f"[recipes.{name}] has no base; name the recipe that it changes")
    return _derived(parent, {**changes, "name": name}, where=f"recipes.{name}")


def _derived(parent: Recipe, changes: Mapping[str, Any], *, where: str) -> Recipe:
    """`parent` changed by the file's table `[where]`; InputFault names its mistakes."""
    try:
        return derive(parent, dict(changes))
    except ValidationError as error:
        lines = [
            f"[{where}] {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise InputFault("\n".join(lines)) from error
