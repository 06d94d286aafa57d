"""The table of an ablation: what each trial scores, how it differs, and what its source published."""

import csv
import io
from dataclasses import dataclass
from typing import Any

from competition.evaluation.metric_sums import Score
from competition.evaluation.significance import Gain
from competition.recipes import Published

NOT_OURS = (
    "Published figures are those of the sources, on data that is not public; they are not ours, "
    "and ours are not comparable with them."
)


@dataclass(frozen=True)
class AblationRow:
    """One trial. validation: out of fold, mean over seeds; spread: deviation between seeds (None
    with one); public, private: means over seeds, None where nothing was scored; iterations: steps
    of one training; against: what it is compared with, None in the line that others are compared
    with.
    """

    what: str
    recipe: str
    validation: Score
    spread: float | None
    public: float | None
    private: float | None
    iterations: int
    against: str | None
    difference: Gain | None
    published: Published

    def verdict(self) -> str:
        """Whether the difference is larger than the noise, in a sentence; "" without one."""
        if self.difference is None:
            return ""
        size = "larger" if self.difference.significant else "not larger"
        return (
            f"{self.what} against {self.against}: {_between(self.difference)}, "
            f"{size} than the noise."
        )


@dataclass(frozen=True)
class AblationTable:
    """The lines of one ablation, and what they were measured on."""

    title: str
    competition: str
    metric: str
    images: int
    groups: int
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    rows: tuple[AblationRow, ...]
    empty: Score
    """Of masks that are all empty."""

    def markdown(self) -> str:
        """The table of the sources with differences and verdicts, as a page."""
        head = (
            "| what changed | Val | Public | Private | iterations | difference (95 %) | "
            "larger than the noise | published Val / Public / Private / iterations |"
        )
        rows = [f"| {' | '.join(_cells(line))} |" for line in self.rows]
        table = "\n".join([head, "|" + " --- |" * 8, *rows])
        verdicts = "\n".join(f"- {line.verdict()}" for line in self.rows if line.difference)
        title = f"# Ablation {self.title} on {self.competition}"
        return "\n\n".join([title, self.about(), table, f"{verdicts}\n"])

    def about(self) -> str:
        """What the figures are, and what noise the intervals hold."""
        seeds = "seed" if len(self.seeds) == 1 else "seeds"
        noise = (
            f"Differences are paired over {self.groups} groups; the interval holds the noise "
            "between groups of images alone: with one seed nothing is known of what another "
            "training of the same recipe would change."
            if len(self.seeds) == 1
            else f"Differences are paired over {self.groups} groups and {len(self.seeds)} seeds, "
            "and their intervals hold the noise of both."
        )
        folds, numbers = (", ".join(map(str, found)) for found in (self.folds, self.seeds))
        return (
            f"Val: {self.metric}, out of fold at native size and threshold 0.5, "
            f"{self.images} images of {self.groups} groups, folds {folds}, {seeds} {numbers}; "
            f"an empty submission scores {self.empty.value:.4f} there. "
            f"{noise} A difference counts as larger than the noise where its interval, widened for "
            f"the number of comparisons in the table, is free of 0. {NOT_OURS}"
        )

    def csv(self) -> str:
        """The same for spreadsheets, full figures, one line a trial."""
        rows = [_figures(line) for line in self.rows]
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def _figures(line: AblationRow) -> dict[str, Any]:
    """By column of the csv."""
    found, score, published = line.difference, line.validation, line.published
    return {
        "what": line.what,
        "recipe": line.recipe,
        "val": score.value,
        "val low": score.low,
        "val high": score.high,
        "val spread": line.spread,
        "public": line.public,
        "private": line.private,
        "iterations": line.iterations,
        "against": line.against,
        "difference": found and found.gain,
        "low": found and found.low,
        "high": found and found.high,
        "larger than the noise": found and found.significant,
        "published val": published.validation,
        "published public": published.public,
        "published private": published.private,
        "published iterations": published.iterations,
    }


def _cells(line: AblationRow) -> list[str]:
    spread = "" if line.spread is None else f" ± {line.spread:.4f}"
    found = line.difference
    return [
        line.what,
        f"{line.validation.value:.4f}{spread}",
        _figure(line.public),
        _figure(line.private),
        str(line.iterations),
        "–" if found is None else _between(found),
        "–" if found is None else "yes" if found.significant else "no",
        " / ".join([*map(_figure, line.published[:3]), str(line.published.iterations or "–")]),
    ]


def _between(found: Gain) -> str:
    return f"{found.gain:+z.4f} ({found.low:+z.4f} to {found.high:+z.4f})"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
