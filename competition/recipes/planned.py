"""The recipe "auto": what a plan chose, read from folds/<competition>.plan.toml."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from competition.errors import InputFault
from competition.settings import Settings
from competition.spec import Competition
from competition.workspace import Workspace

AUTO = "auto"
"""In `[ensemble] recipes`: the recipe that the plan has by this name."""


class PlanFile(Settings):
    """minutes, until: what it was planned for; folds: those that are trained unless the competition
    file says others; ends_in: seconds of wall time by part of the work, as expected; cpu_seconds: of
    processor time, of all training steps.
    """

    minutes: float = Field(gt=0)
    until: str
    folds: tuple[int, ...] = Field(min_length=1)
    seconds: dict[str, float]
    cpu_seconds: float
    recipe: dict[str, Any]


def read_plan(path: Path) -> PlanFile:
    """InputFault for what is no plan, or not one any more."""
    again = "mend it, or plan anew with `podium plan --force`"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        recipe = document.get("recipes", {})[AUTO]
        return PlanFile.model_validate({**document["plan"], "recipe": recipe})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError) as error:
        raise InputFault(f"{path} is not a plan ({error}); {again}") from error
    except ValidationError as error:
        first = error.errors()[0]
        found = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise InputFault(f"{path}: {found}; {again}") from error


def asks_for_plan(competition: Competition) -> bool:
    """Whether the file leaves a recipe to the plan."""
    return AUTO in competition.ensemble.recipes and AUTO not in competition.recipes


def with_plan(competition: Competition, workspace: Workspace) -> Competition:
    """The competition with the plan's recipe and folds, where it asks for one that is there."""
    if not asks_for_plan(competition) or not workspace.plan.is_file():
        return competition
    plan = read_plan(workspace.plan)
    ensemble = competition.ensemble
    if ensemble.folds is None:
        ensemble = ensemble.model_copy(update={"folds": plan.folds})
    recipes = {**competition.recipes, AUTO: plan.recipe}
    return competition.model_copy(update={"recipes": recipes, "ensemble": ensemble})
