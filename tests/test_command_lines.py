"""Every command line that is shown anywhere is understood by the program that it is shown for."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_lines import COMMANDS, GOALS, ROOT, parse_command, parse_task
from invoke import Context

import tasks

LAUNCHERS = {
    "./inv": "task",
    "python inv": "task",
    "invoke": "task",
    "python -m competition": "command",
    ".venv/bin/python -m competition": "command",
    "podium": "command",
}
SHOWN = re.compile(rf"(?:[A-Z_]+=\S+ )*({'|'.join(map(re.escape, LAUNCHERS))}) +(\S.*)")
"""Perhaps with variables before it."""
SPAN = re.compile(r"`([^`]+)`")
PLACEHOLDERS = {"STEP": "doctor", "GOAL": "submit"}
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("*/README.md"),
    *ROOT.glob("competition/presets/*.toml"),
]
CODE = [
    ROOT / "tasks.py",
    ROOT / "inv",
    *ROOT.glob("competition/**/*.py"),
    *ROOT.glob("benchmarks/*.py"),
]
NO_COMMANDS = {"podium checkpoint 2", "podium 1", "python -m competition 1"}
"""Texts that begin like a command and are none: a kind of file, a version, a name filled in."""


def texts_of(path: Path) -> Iterator[str]:
    """A page whole; of code every text, docstrings too, with 1 for each value that is filled in."""
    if path not in CODE:
        yield path.read_text(encoding="utf-8")
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = node.values
            yield "".join(p.value if isinstance(p, ast.Constant) else "1" for p in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def lines_in(text: str) -> Iterator[tuple[str, str]]:
    """(launcher, words) of each command in backticks, or on a line of its own."""
    prose = "\n".join(text.split("```")[::2])
    own_lines = [line.split("  #")[0] for line in text.splitlines() if "`" not in line]
    for shown in [*SPAN.findall(prose.replace("\n", " ")), *own_lines]:
        found = SHOWN.fullmatch(shown.strip().removeprefix("$ ").strip())
        if found and found[0] not in NO_COMMANDS:
            yield found[1], found[2]


def command_lines() -> list[tuple[str, str, str]]:
    return sorted(
        {
            (path.relative_to(ROOT).as_posix(), *found)
            for path in [*PAGES, *CODE]
            for text in texts_of(path)
            for found in lines_in(text)
        }
    )


def words_in(line: str) -> list[str]:
    """Its words, with something for what a person is to fill in."""
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line)]
    before = ["", *words]
    return [w for w, b in zip(words, before, strict=False) if w != "…" or b.startswith("-")]


def is_a_name(words: list[str]) -> bool:
    """`./inv new` in a sentence names the task; it is no line to type."""
    if words[0] == "run":
        return len(words) == 1 or (len(words) == 2 and words[1] in GOALS)
    return len(words) == 1 and words[0] in {*COMMANDS, *tasks.ns.tasks}


@pytest.mark.parametrize(("where", "launcher", "line"), command_lines())
def test_a_command_line_that_is_shown_is_understood(where, launcher, line, monkeypatch):
    words = words_in(line)
    if is_a_name(words) or words[0] in ("--list", "--help"):
        assert set(words[1:]) <= {*tasks.ns.tasks, *GOALS}
    elif LAUNCHERS[launcher] == "command":
        parse_command(words)
    else:
        passed = []
        monkeypatch.setattr(tasks, "main", lambda words: passed.append(words) or 0)
        asked = parse_task(words)
        if asked.name != "test":  # the one task that is no command
            tasks.ns[asked.name](Context(), **asked.as_kwargs)
            parse_command(*passed)


def test_no_command_line_escapes_the_search():
    """Pages show commands in backticks or on lines of their own, and nowhere else."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        shown = re.findall(
            r"(?:\./inv|python inv|python -m competition|\bpodium|\binvoke) +\S", text
        )
        assert len(list(lines_in(text))) == len(shown), path
    where = {where for where, _, _ in command_lines()}
    assert {
        "README.md",
        "docs/tuning.md",
        "competition/project.py",
        "competition/cli/run.py",
    } <= where


@pytest.mark.parametrize("line", ["trian", "train --flod 0", "score A.csv --solution"])
def test_a_line_that_is_not_understood_is_noticed(line):
    for parse in (parse_command, parse_task):
        with pytest.raises(Exception):  # noqa: B017, PT011  each parser has its own
            parse(shlex.split(line))


def test_every_goal_is_a_command():
    assert set(GOALS) <= set(COMMANDS)
