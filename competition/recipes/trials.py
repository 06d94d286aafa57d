"""Experiments: which recipes are compared, with the figures that their sources published.

Each is a file of experiments/, and another file there is another experiment. The published figures
come from data that is not public: print them beside ours, never as ours.
"""

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from competition.errors import InputFault, nearest
from competition.settings import Settings

VARIANT = "@"
"""RECIPE@VARIANT: the changes of `[variants.VARIANT]` laid over any recipe."""

_FOLDER = Path(__file__).parent / "experiments"


class Published(NamedTuple):
    """Scores of the sources; None where they give none."""

    validation: float | None = None
    public: float | None = None
    private: float | None = None
    iterations: int | None = None


class Trial(NamedTuple):
    """One line of an ablation's table."""

    recipe: str
    changed: str
    published: Published = Published()
    against: str | None = None
    """The recipe of the trial that it is compared with; None: the first one's."""
    continued: str | None = None
    """The trial whose checkpoint this one goes on from."""
    pseudo: bool = False
    """Trained with a round of pseudo labels too."""

    def renamed(self, ending: str) -> "Trial":
        """The same trial on the recipes whose names have this ending: twins for CPUs, variants.

        >>> read_experiment("skips").trials[1].renamed("-cpu@quick").recipe
        'light-unet-cpu@quick'
        """
        return self._replace(
            recipe=self.recipe + ending,
            against=self.against and self.against + ending,
            continued=self.continued and self.continued + ending,
        )


class Comparison(Settings):
    """A file of experiments/."""

    about: str = Field(description="one sentence: what is compared")
    source: str = Field(description="whose published figures they are, or whose idea it was")
    recipes: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="tables of the recipes that are chosen for nothing else"
    )
    trials: tuple[Trial, ...] = Field(min_length=2)


def experiment_names() -> list[str]:
    """The names of all experiments, in the order of the alphabet."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def read_experiment(name: str) -> Comparison:
    """The experiment of that name; InputFault where there is none, or its file is not one."""
    if name not in experiment_names():
        known = nearest(name, experiment_names(), all_by="`python -m competition ablation --help`")
        raise InputFault(f"no ablation {name!r}; {known}")
    path = _FOLDER / f"{name}.toml"
    try:
        return Comparison.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise InputFault(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        from competition.spec import (
            describe_mistakes,  # not before: spec brings metrics and layouts
        )

        raise InputFault(describe_mistakes(error, str(path))) from error
