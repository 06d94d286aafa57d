"""What the doctor says: errors that stop, warnings that do not, and the facts it found."""

from dataclasses import dataclass
from typing import Any, Self

from competition.errors import listed


@dataclass(frozen=True)
class Report:
    """Findings of one check, or of several added together; each finding is one line or more."""

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    found: tuple[tuple[str, str], ...] = ()
    """(what, value), for example ("sizes", "512 × 512: 425")."""

    @classmethod
    def error(cls, text: str) -> Self:
        return cls(errors=(text,))

    @classmethod
    def warning(cls, text: str) -> Self:
        return cls(warnings=(text,))

    @classmethod
    def fact(cls, what: str, value: str) -> Self:
        return cls(found=((what, value),))

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.errors + other.errors, self.warnings + other.warnings, self.found + other.found
        )

    def document(self) -> dict[str, Any]:
        """All findings for programs, not the first ten of each."""
        found = [{"what": what, "value": value} for what, value in self.found]
        return {"errors": list(self.errors), "warnings": list(self.warnings), "found": found}

    def text(self) -> str:
        """The facts as a table, then warnings and errors, the first ten of each."""
        width = max((len(what) for what, _ in self.found), default=0)
        lines = [f"{what:<{width}}  {value}" for what, value in self.found]
        lines += _marked("warning", self.warnings) + _marked("error", self.errors)
        lines.append(f"errors: {len(self.errors)}, warnings: {len(self.warnings)}")
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


def _marked(kind: str, findings: tuple[str, ...]) -> list[str]:
    return listed([f"{kind}: {finding}" for finding in findings]).splitlines() if findings else []
