"""Command lines taken through the real parsers, invoke's and click's, without doing anything."""

import contextlib
import sys
from pathlib import Path

import typer
from invoke.parser import Parser, ParserContext
from typer.main import get_command

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
import tasks  # noqa: E402  lies beside the tests' folder
from competition.cli import app  # noqa: E402

COMMANDS = dict(get_command(app).commands)
GOALS = COMMANDS.pop("run").commands
EXAMPLES: dict[str, list[str]] = {
    "new": ["--preset", "salt", "--data", "PATH", "--set", "metric.name=dice"],
    "train": ["-r", "tiny", "--fold", "0", "--fold", "1", "--no-pretrained", "--workers", "0"],
    "soup": ["--seed", "0", "--seed", "1"],
    "tune": ["--groups", "3"],
    "submit": ["--plain", "--force"],
    "report": ["--plain", "--force"],
    "pseudo": ["--round", "round2", "--measure", "margin", "--share", "0.8"],
    "verdict": ["--pseudo", "round2"],
    "export-labels": ["FOLDER", "--round", "round2", "--fold", "0", "--kind", "coco"],
    "score": ["A.csv", "--csv", "B.csv", "--solution", "S.csv"],
    "vote": ["--csv", "A.csv", "--csv", "B.csv", "-w", "2", "-w", "1"],
    "ablation": ["--name", "skips", "--variant", "quick", "--seed", "0", "--fold", "0"],
    "export": ["checkpoint.pt"],
}
"""Options for each command that needs some, and for some that only take them."""


def parse_command(words: list[str]) -> None:
    """click's usage error where `python -m competition` followed by these words is not understood."""
    command, words = get_command(app), list(words)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    known = {name for one in command.params for name in one.opts}
    if len(words) == 1 and words[0].endswith("-completion") and words[0] in known:
        return  # parsing these does them: they write to the shell's own files
    with contextlib.suppress(typer.Exit):  # --help and --version end here
        context = command.make_context("podium", list(words))
        if hasattr(command, "commands"):
            command.resolve_command(context, words)


def parse_task(words: list[str]) -> ParserContext:
    """What `./inv` followed by these words asks for; invoke's error where it does not understand."""
    (asked,) = Parser(contexts=tasks.ns.to_contexts()).parse_argv(words)
    return asked
