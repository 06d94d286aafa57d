"""folds/<competition>.plan.toml: a plan as it is read, edited and repeated."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from competition.errors import InputFault
from competition.settings import Settings
from competition.spec import Competition
from competition.workspace import Workspace, write_text

if TYPE_CHECKING:
    from competition.planning.choice import Choice, TimeGiven

AUTO = "auto"
"""In `[ensemble] recipes`: the recipe that the plan has by this name."""

_HEAD = """\
# The recipe for {time}, planned by `podium plan`: read it, edit it, keep it in git.
# Measured on {machine}.
# It is kept as it is, so that runs can be resumed and repeated; `podium plan --force` plans anew.
"""


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


def plan_text(choice: "Choice", time: "TimeGiven", machine: str) -> str:
    """The file. Each line of the recipe ends with its reason."""
    from competition.new.file_text import toml_item

    lines = [
        _HEAD.format(time=time.words, machine=machine),
        "[plan]",
        f"minutes = {time.seconds / 60:g}",
        f'until = "{time.until}"',
        f"folds = {list(choice.folds)}  # {choice.why_folds}",
        f"cpu_seconds = {choice.cpu_seconds:.0f}  # of all training steps",
        "",
        "[plan.seconds]  # of wall time, as expected",
        *(f'"{part}" = {seconds:.1f}' for part, seconds in choice.seconds.items()),
        "",
        f"[recipes.{AUTO}]",
        f'about = "planned for {time.words}"',
    ]
    lines += [
        f"{one.key} = {toml_item(one.value).as_string()}  # {one.reason}" for one in choice.recipe
    ]
    return "\n".join(lines) + "\n"


def write_plan(path: Path, choice: "Choice", time: "TimeGiven", machine: str) -> None:
    write_text(path, plan_text(choice, time, machine))


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
