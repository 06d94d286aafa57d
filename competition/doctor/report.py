"""What the doctor says: errors that stop, warnings that do not, and the facts it found."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self, get_args

from competition.errors import listed

Kind = Literal[
    "files",
    "labels",
    "order",
    "sample",
    "folds",
    "groups",
    "copies",
    "depth",
    "overlap",
    "objects",
    "outlines",
    "inverted masks",
    "smeared masks",
    "mirroring",
    "classes",
    "ignored pixels",
    "recipe size",
    "test part",
    "plain images",
    "look-alikes",
]
"""What a finding is about, in the order that they are told: the dearest to overlook first."""


class Diagnosis(NamedTuple):
    """One line or more: what, where, the evidence, and the key that mends it."""

    kind: Kind
    text: str
    images: tuple[str, ...] = ()
    """Ids of those that are worth looking at."""


@dataclass(frozen=True)
class Report:
    """Findings of one check, or of several added together."""

    wrong: tuple[Diagnosis, ...] = ()
    doubtful: tuple[Diagnosis, ...] = ()
    found: tuple[tuple[str, str], ...] = ()
    """(what, value), for example ("sizes", "512 × 512: 425")."""

    @classmethod
    def of(
        cls,
        kind: Kind,
        *,
        errors: Iterable[str] = (),
        warnings: Iterable[str] = (),
        found: Iterable[tuple[str, str]] = (),
    ) -> Self:
        """What a check of this kind says."""
        return cls(
            tuple(Diagnosis(kind, text) for text in errors),
            tuple(Diagnosis(kind, text) for text in warnings),
            tuple(found),
        )

    @classmethod
    def error(cls, kind: Kind, text: str) -> Self:
        return cls.of(kind, errors=[text])

    @classmethod
    def warning(cls, kind: Kind, text: str) -> Self:
        return cls.of(kind, warnings=[text])

    @classmethod
    def fact(cls, what: str, value: str) -> Self:
        return cls(found=((what, value),))

    @property
    def errors(self) -> tuple[str, ...]:
        return tuple(finding.text for finding in self.wrong)

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(finding.text for finding in self.doubtful)

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.wrong + other.wrong, self.doubtful + other.doubtful, self.found + other.found
        )

    def document(self) -> dict[str, Any]:
        """All findings for programs, not the first ten of each kind."""
        return {
            "errors": [finding._asdict() for finding in self.wrong],
            "warnings": [finding._asdict() for finding in self.doubtful],
            "found": [{"what": what, "value": value} for what, value in self.found],
        }

    def text(self, *, questions: int = 0) -> str:
        """The facts as a table, then errors and warnings by kind, the first ten of each kind.

        questions: how many the competition file has, which are told elsewhere.
        """
        width = max((len(what) for what, _ in self.found), default=0)
        lines = [f"{what:<{width}}  {value}" for what, value in self.found]
        lines += _by_kind("error", self.wrong) + _by_kind("warning", self.doubtful)
        asked = f", open questions: {questions} (above)" if questions else ""
        lines.append(f"errors: {len(self.wrong)}, warnings: {len(self.doubtful)}{asked}")
        return "\n".join(lines)


def shares(counts: dict[str, int], *, first: int = 6) -> str:
    """Counts in words, the largest first.

    >>> shares({"PNG": 2, "JPEG": 5})
    'JPEG: 5, PNG: 2'
    """
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{name}: {count}" for name, count in ordered[:first]]
    rest = ordered[first:]
    if rest:
        parts.append(f"{len(rest)} others: {sum(count for _, count in rest)}")
    return ", ".join(parts)


def _by_kind(level: str, findings: tuple[Diagnosis, ...]) -> list[str]:
    """No kind hides another, however many it has."""
    lines = []
    for kind in get_args(Kind):
        texts = [f"{level}: {finding.text}" for finding in findings if finding.kind == kind]
        lines += listed(texts, of=kind).splitlines() if texts else []
    return lines
