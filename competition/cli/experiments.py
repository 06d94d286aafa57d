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
    bench_of,
    forcible,
    known_recipes,
)


@app.command()
@forcible
def ablation(
    again: bool,
    name: Annotated[
        str,
        typer.Option(
            help="losses, aux, pooling, skips, resampling, norm, head, "
            "resolution, pseudo or schedule"
        ),
    ],
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
    from competition.experiment import Choice, experiment_of

    bench = bench_of(competition)
    choice = Choice(name, full, variant, tuple(fold or ()), tuple(seed or ()), pretrained)
    experiment = experiment_of(bench.project.competition, choice)
    typer.echo(steps.compare_trials(bench, experiment, again=again))


@app.command()
def models(
    competition: File = None,
    recipe: Recipes = None,
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="The cost table of the ResNet18-UNet: published, recounted, and real",
        ),
    ] = False,
    names: Annotated[
        bool, typer.Option("--list", help="The names of all recipes, the file's own first")
    ] = False,
) -> None:
    """Print what a recipe's network costs: logit size, parameters, operations, memory.

    By default of the ensemble's recipes; measured on a copy without weights.
    """
    if names:
        typer.echo("\n".join(known_recipes(competition)))
        return
    from competition.models.complexity import complexity_text, measure_recipe
    from competition.models.published import published_text
    from competition.project import Project

    if published:
        typer.echo(published_text())
        return
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
    from competition.export import export as write
    from competition.project import Project
    from competition.training.checkpoint import load
    from competition.tuning.fusing import decided_head

    classes = Project.open(competition).competition.classes
    network, training = load(checkpoint, classes=classes)
    size, channels = training.recipe.size, training.recipe.network.channels
    member = checkpoint.resolve().parent.parent.name
    fitted = decided_head(decisions, member, classes=classes) if decisions else None
    made = write(network, folder or checkpoint.parent, size=size, channels=channels, fitted=fitted)
    typer.echo(
        f"wrote {made.onnx} and {made.program}; largest difference from torch "
        f"{made.difference:.1e} of the largest logit; {made.speed:.2f} times torch's speed"
    )
