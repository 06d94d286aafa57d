"""The app, and what its commands share: options, the bench, the entry, progress bars."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from competition.entry import Entry, entry_of
from competition.progress_bar import bars_on
from competition.project import Project

app = typer.Typer(
    help="From the organisers' download to a checked submission, one command a step.\n\n"
    "Each command does its own step only and skips what is fresh; `invoke STEP` first makes what "
    "is missing before it. Without a competition.toml everything runs on the built-in demo.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)
watch = bars_on(console)

File = Annotated[
    Path | None,
    typer.Option(
        "--competition",
        "-c",
        help="Competition file [default: ./competition.toml, or the demo's]",
        show_default=False,
    ),
]
Recipes = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe", "-r", help="Recipe; may be repeated [default: as above]", show_default=False
    ),
]
Folds = Annotated[
    list[int] | None,
    typer.Option(
        "--fold", "-f", help="Fold; may be repeated [default: the ensemble's]", show_default=False
    ),
]
Seeds = Annotated[
    list[int] | None,
    typer.Option(
        "--seed", help="Seed; may be repeated [default: the ensemble's]", show_default=False
    ),
]
Pseudo = Annotated[
    str | None,
    typer.Option(
        "--pseudo",
        help="Train with this pseudo-label round too; 'none' for none [default: the ensemble's]",
        show_default=False,
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
        show_default=False,
    ),
]
Again = Annotated[bool, typer.Option("--again", help="Do it even where it is fresh")]


def bench_of(given: Path | None):
    from competition.steps import Bench

    return Bench.of(Project.open(given), say=typer.echo, watch=watch)


def entry_from(
    bench,
    recipes: list[str] | None,
    folds: list[int] | None,
    seeds: list[int] | None,
    *,
    pseudo: str | None,
    pretrained: bool,
    continued: str | None = None,
) -> Entry:
    return entry_of(
        bench.project.competition,
        recipes=tuple(recipes or ()),
        folds=tuple(folds or ()),
        seeds=tuple(seeds or ()),
        pseudo=pseudo,
        pretrained=pretrained,
        continued=continued,
    )
