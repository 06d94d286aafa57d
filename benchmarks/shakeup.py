"""Does the Private score lie in the interval that was predicted for it? Many demos, one table.

Each seed is another generated competition: other people, other networks. Both of the demo's recipes are
trained on two folds for two thirds of the demo's iterations, on fewer than half of its people.
"""

from dataclasses import dataclass
from pathlib import Path

from competition import steps
from competition.demo import demo_toml, make_demo
from competition.entry import entry_of
from competition.leaderboard import Standing, read_leaderboard
from competition.machine import ask
from competition.project import Project
from competition.solution import score_file

PEOPLE, TEST_PEOPLE, PIXELS = 20, 30, 96
"""Of each demo: two images a person; 9 of the test people are Public, 21 Private."""

EXAMPLES = 400


@dataclass(frozen=True)
class Outcome:
    """A submission of one seed: what was expected of it and what came."""

    seed: int
    standing: Standing

    @property
    def inside(self) -> bool:
        expected, private = self.standing.expected, self.standing.private
        assert expected is not None and private is not None  # both were written and scored
        return expected.low <= private.value <= expected.high


def run(seeds: int, work: Path) -> None:
    """Print the table of the tuned ensembles, and how often each kind of submission was inside."""
    ask("workers", "0")
    outcomes = [outcome for seed in range(seeds) for outcome in outcomes_of(seed, work)]
    print(table(outcomes))


def outcomes_of(seed: int, work: Path) -> list[Outcome]:
    """Everything from the seed's data to the scores of its submissions; what is fresh is skipped."""
    project = demo_of(seed, work)
    spec = project.competition
    main = entry_of(spec)
    steps.make_split(project)
    steps.train_entry(project, main)
    steps.predict_entry(project, main)
    steps.score_ensemble(project, main)
    steps.tune_entry(project, main)
    written = [steps.submit_entry(project, main), steps.submit_entry(project, main, plain=True)]
    for recipe in spec.ensemble.recipes:
        alone = entry_of(spec, recipes=(recipe,))
        steps.score_ensemble(project, alone)
        written.append(steps.submit_entry(project, alone, plain=True))
    for csv in written:
        score_file(spec, csv, spec.root / "solution.csv", project.sizes)
    board = read_leaderboard(project.workspace.submissions, project.metric_sums, spec.classes)
    return [Outcome(seed, standing) for standing in board.standings]


def demo_of(seed: int, work: Path) -> Project:
    """The project of one seed's demo below `work`, written where it is not there."""
    name = f"shakeup-{seed}"
    root = work / name
    data = root / "data"
    if not (data / "competition.toml").exists():
        make_demo(data, seed=seed, people=PEOPLE, test_people=TEST_PEOPLE, size=PIXELS)
        text = demo_toml(name, examples=EXAMPLES)
        (data / "competition.toml").write_text(text, encoding="utf-8")
    return Project.open(data / "competition.toml", root)


def table(outcomes: list[Outcome]) -> str:
    """Markdown: a row a seed for the tuned ensemble, then the counts of all submissions."""
    names = (
        "seed",
        "out of fold",
        "shift",
        "expected Private",
        "Private",
        "inside",
        "Public − Private",
        "95 % of splits",
    )
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    lines += [_row(outcome) for outcome in outcomes if outcome.standing.name == "main"]
    names = dict.fromkeys(outcome.standing.name for outcome in outcomes)
    counts = {name: [o.inside for o in outcomes if o.standing.name == name] for name in names}
    said = ", ".join(f"{name} {sum(found)} of {len(found)}" for name, found in counts.items())
    return "\n".join([*lines, "", f"Private inside its interval: {said}."])


def _row(outcome: Outcome) -> str:
    found, expected = outcome.standing, outcome.standing.expected
    out_of_fold, public, private = found.out_of_fold, found.public, found.private
    assert expected is not None and out_of_fold is not None
    assert public is not None and private is not None
    apart = public.value - private.value
    return (
        f"| {outcome.seed} | {out_of_fold.value:.4f} | {expected.shift:+.4f} ± "
        f"{expected.shift_error:.4f} | {expected} | {private.value:.4f} "
        f"| {'yes' if outcome.inside else 'no'} | {apart:+.4f} | ± {expected.spread:.4f} |"
    )
