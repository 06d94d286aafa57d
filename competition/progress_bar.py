"""Progress: one style of bar on a terminal, lines now and then in a file."""

import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 30.0
_LEAST_WIDTH, _USUAL_WIDTH = 20, 80


class Advance(Protocol):
    """Called as work is done: so many units more, and what to show beside the bar from now on."""

    def __call__(self, units: int = 1, note: str | None = None) -> None: ...


class Watch(Protocol):
    """(title, number of units) → a context whose value is called as units are done."""

    def __call__(self, title: str, units: int) -> AbstractContextManager[Advance]: ...


@contextmanager
def unwatched(title: str, units: int) -> Generator[Advance]:
    """No progress bar."""
    yield lambda units=1, note=None: None


def bars_on(console: Console) -> Watch:
    """Bars where the console is a terminal, with lines printed meanwhile above them; else lines, so
    that a log file or a notebook shows that and how fast the work goes on.

    A terminal that does not know its width, as some under a remote shell, is taken for a usual one:
    rich would print nothing at all on it.
    """
    if not console.is_terminal:
        return lambda title, units: _lines(console, title, units)
    if console.width < _LEAST_WIDTH:
        console.width = _USUAL_WIDTH
    return lambda title, units: _bar(console, title, units)


@contextmanager
def _bar(console: Console, title: str, units: int) -> Generator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=units, note="")

        def advance(units: int = 1, note: str | None = None) -> None:
            shown: dict[str, Any] = {} if note is None else {"note": note}
            progress.update(task, advance=units, **shown)

        yield advance


@contextmanager
def _lines(console: Console, title: str, units: int) -> Generator[Advance]:
    """A line every `SECONDS_BETWEEN_LINES`: none at all for work that takes less."""
    begun = said = time.monotonic()
    total, done, before = units, 0, None

    def advance(units: int = 1, note: str | None = None) -> None:
        nonlocal said, done, before
        if before is None:
            before = max(0, units - 1)  # a run that goes on: not done now
        done += units
        now = time.monotonic()
        if now - said < SECONDS_BETWEEN_LINES or not before < done < total:
            return
        said = now
        left = duration((now - begun) / (done - before) * (total - done))
        words = f"{title}: {done}/{total}, {left} left" + (f"  {note}" if note else "")
        console.print(words, markup=False, highlight=False, soft_wrap=True)

    yield advance


def duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> duration(59.6), duration(125), duration(7384)
    ('1:00', '2:05', '2:03:04')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
