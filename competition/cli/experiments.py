"""Commands on recipes: comparing them, what they cost, taking a network elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from competition.cli.options import (
    File,
    Folds,
    Pretrained,
    Recipes,
    Seeds,
    app,
    forcible,
    known_recipes,
    open_project,
)

# Off the folder: competition.recipes reads it too, but its import is a quarter of a second.
_FOLDER = Path(__file__).parents[1] / "recipes" / "experiments"
_ABLATIONS = sorted(file.stem for file in _FOLDER.glob("*.toml"))


@app.command()
@forcible
def ablation(
    force: bool,
    name: Annotated[str, typer.Option(help=", ".join(_ABLATIONS))],
    competition: File = None,
    fold: Folds = None,
    seed: Seeds = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="The recipes in full size, for a GPU, not their twins for CPUs"
        ),
    ] = False,
    variant: Annotated[
        str | None,
        typer.Option(help="Lay the changes of [variants.NAME] over all of its recipes"),
    ] = None,
    pretrained: Pretrained = True,
) -> None:
    """Print the table of an ablation from its trials' predictions: scores, differences, noise.

    `podium run ablation` first trains, predicts and submits what is missing.
    """
    from competition import steps
    from competition.experiment import AblationChoice, experiment_of

    project = open_project(competition)
    choice = AblationChoice(name, full, variant, tuple(fold or ()), tuple(seed or ()), pretrained)
    experiment = experiment_of(project.competition, choice)
    typer.echo(steps.compare_trials(project, experiment, force=force))


@app.command()
def models(
    competition: File = None,
    recipe: Recipes = None,
    names: Annotated[
        bool,
        typer.Option(
            "--list",
            help="The names of the recipes to choose from, the file's own first; "
            "each has a twin NAME-cpu, small and from scratch",
        ),
    ] = False,
    every: Annotated[
        bool,
        typer.Option("--all", help="List also the recipes that only ablations need"),
    ] = False,
) -> None:
    """Print what a recipe's network costs: logit size, parameters, operations, memory.

    By default of the ensemble's recipes; measured on a copy without weights.
    """
    if names or every:
        typer.echo("\n".join(known_recipes(competition, every=every)))
        return
    from competition.models.complexity import complexity_text, measure_recipe
    from competition.project import Project

    project = Project.open(competition)
    recipes = recipe or project.competition.ensemble.recipes
    classes = len(project.competition.classes)
    costs = {name: measure_recipe(project.recipe(name), classes) for name in recipes}
    typer.echo(complexity_text(costs))


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="checkpoint.pt of a trained network")],
    folder: Annotated[
        Path | None,
        typer.Option(help="Where to write", show_default="beside the checkpoint"),
    ] = None,
    decisions: Annotated[
        Path | None,
        typer.Option(
            help="decisions.json of `tune`: fold in the head that it keeps for this network"
        ),
    ] = None,
    competition: File = None,
) -> None:
    """Write a trained network as ONNX and torch.export, checked against torch on this machine."""
    from competition.export import decided_head, export_network
    from competition.project import Project
    from competition.training.checkpoint import load_checkpoint

    project = Project.open(competition)
    classes, pixels = project.classes, project.competition.data
    network, training = load_checkpoint(checkpoint, classes=classes, pixels=pixels)
    member = checkpoint.resolve().parent.parent.name
    fitted = decided_head(decisions, member, classes=classes) if decisions else None
    made = export_network(
        network, folder or checkpoint.parent, size=training.recipe.size, fitted=fitted
    )
    typer.echo(
        f"wrote {made.onnx} and {made.program}; largest difference from torch "
        f"{made.difference:.1e} of the largest logit; {made.speed:.2f} times torch's speed"
    )
    tiles = training.recipe.tiles
    if tiles is not None:
        height, width = training.recipe.size
        typer.echo(
            f"it takes one tile of {height} × {width} pixels of an image at scale {tiles.scale:g}; the "
            f"logits of tiles that overlap by {tiles.overlap:g} are averaged with Gaussian weights "
            "(docs/training.md, Tiles)"
        )
