"""The list of all submissions, the best out of fold first, and how far its order is to be trusted."""

import csv
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError
from rich.text import Text

from competition.errors import InputFault
from competition.evaluation.groups import read_group_sums
from competition.evaluation.metric_sums import MetricSums, Score
from competition.evaluation.part_differences import unlike_text
from competition.evaluation.private_interval import PrivateInterval, RankedSums, ranking
from competition.solution import read_score
from competition.submission import evidence_path, read_receipt
from competition.text_table import WIDTH, rendered, text_table
from competition.workspace import file_sha256, whole_file

SCORES = ("submission", "out of fold", "expected\nPrivate", "Public", "Private")
Kept = TypeVar("Kept", Score, PrivateInterval)
MOST_RANKED = 12
"""Submissions, the best ones, whose order is judged in the text."""


@dataclass(frozen=True)
class Standing:
    """One submission: its out-of-fold score, what Private is expected to be, and, where it was
    scored, Public and Private. kept: the steps of `tune` that it is made with; empty: the out-of-fold
    score of masks that are all empty; beside: what that and the sample score on each board.
    """

    name: str
    members: tuple[str, ...]
    kept: tuple[str, ...]
    out_of_fold: Score | None
    images: int | None
    expected: PrivateInterval | None
    public: Score | None
    private: Score | None
    empty: Score | None = None
    beside: Mapping[str, Mapping[str, Score]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """For programs; null where a score is not known."""
        scores = {
            "out_of_fold": self.out_of_fold,
            "expected_private": self.expected,
            "public": self.public,
            "private": self.private,
            "empty_out_of_fold": self.empty,
        }
        known = {key: None if s is None else s.model_dump(mode="json") for key, s in scores.items()}
        return {
            "name": self.name,
            "members": list(self.members),
            "kept": list(self.kept),
            "images": self.images,
            **known,
            "beside": {
                what: {name: score.model_dump(mode="json") for name, score in scores.items()}
                for what, scores in self.beside.items()
            },
        }


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """Submissions, the best out of fold first: what may be chosen by before the end.

    order: float64 (S, S), how probably each is better than each other, NaN where unknown.
    """

    standings: tuple[Standing, ...]
    order: np.ndarray

    def text(self) -> str:
        """For a terminal of WIDTH columns: scores, what each is made of, spread, order."""
        if not self.standings:
            return "no submission yet; `python -m competition submit` writes one"
        table = text_table("#", *SCORES, folded="submission")
        for place, s in enumerate(self.standings, start=1):
            scores = (s.out_of_fold, s.expected, s.public, s.private)
            table.add_row(str(place), Text(s.name), *map(_in_two_lines, scores))
        parts = [rendered(table, width=WIDTH), *self._beside(), self._made_of()]
        parts += [*self._spread(), *self._unlike(), *self._ranking()]
        return "\n\n".join(parts)

    def document(self) -> dict[str, Any]:
        """For programs: the submissions, and how probably each is better than each other."""
        order = [[None if np.isnan(p) else float(p) for p in row] for row in self.order]
        rows = [one.document() for one in self.standings]
        return {"submissions": rows, "better_than": order}

    def write_csv(self, path: Path) -> None:
        """For spreadsheets: what would be read as a formula is made text."""
        with whole_file(path) as file:
            scores = ("out of fold", "images", "expected Private", "Public", "Private")
            nothing = "an empty submission out of fold"
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("#", "submission", "members", "kept", *scores, nothing))
            for place, s in enumerate(self.standings, start=1):
                made_of = ", ".join(s.members), ", ".join(s.kept) or "–"
                values = (s.out_of_fold, s.images, s.expected, s.public, s.private, s.empty)
                cells = (str(place), s.name, *made_of, *map(_shown, values))
                writer.writerow(map(neutralised, cells))

    def _made_of(self) -> str:
        """The members of each, and the steps of `tune` that it is made with."""
        lines = []
        for place, s in enumerate(self.standings, start=1):
            parts = [f"members: {', '.join(s.members) or '–'}"]
            parts += [f"{s.images} images out of fold"] if s.images is not None else []
            parts += [] if s.empty is None else [f"an empty submission {s.empty.value:.4f} there"]
            parts += [f"kept: {', '.join(s.kept)}"] if s.kept else []
            lines.append(_filled(f"#{place} {s.name}; {'; '.join(parts)}"))
        return "\n".join(lines)

    def _beside(self) -> list[str]:
        """What an empty submission and the sample score on the boards, once for each solution."""
        lines = [
            _filled(f"{what}: " + "  ".join(f"{name} {score}" for name, score in scores.items()))
            for s in self.standings
            for what, scores in s.beside.items()
        ]
        return ["\n".join(dict.fromkeys(lines))] if lines else []

    def _spread(self) -> list[str]:
        """How far Public may lie from Private by the split alone."""
        known = [(s.name, s.expected) for s in self.standings if s.expected is not None]
        if not known:
            return []
        name, first = known[0]
        split = f"{first.public_groups} and {first.private_groups} groups like this one"
        return [
            _filled(
                f"Public and Private of {name} differ by up to {first.spread:.4f} in 95 % of splits "
                f"into {split}"
            )
        ]

    def _unlike(self) -> list[str]:
        """Where the test images are unlike those that the scores are of."""
        known = [s.expected.differs for s in self.standings if s.expected and s.expected.differs]
        return [_filled(f"warning: {unlike_text(known[0])}")] if known else []

    def _ranking(self) -> list[str]:
        """How probably each is better than those below it."""
        shown = min(MOST_RANKED, len(self.standings))
        order = self.order[:shown, :shown]
        if np.isnan(order).all():
            return []
        table = text_table("better than", *(f"#{place}" for place in range(2, shown + 1)))
        for place, row in enumerate(order[:-1]):
            below = [_percent(p) if column > place else "" for column, p in enumerate(row)]
            table.add_row(f"#{place + 1}", *below[1:])
        title = "how probably, in percent, from the same groups out of fold:"
        return [f"{title}\n{rendered(table, width=WIDTH)}"]


