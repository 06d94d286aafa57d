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
    soup: tuple[int, ...] = ()
    """The seeds whose networks' weights it is the mean of, fold by fold; none: it is trained itself."""
    refined: bool = False
    """Whether its predictions are those of `network`, refined by the image."""

    def __str__(self) -> str:
        """The name of its folder.

        >>> str(Member("unet", seed=1, pseudo="round1"))
        'unet+seed1+round1'
        >>> str(Member("unet-12k", continued=str(Member("unet"))))
        'unet-12k+from-unet'
        >>> str(Member("unet", soup=(0, 1)))
        'unet+soup0-1'
        >>> str(Member("unet", refined=True)), str(Member("unet", refined=True).network)
        ('unet+refined', 'unet')
        """
        seed = f"+seed{self.seed}" if self.seed else ""
        seed = "+soup" + "-".join(map(str, self.soup)) if self.soup else seed
        scratch = "" if self.pretrained else "+scratch"
        pseudo = f"+{self.pseudo}" if self.pseudo else ""
        origin = f"+from-{self.continued}" if self.continued else ""
        refined = "+refined" if self.refined else ""
        return self.recipe + scratch + seed + pseudo + origin + refined

    @property
    def network(self) -> "Member":
        """The member whose networks are trained: itself, unless it is refined."""
        return replace(self, refined=False)

    @property
    def ingredients(self) -> "tuple[Member, ...]":
        """The members that a soup may be made of, one a seed; none of a member that is trained."""
        return tuple(replace(self, seed=seed, soup=()) for seed in self.soup)

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
        """Those whose networks predict, each once."""
        return tuple(dict.fromkeys(member.network for member in self.members))

    @property
    def trained(self) -> tuple[Member, ...]:
        """Of these, those that are no soups."""
        return tuple(member for member in self.networks if not member.soup)

    @property
    def soups(self) -> tuple[Member, ...]:
        return tuple(member for member in self.networks if member.soup)

    @property
    def is_planned(self) -> bool:
        """Whether a plan makes a recipe of it."""
        return any(member.recipe == AUTO for member in self.members)

    @property
    def round(self) -> str | None:
        """The pseudo round that its networks are trained with."""
        return self.members[0].pseudo

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
    soup: bool = False,
    may_refine: bool = True,
) -> Entry:
    """The entry of `[ensemble]`, but for what is given. Its name says what differs from the file.

    pseudo: a round, `NO_ROUND`, or None for the file's own. continued: the member that all of its
    members go on from; soup: whether the soup of each recipe's seeds is a member too. may_refine:
    whether `[ensemble] refine` is obeyed.
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
    chosen = tuple(sorted(set(folds or every)))
    _refuse_unknown_folds(chosen, competition)
    mixed = _soup_of(seeds or asked.seeds, chosen) if soup else ()
    networks = (
        member
        for recipe in recipes or asked.recipes
        for member in (
            *(Member(recipe, seed, pseudo, pretrained, continued) for seed in seeds or asked.seeds),
            *([Member(recipe, 0, pseudo, pretrained, continued, mixed)] if soup else []),
        )
    )
    members = tuple(replace(one, refined=refined) for one in networks for refined in kinds)
    own_recipes = not recipes or recipes == asked.recipes
    own_seeds = not seeds or seeds == asked.seeds
    name = "main" if own_recipes else "+".join(recipes)
    name += "" if own_seeds else "+seed" + "-".join(map(str, seeds))
    name += "+soup" if soup else ""
    name += "" if pseudo == asked.pseudo else f"+{pseudo or 'no-pseudo'}"
    name += "" if pretrained else "+scratch"
    name += "" if continued is None else f"+from-{continued}"
    name += "" if chosen == tuple(sorted(every)) else "-folds-" + "-".join(map(str, chosen))
    return Entry(name, members, chosen)


def _soup_of(seeds: tuple[int, ...], folds: tuple[int, ...]) -> tuple[int, ...]:
    """The seeds in order; InputFault where there is nothing to mix, or nothing to choose by."""
    different = tuple(sorted(set(seeds)))
    if len(different) < 2:
        raise InputFault(
            f"a soup is of two seeds or more and there is only {different[0]}; "
            "give `--seed 0 --seed 1`, or seeds in [ensemble]"
        )
    if len(folds) < 2:
        raise InputFault(
            f"a soup's seeds are chosen for each fold by the scores of the others, and fold {folds[0]} "
            "is the only one; give two folds or more"
        )
    return different


def _refuse_unknown_folds(folds: tuple[int, ...], competition: Competition) -> None:
    unknown = [fold for fold in folds if not 0 <= fold < competition.split.folds]
    if unknown:
        raise InputFault(
            f"no fold {unknown[0]}; {competition.name} is split into folds 0 to "
            f"{competition.split.folds - 1}"
        )
