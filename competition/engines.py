"""Engines: what carries out the steps that `podium run GOAL` finds missing, one command after another.

An engine is a function of a command's words. To add one (a cluster's queue, another machine), write it
here and name it in `ENGINES`; `podium run GOAL --engine NAME` takes it.
"""

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from competition.errors import PodiumError
from competition.machine import asked_for

CommandWords = Sequence[str]
"""What stands behind `python -m competition`: a command and its options."""


class StepFailed(PodiumError):
    """A step's process ended with an error, which it told itself; `exit_code` is the step's."""

    def __init__(self, words: CommandWords, code: int) -> None:
        super().__init__(f"{typed(words)} ended with exit code {code}; it said why above")
        self.exit_code = code if code > 0 else 128 - code  # a negative one is the signal's number


def typed(words: CommandWords) -> str:
    """As it is typed.

    >>> typed(["train", "--recipe", "my unet"])
    "python -m competition train --recipe 'my unet'"
    """
    return shlex.join(["python", "-m", "competition", *words])


def with_asked(words: CommandWords) -> str:
    """As it is typed with what the machine is asked for."""
    asked = "".join(f"{name}={shlex.quote(value)} " for name, value in asked_for().items())
    return asked + typed(words)


RUNNING: list[subprocess.Popen[bytes]] = []
"""The step that `run_step` waits for."""


def run_step(words: CommandWords, *, stdout: Any = None) -> None:
    """Echo and run one command; StepFailed where it does not end well.

    The echo goes to stderr, so that stdout is the step's own; stdout: where that goes (None: on).
    """
    print(f"$ {with_asked(words)}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "competition", *words]
    with subprocess.Popen(command, stdout=stdout) as process:
        RUNNING.append(process)
        try:
            code = process.wait()
        except BaseException:
            # It unwinds by itself and leaves nothing half-written; leaving this block waits for it.
            process.terminate()
            raise
        finally:
            RUNNING.remove(process)
    if code:
        raise StepFailed(words, code)


def show_step(words: CommandWords, *, stdout: Any = None) -> None:
    """Print the command instead of running it, for a script or a queue."""
    print(with_asked(words), flush=True)


Engine = Callable[..., None]
"""(words, *, stdout) carries out one command; stdout: where its output goes (None: to ours)."""

ENGINES: dict[str, Engine] = {"local": run_step, "show": show_step}
"""local: a process of its own on this machine; show: nothing is run."""
