"""Short names: every command of the package is a task, with the same options.

A task whose command has something before it runs `podium run GOAL`, which makes what is missing and
echoes each step; the others run the command. What a task takes is read off its command, so the two
cannot come to differ.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from invoke import Collection, Context, Exit, Task, task
from invoke.parser import Argument
from typer.main import get_group

from competition.__main__ import main, print_anywhere
from competition.cli import app
from competition.cli.run import run
from competition.cli.words import long_name, words_of
from competition.machine import usable_cpus


class WordsOrOptions(Argument):
    """A list whose first value may be a bare word: invoke takes one for an argument without value."""

    def __init__(self, name: str, help: str) -> None:
        super().__init__(names=(name,), kind=list, help=help, positional=True)

    @property
    def value(self) -> list[str] | None:
        return self._value or None

    @value.setter
    def value(self, word: str) -> None:
        self._value, self.raw_value = [*(self._value or []), word], word


class CommandTask(Task):
    """A command as a task. Values stay texts: the command itself checks and converts them."""

    def __init__(self, name: str, command: Any, words: list[str]) -> None:
        parameters = [one for one in command.params if _is_shown(one)]

        def body(context: Context, **given: Any) -> None:
            values = {one.name: given.get(_name(one)) for one in parameters}
            code = main([*words, name, *words_of(parameters, values)])
            if code:
                raise Exit(code=code)

        body.__doc__ = command.help
        super().__init__(body, name=name, positional=())
        self.parameters = parameters

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """What invoke parses by."""
        lists = {one.metavar for one in self.parameters if one.nargs == -1}
        options = [one for one in self.parameters if one.nargs != -1]
        return [
            WordsOrOptions(_name(one), _help(one))
            if _name(one).upper() in lists
            else _argument(one)
            for one in options
        ]


def _argument(parameter: Any) -> Argument:
    kind = bool if _is_flag(parameter) else list if getattr(parameter, "multiple", False) else str
    spellings: list[str] = parameter.opts
    argument = Argument(
        names=[name.lstrip("-") for name in sorted(spellings, key=len, reverse=True)],
        kind=kind,
        default=parameter.default if kind is bool else None,
        help=_help(parameter),
        positional=parameter.param_type_name == "argument",
    )
    if kind is list:  # else invoke takes a bare `--fold` at the end for one with a value
        argument.raw_value = None
    return argument


def _name(parameter: Any) -> str:
    return long_name(parameter).lstrip("-")


def _is_flag(parameter: Any) -> bool:
    return getattr(parameter, "is_flag", False)


def _is_shown(parameter: Any) -> bool:
    """Not `--help`, which invoke has, and no option that is kept for old scripts."""
    return not parameter.hidden and parameter.name != "help"


def _help(parameter: Any) -> str:
    """The command's help, with the default, which invoke does not tell."""
    told = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    if parameter.required:
        return f"{parameter.help} [required]"
    if told in (None, "") or isinstance(told, bool):
        return parameter.help
    return f"{parameter.help} [default: {told}]"


@task(help={"long": "also the slow tests: fuzzing, kill loops, properties"})
def test(c: Context, long: bool = False) -> None:
    """Run the tests."""
    chosen = [] if long else ["-m", "not long"]
    processes = ["-n", str(min(4, usable_cpus())), "--dist=loadfile"]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # processes that each thread would wait in turn
    code = _module("pytest", *processes, *chosen)
    if code:
        raise Exit(code=code)


CHECKS = (("ruff", "check"), ("ruff", "format", "--check"), ("ty", "check", "--python", sys.prefix))


@task
def lint(c: Context) -> None:
    """Check rules, layout and types of the code: ruff and ty."""
    failed = [" ".join(check[:2]) for check in CHECKS if _module(*check)]
    if failed:  # after all three, so that one call tells everything
        raise Exit(f"failed: {', '.join(failed)}", code=1)


def _module(*words: str) -> int:
    """The exit code of a module of the project's environment, run in the project's folder."""
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=Path(__file__).parent, check=False).returncode


def _tasks() -> list[Task]:
    """In the order of the commands."""
    commands, goals = dict(get_group(app).commands), get_group(run).commands
    del commands["run"]
    return [
        CommandTask(name, goals[name], ["run"]) if name in goals else CommandTask(name, command, [])
        for name, command in commands.items()
    ]


print_anywhere()  # for invoke's own lists and help
ns = Collection(*_tasks(), lint, test)
