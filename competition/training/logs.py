"""Which tools a training is logged by, besides its history: asked for by `--log`, or by a variable that
processes begun by a command follow.

Nothing of such a tool is imported unless it is asked for.
"""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from competition.errors import InputFault, nearest

if TYPE_CHECKING:
    from competition.training.progress import EachRound

LOGS = ("tensorboard", "wandb", "mlflow", "trackio")
"""Each is the name of its package's module and of an extra of ours."""
LOG_VARIABLE = "PODIUM_LOG"


def ask_logs(names: Sequence[str]) -> None:
    """Ask for these, for this process and those that it begins; InputFault as `asked_logs`."""
    os.environ[LOG_VARIABLE] = ",".join(_checked(names))


def asked_logs() -> tuple[str, ...]:
    """The tools that this process is asked to log to, each once.

    InputFault for a name that none of them has, and for one that is not installed.
    """
    given = os.environ.get(LOG_VARIABLE, "")
    return _checked([name.strip() for name in given.split(",") if name.strip()])


def _checked(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in LOGS:
            raise InputFault(
                f"--log or {LOG_VARIABLE} is {name!r}; {nearest(name, LOGS, all_by='--help')}"
            )
        for package in (name, "lightning"):
            if importlib.util.find_spec(package) is None:
                raise InputFault(
                    f"--log {name} needs {package}: python -m pip install 'podium[{name}]'"
                )
    return tuple(dict.fromkeys(names))


class LoggedRun(NamedTuple):
    """One network that is trained. runs: the folder of all runs of the competition; folder: its own;
    settings: what it is trained with, plain values.
    """

    competition: str
    member: str
    fold: int
    runs: Path
    folder: Path
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.member} fold {self.fold}"


def logging_of(names: Sequence[str], run: LoggedRun) -> AbstractContextManager["EachRound"]:
    """What is to be told the history as it grows, in a block of its own; names: of `LOGS`."""
    if not names:
        return nullcontext(_unlogged)
    from competition.training.loggers import logged

    return logged(names, run)


def _unlogged(rows: Sequence[Any]) -> None:
    """No tool is asked for."""
