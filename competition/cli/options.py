"""The app, and what its commands share: groups of options, the project, the entry, progress bars."""

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console

from competition.machine import MACHINE_SETTINGS as MACHINE
from competition.machine import Setting, ask
from competition.progress_bar import bars_on

if TYPE_CHECKING:  # these cost most of a second, which --help and completion need not wait for
    from competition.entry import Entry
    from competition.project import Project

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

APP_SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "rich_markup_mode": None,  # rich takes [default: …] and [variants.NAME] for its markup
    "pretty_exceptions_enable": False,
}
app = typer.Typer(
    help="From the organisers' download to a checked submission, one command a step.\n\n"
    "Each command does its own step only and skips what is done; `podium run STEP` first makes "
    "what is missing before it. Without a competition.toml everything runs on the built-in demo, "
    "which `podium demo` writes, and `podium run` before anything else.",
    **APP_SETTINGS,
)

watch = bars_on(Console(stderr=True))


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"podium {version('podium')}")
        raise typer.Exit


@app.callback()
def _podium(
    version: Annotated[
        bool,
        typer.Option("--version", help="Say which version this is", callback=_version),
    ] = False,
) -> None:
    """Options before the command; the help is the app's."""


def known_recipes(given: Path | None, *, every: bool = False) -> list[str]:
    """The recipes of the competition file in force, where there is one, and the built-in ones.

    every: also the built-in ones that only ablations need.
    """
    from competition.project import competition_file
    from competition.recipes import further_recipes, recipe_names
    from competition.spec import load_competition

    file = competition_file(given, Path.cwd())
    own = load_competition(file).recipes if given or file.exists() else {}
    return [*own, *recipe_names(), *(further_recipes() if every else ())]


def _recipe_names(context: typer.Context, incomplete: str) -> list[str]:
    """For shell completion, by which a competition file is not yet checked."""
    from competition.errors import PodiumError

    given = context.params.get("competition")
    try:
        names = known_recipes(given and Path(given))
    except PodiumError:
        return []  # a shell's Tab key is no place for a fault; the command itself will tell it
    return [name for name in names if name.startswith(incomplete)]


File = Annotated[
    Path | None,
    typer.Option(
        "--competition",
        "-c",
        help="Competition file",
        show_default="./competition.toml, or the demo's",
    ),
]


def _recipe_option(default: str) -> Any:
    about: dict[str, Any] = {"help": "Recipe; may be repeated", "show_default": default}
    return typer.Option("--recipe", "-r", autocompletion=_recipe_names, **about)


Recipes = Annotated[list[str] | None, _recipe_option("the ensemble's")]
FirstRecipe = Annotated[list[str] | None, _recipe_option("the ensemble's first")]
Folds = Annotated[
    list[int] | None,
    typer.Option(
        "--fold", "-f", help="Fold; may be repeated", show_default="those of the ensemble"
    ),
]
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", help="Seed; may be repeated", show_default="those of the ensemble"),
]
Pseudo = Annotated[
    str | None,
    typer.Option(
        "--pseudo",
        help="Train with this pseudo-label round too; 'none' for none",
        show_default="the ensemble's",
    ),
]
Teachers = Annotated[
    str | None,
    typer.Option(
        "--pseudo",
        help="Round that the teachers were trained with, for a second round",
        show_default="none",
    ),
]
Pretrained = Annotated[
    bool,
    typer.Option(
        "--pretrained/--no-pretrained",
        help="Start from published weights where the recipe does, or from scratch",
    ),
]
Continued = Annotated[
    str | None,
    typer.Option(
        "--continue-from",
        help="Members that start from the weights of this trained one "
        "(a folder of runs/COMPETITION), fold by fold",
    ),
]
Soup = Annotated[
    bool,
    typer.Option(
        "--soup", help="Also the soup of each recipe's seeds as a member (see `podium soup`)"
    ),
]
Plain = Annotated[
    bool, typer.Option("--plain", help="Threshold 0.5, for comparison, not the tuned decisions")
]
Json = Annotated[
    bool,
    typer.Option("--json", help="One JSON document instead of text, for programs to read"),
]