def read_leaderboard(
    folder: Path, metric_sums: MetricSums, classes: tuple[str, ...]
) -> Leaderboard:
    """Every finished submission of a folder; those without an out-of-fold score stand last."""
    found = [(path, read_receipt(path)) for path in sorted(folder.glob("*.csv"))]
    finished = {path: receipt for path, receipt in found if receipt is not None}
    standings = {path: _standing(path, receipt) for path, receipt in finished.items()}
    paths = sorted(standings, key=lambda path: _rank(standings[path], metric_sums.sign))
    known = {}
    for place, path in enumerate(paths):
        found_sums = _ranked_sums(path, finished[path], classes)
        if found_sums is not None:
            known[place] = found_sums
    order = np.full((len(paths), len(paths)), np.nan)
    places = list(known)
    order[np.ix_(places, places)] = ranking(list(known.values()), metric_sums)
    return Leaderboard(tuple(standings[path] for path in paths), order)


def neutralised(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula.

    >>> neutralised("=HYPERLINK(1)"), neutralised("0.71")
    ("'=HYPERLINK(1)", '0.71')
    """
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _standing(path: Path, receipt: Mapping[str, Any]) -> Standing:
    expected, scored = receipt.get("out of fold"), read_score(path)
    boards = {} if scored is None else {name: one.score for name, one in scored.parts.items()}
    return Standing(
        name=path.stem,
        members=_names(receipt.get("members")),
        kept=_names(receipt.get("kept")),
        out_of_fold=_from_receipt(Score, expected, path),
        images=None if expected is None else expected.get("images"),
        expected=_from_receipt(PrivateInterval, receipt.get("expected private"), path),
        public=boards.get("Public"),
        private=boards.get("Private"),
        empty=_from_receipt(Score, receipt.get("empty submission"), path),
        beside={} if scored is None else scored.beside(),
    )


def _names(found: Any) -> tuple[str, ...]:
    return tuple(map(str, found)) if isinstance(found, list | dict) else ()


def _from_receipt(kind: type[Kept], found: Any, path: Path) -> Kept | None:
    """What a receipt says beside other things; None where it says nothing."""
    if found is None:
        return None
    try:
        return kind.model_validate({key: found[key] for key in kind.model_fields if key in found})
    except (TypeError, ValidationError) as error:
        raise InputFault(f"the receipt of {path} has no {kind.__name__}: {found!r}") from error


def _ranked_sums(
    path: Path, receipt: Mapping[str, Any], classes: tuple[str, ...]
) -> RankedSums | None:
    """The out-of-fold sums that the receipt names; None where there are none, or others."""
    named, lying = receipt.get("evidence"), evidence_path(path)
    if named is None or not lying.exists() or file_sha256(lying) != named.get("sha256"):
        return None
    return RankedSums(read_group_sums(lying, classes), named.get("parts"))


def _rank(standing: Standing, sign: int) -> tuple[bool, float, str]:
    score = standing.out_of_fold
    return score is None, 0.0 if score is None else -sign * score.value, standing.name


def _shown(value: object) -> str:
    return "–" if value is None else str(value)


def _percent(probability: float) -> str:
    return "–" if np.isnan(probability) else f"{100 * probability:.0f}"


def _in_two_lines(score: Score | PrivateInterval | None) -> str:
    """The value, and below it its interval: four of these and a name stand side by side."""
    if score is None:
        return "–"
    return f"{score.value:.4f}" + (
        "" if score.low is None else f"\n{score.low:.4f}–{score.high:.4f}"
    )


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="   ", break_on_hyphens=False)
