"""Progress for people: one style of bar on a terminal, and nothing where the output is a file."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LEAST_WIDTH, _USUAL_WIDTH = 20, 80


class Advance(Protocol):
    """Called as work is done: so many units more, and what to show beside the bar from now on."""

    def __call__(self, units: int = 1, note: str | None = None) -> None: ...


class Watch(Protocol):
    """(title, number of units) → a context whose value is called as units are done."""

    def __call__(self, title: str, units: int) -> AbstractContextManager[Advance]: ...


@contextmanager
def unwatched(title: str, units: int) -> Iterator[Advance]:
    """No progress bar."""
    yield lambda units=1, note=None: None


def bars_on(console: Console) -> Watch:
    """Bars on this console; lines printed meanwhile stand above them.

    A terminal that does not know its width, as some under a remote shell, is taken for a usual one:
    rich would print nothing at all on it.
    """
    if console.width < _LEAST_WIDTH:
        console.width = _USUAL_WIDTH
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )

    @contextmanager
    def watch(title: str, units: int) -> Iterator[Advance]:
        silent = not console.is_terminal
        with Progress(*columns, console=console, transient=True, disable=silent) as progress:
            task = progress.add_task(title, total=units, note="")

            def advance(units: int = 1, note: str | None = None) -> None:
                progress.update(task, advance=units, **({} if note is None else {"note": note}))

            yield advance

    return watch
