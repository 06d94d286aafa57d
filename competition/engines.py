"""Engines: what carries out the steps that `podium run GOAL` finds missing, one command after another.

An engine is a function of a command's words. To add one (a cluster's queue, another machine), write it
here and name it in `ENGINES`; `podium run GOAL --engine NAME` takes it.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from queue import Queue
from typing import Any, NamedTuple

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


RUNNING: list[subprocess.Popen[Any]] = []
"""The steps that are waited for."""


def run_step(words: CommandWords, *, stdout: Any = None) -> None:
    """Echo and run one command; StepFailed where it does not end well.

    The echo goes to stderr, so that stdout is the step's own; stdout: where that goes (None: on).
    """
    print(f"$ {with_asked(words)}", file=sys.stderr, flush=True)
    with _begun(words, stdout=stdout) as process:
        try:
            code = process.wait()
        except BaseException:
            # It unwinds by itself and leaves nothing half-written; leaving this block waits for it.
            process.terminate()
            raise
    if code:
        raise StepFailed(words, code)


def run_together(jobs: Sequence["Job"], shares: Sequence[Mapping[str, str]]) -> None:
    """Run commands side by side, as many at a time as there are shares of the machine; StepFailed of the
    first that does not end well: those that have begun end, no other one begins.

    shares: variables by which each is asked for its part. Every line that a command prints comes to
    stderr behind its name.
    """
    free: Queue[Mapping[str, str]] = Queue()
    for share in shares:
        free.put(share)

    def run(job: Job) -> None:
        share = free.get()
        try:
            _run_beside(job, share)
        finally:
            free.put(share)

    with ThreadPoolExecutor(len(shares)) as pool:
        futures = [pool.submit(run, job) for job in jobs]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:
            for process in [*RUNNING]:
                process.terminate()
            raise
        finally:
            for future in futures:
                future.cancel()
    for future in futures:
        if not future.cancelled():
            future.result()


class Job(NamedTuple):
    """A command of several, with the name that stands before its lines."""

    name: str
    words: CommandWords


def _run_beside(job: Job, share: Mapping[str, str]) -> None:
    asked = "".join(f"{name}={value} " for name, value in share.items())

    def tell(line: str) -> None:
        sys.stderr.write(f"[{job.name}] {line}\n")  # at once: print writes the end of a line apart
        sys.stderr.flush()

    tell(f"$ {asked}{typed(job.words)}")
    with _begun(
        job.words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **share},
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout:
            tell(line.rstrip("\n"))
        code = process.wait()
    if code:
        raise StepFailed(job.words, code)


@contextmanager
def _begun(words: CommandWords, **options: Any) -> Generator[Any]:
    """The process of a command, among `RUNNING` in the block; options: of Popen."""
    command = [sys.executable, "-m", "competition", *words]
    with subprocess.Popen(command, **options) as process:
        RUNNING.append(process)
        try:
            yield process
        finally:
            RUNNING.remove(process)


def show_step(words: CommandWords, *, stdout: Any = None) -> None:
    """Print the command instead of running it, for a script or a queue."""
    print(with_asked(words), flush=True)


Engine = Callable[..., None]
"""(words, *, stdout) carries out one command; stdout: where its output goes (None: to ours)."""

ENGINES: dict[str, Engine] = {"local": run_step, "show": show_step}
"""local: a process of its own on this machine; show: nothing is run."""
