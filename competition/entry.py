"""What is trained and submitted: a `Member` is one recipe with its seed and pseudo round, an
`Entry` the members and folds that one submission is made of.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from competition.errors import InputFault
from competition.recipes import Recipe
from competition.recipes.planned import AUTO
from competition.spec import Competition
from competition.workspace import Workspace, checked_name

NO_ROUND = "none"
"""As a pseudo round: train on the organisers' labels alone, whatever `[ensemble]` says."""

_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]*")


@dataclass(frozen=True)
class Member:
    """A recipe trained with a seed, perhaps with a pseudo round, from scratch, or from the weights
    of another trained member.
    """

    recipe: str
    seed: int = 0
    pseudo: str | None = None
    pretrained: bool = True
    continued: str | None = None
    """The member, by the name of its folder, whose weights this one goes on from, fold by fold."""

    refined: bool = False
    """Whether its predictions are those of `network`, refined by the image."""

    def __str__(self) -> str:
        """The name of its folder.

        >>> str(Member("unet", seed=1, pseudo="round1"))
        'unet+seed1+round1'
        >>> str(Member("unet-12k", continued=str(Member("unet"))))
        'unet-12k+from-unet'
        >>> str(Member("unet", refined=True)), str(Member("unet", refined=True).network)
        ('unet+refined', 'unet')
        """
        seed = f"+seed{self.seed}" if self.seed else ""
        scratch = "" if self.pretrained else "+scratch"
        pseudo = f"+{self.pseudo}" if self.pseudo else ""
        origin = f"+from-{self.continued}" if self.continued else ""
        refined = "+refined" if self.refined else ""
        return self.recipe + scratch + seed + pseudo + origin + refined

    @property
    def network(self) -> "Member":
        """The member whose networks are trained: itself, unless it is refined."""
        return replace(self, refined=False)

    def adapted(self, recipe: Recipe) -> Recipe:
        """The recipe as this member trains it: from scratch where it is asked to."""
        return recipe if self.pretrained else recipe.model_copy(update={"pretrained": False})


@dataclass(frozen=True)
class Entry:
    """One submission in the making. `folds` are those whose networks are averaged."""

    name: str
    members: tuple[Member, ...]
    folds: tuple[int, ...]

    @property
    def networks(self) -> tuple[Member, ...]:
        """Those that are trained, each once."""
        return tuple(dict.fromkeys(member.network for member in self.members))

    @property
    def is_planned(self) -> bool:
        """Whether a plan makes a recipe of it."""
        return any(member.recipe == AUTO for member in self.members)

    def folder(self, workspace: Workspace) -> Path:
        return workspace.runs / "entries" / self.name


def entry_of(
    competition: Competition,
    *,
    recipes: tuple[str, ...] = (),
    folds: tuple[int, ...] = (),
    seeds: tuple[int, ...] = (),
    pseudo: str | None = None,
    pretrained: bool = True,
    continued: str | None = None,
    may_refine: bool = True,
) -> Entry:
    """The entry of `[ensemble]`, but for what is given. Its name says what differs from the file.

    pseudo: a round, `NO_ROUND`, or None for the file's own. continued: the member that all of its
    members go on from. may_refine: whether `[ensemble] refine` is obeyed.
    "main" is the file's own; "unet", "main+round1", "unet-folds-0-1" are others.
    """
    asked = competition.ensemble
    every = asked.folds if asked.folds is not None else tuple(range(competition.split.folds))
    pseudo = asked.pseudo if pseudo is None else None if pseudo == NO_ROUND else pseudo
    if pseudo is not None:
        checked_name("pseudo round", pseudo)
    if continued is not None and not _FOLDER.fullmatch(continued):
        raise InputFault(f"no member {continued!r}: expected the name of a folder of runs/")
    refine = asked.refine if may_refine else None
    kinds = (False,) if refine is None else (True,) if refine.only else (False, True)
    members = tuple(
        Member(recipe, seed, pseudo, pretrained, continued, refined)
        for recipe in recipes or asked.recipes
        for seed in seeds or asked.seeds
        for refined in kinds
    )
    chosen = tuple(sorted(set(folds or every)))
    _refuse_unknown_folds(chosen, competition)
    own_recipes = not recipes or recipes == asked.recipes
    own_seeds = not seeds or seeds == asked.seeds
    name = "main" if own_recipes else "+".join(recipes)
    name += "" if own_seeds else "+seed" + "-".join(map(str, seeds))
    name += "" if pseudo == asked.pseudo else f"+{pseudo or 'no-pseudo'}"
    name += "" if pretrained else "+scratch"
    name += "" if continued is None else f"+from-{continued}"
    name += "" if chosen == tuple(sorted(every)) else "-folds-" + "-".join(map(str, chosen))
    return Entry(name, members, chosen)


def _refuse_unknown_folds(folds: tuple[int, ...], competition: Competition) -> None:
    unknown = [fold for fold in folds if not 0 <= fold < competition.split.folds]
    if unknown:
        raise InputFault(
            f"no fold {unknown[0]}; {competition.name} is split into folds 0 to "
            f"{competition.split.folds - 1}"
        )