@dataclass(frozen=True)
class Group:
    """Options that stand together on several commands, as a decorator below `@app.command()`.

    make: a function whose parameters are the options and which returns, in the order of `gives`,
    the arguments that the decorated command takes in their place; at_end: listed after the
    command's own options.
    """

    make: Callable[..., tuple[Any, ...]]
    gives: tuple[str, ...]
    at_end: bool = False

    @property
    def options(self) -> list[inspect.Parameter]:
        parameters = inspect.signature(self.make).parameters.values()
        return [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]

    def made(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """What the options among these values, by name, amount to."""
        return self.make(**{one.name: values[one.name] for one in self.options})

    def __call__(self, command: Callable[..., None]) -> Callable[..., None]:
        own = [
            one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for one in inspect.signature(command).parameters.values()
            if one.name not in self.gives
        ]
        names = {one.name for one in self.options}

        @functools.wraps(command)
        def parsed(**values: Any) -> None:
            given = dict(zip(self.gives, self.made(values), strict=True))
            rest = {name: value for name, value in values.items() if name not in names}
            command(**given, **rest)

        in_order = [*own, *self.options] if self.at_end else [*self.options, *own]
        return with_options(parsed, in_order)


def parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    """An option that is added to a command."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, annotation=annotation, default=default)


def first_line(command: Callable[..., Any]) -> str:
    """What stands in a list of commands, uncut."""
    return (command.__doc__ or "").splitlines()[0]


def with_options(function: AnyFunction, options: list[inspect.Parameter]) -> AnyFunction:
    """The function, such that typer takes these for its parameters."""
    vars(function).pop("__wrapped__", None)  # typer would look through it, at other parameters
    vars(function)["__signature__"] = inspect.Signature(options)
    function.__annotations__ = {one.name: one.annotation for one in options}
    return function


def _of_ensemble(
    competition: File = None,
    recipe: Recipes = None,
    fold: Folds = None,
    seed: Seeds = None,
    pseudo: Pseudo = None,
    pretrained: Pretrained = True,
    continued: Continued = None,
    soup: Soup = False,
) -> "tuple[Project, Entry]":
    project = open_project(competition)
    chosen = {"pseudo": pseudo, "pretrained": pretrained, "continued": continued, "soup": soup}
    return project, _entry(project, recipe, fold=fold, seed=seed, **chosen)


def _of_first_recipe(
    competition: Path | None, recipe: list[str] | None, **chosen: Any
) -> "tuple[Project, Entry]":
    """As `_of_ensemble`, whose options it takes, but for the recipes where none are given."""
    project = open_project(competition)
    recipes = recipe or [project.competition.ensemble.recipes[0]]
    return project, _entry(project, recipes, **chosen)


def _of_soups(**chosen: Any) -> "tuple[Project, Entry]":
    """As `_of_ensemble`, whose options it takes, with soups."""
    return _of_ensemble(**chosen, soup=True)


def _of_teachers(
    competition: File = None,
    recipe: Recipes = None,
    fold: Folds = None,
    seed: Seeds = None,
    teachers: Teachers = None,
    pretrained: Pretrained = True,
) -> "tuple[Project, Entry]":
    from competition.entry import NO_ROUND

    project = open_project(competition)
    chosen = {"pseudo": teachers or NO_ROUND, "pretrained": pretrained}
    return project, _entry(project, recipe, fold=fold, seed=seed, **chosen)


def _whether_forced(
    force: Annotated[bool, typer.Option("--force", help="Do it even where it is done")] = False,
    again: Annotated[bool, typer.Option("--again", hidden=True)] = False,  # its earlier name
) -> tuple[bool]:
    return (force or again,)


def _time_given(
    minutes: Annotated[
        float | None,
        typer.Option(
            help='Plan for so many minutes, where recipes = ["auto"]',
            show_default="60 on a CPU, 180 on a card",
        ),
    ] = None,
    hours: Annotated[float | None, typer.Option(help="The same in hours")] = None,
) -> tuple[float | None]:
    from competition.errors import InputFault

    if minutes is not None and hours is not None:
        raise InputFault("--minutes and --hours both say how long; give one of them")
    given = minutes if hours is None else 60 * hours
    if given is not None and not 0 < given < float("inf"):
        raise InputFault(f"{given:g} minutes: expected more than 0")
    return (given,)


def _logs_named(
    log: Annotated[
        list[str] | None,
        typer.Option(
            help="Also log what is trained by tensorboard, wandb, mlflow or trackio; may be repeated",
            show_default="none; or PODIUM_LOG",
        ),
    ] = None,
) -> tuple[()]:
    """Asks, and gives the command nothing, as options of the machine do."""
    from competition.training.logs import ask_logs

    if log:
        ask_logs(log)
    return ()


logging_to = Group(_logs_named, gives=(), at_end=True)
time_given = Group(_time_given, gives=("minutes",))


def on_machine(*names: str) -> Group:
    """The options of these settings of the machine: each asks, and gives the command nothing."""

    def asked(**values: str | None) -> tuple[()]:
        for name, value in values.items():
            if value is not None:
                ask(name, value)
        return ()

    chosen = [setting for setting in MACHINE if setting.name in names]
    options = [_machine_option(setting) for setting in chosen]
    return Group(with_options(asked, options), gives=(), at_end=True)


def _machine_option(setting: Setting) -> inspect.Parameter:
    option = typer.Option(
        setting.option,
        help=f"{setting.help}: {setting.values}; or {setting.variable}",
        show_default="see `podium machine`",
    )
    return parameter(setting.name, Annotated[str | None, option])


on_entry = Group(_of_ensemble, gives=("project", "entry"))
_trained_options = [one for one in on_entry.options if one.name != "soup"]
on_soups = Group(with_options(_of_soups, _trained_options), gives=("project", "entry"))
_entry_options = [
    one.replace(annotation=FirstRecipe) if one.name == "recipe" else one for one in _trained_options
]
on_first_recipe = Group(with_options(_of_first_recipe, _entry_options), gives=("project", "entry"))
on_teachers = Group(_of_teachers, gives=("project", "entry"))
forcible = Group(_whether_forced, gives=("force",), at_end=True)


def echo_json(document: Any) -> None:
    """The one thing on standard output under --json; ASCII, so that any encoding will do."""
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


def say(line: str) -> None:
    """By `print`, which a bar on the same terminal makes room for; typer.echo would write into it."""
    print(line, flush=True)


def open_project(given: Path | None, *, planned: bool = True) -> "Project":
    from competition.project import Project

    return Project.open(given, say=say, watch=watch, planned=planned)


def _entry(
    project: "Project",
    recipe: list[str] | None,
    *,
    fold: list[int] | None,
    seed: list[int] | None,
    **chosen: Any,
) -> "Entry":
    from competition.entry import entry_of

    return entry_of(
        project.competition,
        recipes=tuple(recipe or ()),
        folds=tuple(fold or ()),
        seeds=tuple(seed or ()),
        **chosen,
    )
