"""A value of the competition file with where it comes from, and what labels of a download settle."""

from dataclasses import dataclass
from typing import Any, Literal

from competition.new.survey import Place, Table, Way
from competition.spec import OPEN

Basis = Literal["found", "proven", "asked", "chosen"]
"""found: read off the data; proven: a comparison speaks for it; asked: an answer, or a marked line that
waits for one; chosen: nothing the organisers fix, or what is usual, for you to change."""


@dataclass(frozen=True)
class FoundValue:
    """The value of a key, where it comes from, and why it is that."""

    value: Any
    origin: Basis
    why: str
    candidates: tuple[str, ...] = ()
    """Of a question, as the file has them; the first one is `value`."""
    marked: bool = True
    """Whether an unanswered question stops what follows; else the first candidate is taken, and said."""
    files: tuple[str, ...] = ()
    """Csv files and lists of classes, below the root, that it was read off."""

    @property
    def is_open(self) -> bool:
        return bool(self.candidates) and self.marked

    @property
    def written(self) -> Any:
        """As it stands in the file: a marked line while it is open."""
        return OPEN + " | ".join(self.candidates) if self.is_open else self.value

    def answered(self, answer: Any) -> "FoundValue":
        """With what a person said."""
        return FoundValue(answer, "asked", "as you said", files=self.files)


FoundValues = dict[str, FoundValue]
"""By dotted key of the competition file."""


@dataclass(frozen=True)
class Source:
    """A way in which images are labelled: its images, and the keys that it settles.

    labelled: paths of images that have labels, as far as file names tell; used: what it was made of;
    table: its csv, where it is one, and way: how that names images (see `WAYS`).
    """

    kind: str
    images: Place
    values: FoundValues
    labelled: frozenset[str]
    used: tuple[str, ...]
    table: Table | None = None
    way: Way | None = None
