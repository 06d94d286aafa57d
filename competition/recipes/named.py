"""RECIPES: those of the book and their twins for CPUs; and the ones of a competition file."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from competition.errors import InputFault, nearest
from competition.recipes.book import FULL
from competition.recipes.derive import derive, small
from competition.recipes.recipe import Recipe

_TWINS: dict[str, dict[str, Any]] = {
    "unet-resnet18-256": {"size": [96, 96]},
    "unet-resnet18-384": {"size": [144, 144]},
    "unet-resnet18-1024": {"size": [384, 384]},
}
"""Twins that must differ from each other where their originals do."""


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for full in FULL
    for recipe in (full, derive(small(full), _TWINS.get(full.name, {})))
}


VARIANT = "@"
"""RECIPE@VARIANT: the changes of `[variants.VARIANT]` laid over any recipe."""

Tables = Mapping[str, Mapping[str, Any]]


def recipe_named(name: str, tables: Tables, variants: Tables = MappingProxyType({})) -> Recipe:
    """The recipe `name`: one of the file's `[recipes.NAME]` tables, or a built-in one.

    A table has `base`, the recipe that it changes; bases may be tables too. NAME@VARIANT is that
    recipe with the changes of `[variants.VARIANT]` laid over it.
    """
    base, sign, variant = name.partition(VARIANT)
    recipe = _resolve(base, tables, chain=())
    if not sign:
        return recipe
    if variant not in variants:
        known = nearest(variant, variants, all_by="the competition file")
        raise InputFault(f"no [variants.{variant}] for the recipe {name!r}; {known}")
    return _derived(recipe, {**variants[variant], "name": name}, where=f"variants.{variant}")


def _resolve(name: str, tables: Tables, *, chain: tuple[str, ...]) -> Recipe:
    if name in chain:
        raise InputFault(f"recipes {' → '.join((*chain, name))} derive from each other in a circle")
    if name not in tables:
        if name not in RECIPES:
            known = nearest(
                name, [*tables, *RECIPES], all_by="`python -m competition models --list`"
            )
            raise InputFault(f"no recipe {name!r}; {known}")
        return RECIPES[name]
    changes = dict(tables[name])
    base = changes.pop("base", None)
    if base is None:
        raise InputFault(f"[recipes.{name}] has no base; name the recipe that it changes")
    parent = _resolve(base, tables, chain=(*chain, name))
    return _derived(parent, {**changes, "name": name}, where=f"recipes.{name}")


def _derived(parent: Recipe, changes: dict[str, Any], *, where: str) -> Recipe:
    """`parent` changed by the file's table `[where]`; InputFault names its mistakes."""
    try:
        return derive(parent, changes)
    except ValidationError as error:
        lines = [
            f"[{where}] {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise InputFault("\n".join(lines)) from error
