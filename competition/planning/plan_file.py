"""The text of folds/<competition>.plan.toml: a plan as it is read, edited and repeated."""

from pathlib import Path

from competition.new.file_text import toml_item
from competition.planning.choice import Choice, TimeGiven
from competition.recipes.planned import AUTO
from competition.workspace import write_text

_HEAD = """\
# The recipe for {time}, planned by `podium plan`: read it, edit it, keep it in git.
# Measured on {machine}.
# It is kept as it is, so that runs can be resumed and repeated; `podium plan --force` plans anew.
"""


def plan_text(choice: Choice, time: TimeGiven, machine: str) -> str:
    """The file. Each line of the recipe ends with its reason."""
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


def write_plan(path: Path, choice: Choice, time: TimeGiven, machine: str) -> None:
    write_text(path, plan_text(choice, time, machine))
