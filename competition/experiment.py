"""One ablation on one competition: its trials, and the entries (a recipe and a seed each) of them."""

from dataclasses import dataclass
from pathlib import Path

from competition.entry import NO_ROUND, Entry, Member, entry_of
from competition.errors import InputFault
from competition.recipes import SUFFIX, VARIANT, Recipe, Trial, read_experiment, recipe_of
from competition.spec import Competition
from competition.workspace import Workspace

ROUND = "round1"
"""The pseudo round of trials with pseudo labels, where the competition file names none."""


@dataclass(frozen=True)
class AblationChoice:
    """Which ablation, and how it is run.

    full: the recipes themselves, not their twins for CPUs; variant: a `[variants.NAME]` table laid
    over all of them; folds, seeds: those of `[ensemble]` where empty.
    """

    name: str
    full: bool = False
    variant: str | None = None
    folds: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    pretrained: bool = True


@dataclass(frozen=True)
class Experiment:
    """`entries[t][s]` is what trial t trains with seed s; all have the same folds and seeds."""

    name: str
    trials: tuple[Trial, ...]
    entries: tuple[tuple[Entry, ...], ...]
    seeds: tuple[int, ...]

    @property
    def folds(self) -> tuple[int, ...]:
        return self.entries[0][0].folds

    @property
    def baselines(self) -> tuple[int, ...]:
        """The place of the trial that each one is compared with."""
        places = {trial.recipe: place for place, trial in reversed(list(enumerate(self.trials)))}
        return tuple(places[trial.against] if trial.against else 0 for trial in self.trials)

    def together(self) -> list[Entry]:
        """The same trainings as few entries, for commands that do many in one process.

        A command takes one pseudo round and one member to go on from for all of its recipes, so
        trials that differ in these stand apart; what is gone on from stands before.
        """
        alike: dict[tuple[str | None, str | None], list[Member]] = {}
        for row in self.entries:
            for member in (entry.members[0] for entry in row):
                alike.setdefault((member.pseudo, member.continued), []).append(member)
        return [Entry(self.name, tuple(members), self.folds) for members in alike.values()]

    def folder(self, workspace: Workspace) -> Path:
        return workspace.runs / "ablations"


def experiment_of(competition: Competition, choice: AblationChoice) -> Experiment:
    """The ablation that is asked for; InputFault where it does not exist or compares nothing."""
    ending = "" if choice.full else SUFFIX
    ending += "" if choice.variant is None else VARIANT + choice.variant
    trials = tuple(trial.renamed(ending) for trial in read_experiment(choice.name).trials)
    _refuse_equals(competition, trials)
    seeds = choice.seeds or competition.ensemble.seeds
    return Experiment(_title(choice), trials, _entries(competition, trials, seeds, choice), seeds)


def _title(choice: AblationChoice) -> str:
    """The name of its files: what was asked for beyond the competition file's own."""
    words = [choice.name]
    words += ["full"] if choice.full else []
    words += [choice.variant] if choice.variant else []
    words += [f"seed{'-'.join(map(str, choice.seeds))}"] if choice.seeds else []
    words += [f"folds-{'-'.join(map(str, choice.folds))}"] if choice.folds else []
    return "+".join([*words, *([] if choice.pretrained else ["scratch"])])


def _entries(
    competition: Competition,
    trials: tuple[Trial, ...],
    seeds: tuple[int, ...],
    choice: AblationChoice,
) -> tuple[tuple[Entry, ...], ...]:
    """By trial and seed. A continued trial goes on from its parent's member of the same seed."""
    own_round = competition.ensemble.pseudo or ROUND
    trained: dict[tuple[str, int], str] = {}
    rows = []
    for trial in trials:
        row = []
        for seed in seeds:
            entry = entry_of(
                competition,
                recipes=(trial.recipe,),
                folds=choice.folds,
                seeds=(seed,),
                pseudo=own_round if trial.pseudo else NO_ROUND,
                pretrained=choice.pretrained,
                continued=trained[trial.continued, seed] if trial.continued else None,
                may_refine=False,
            )
            trained.setdefault((trial.recipe, seed), str(entry.members[0]))
            row.append(entry)
        rows.append(tuple(row))
    return tuple(rows)


def _refuse_equals(competition: Competition, trials: tuple[Trial, ...]) -> None:
    """A variant may have set to one value what the trials differ in."""
    seen: dict[tuple[str, bool, str | None], Trial] = {}
    for trial in trials:
        recipe = recipe_of(competition, trial.recipe)
        content = _content(recipe), trial.pseudo, trial.continued
        if content in seen:
            raise InputFault(
                f"{trial.recipe!r} and {seen[content].recipe!r} are the same once the variant is "
                "laid over them; the variant must not set what the ablation compares"
            )
        seen[content] = trial


def _content(recipe: Recipe) -> str:
    return recipe.model_dump_json(exclude={"name", "about"})
