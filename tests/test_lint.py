"""The task lint: which checks it starts, and that they look at every folder of code."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from invoke import Context, Exit

import tasks

ROOT = Path(__file__).parents[1]
FILES = [
    ROOT / "inv",
    *ROOT.glob("*.py"),
    *(path for first in ROOT.glob("[a-z]*/*.py") for path in first.parent.rglob("*.py")),
]
CHECKS = [["ruff", "check"], ["ruff", "format", "--check"], ["ty", "check"]]


@pytest.fixture
def started(monkeypatch):
    """Stands for the checks: notes what is started; the one that is asked to fails."""

    def arrange(failing=None):
        commands = []

        def recorded(command, *, cwd, check):
            assert not check
            commands.append((command, cwd))
            failed = failing is not None and command[2 : 2 + len(failing)] == failing
            return subprocess.CompletedProcess(command, int(failed))

        monkeypatch.setattr(tasks.subprocess, "run", recorded)
        return commands

    return arrange


def test_lint_runs_ruff_and_ty_of_this_environment_in_the_projects_folder(started):
    commands = started()
    tasks.ns["lint"](Context())
    for (command, folder), words in zip(commands, CHECKS, strict=True):
        assert (command[:2], folder) == ([sys.executable, "-m"], ROOT)
        assert command[2:][: len(words)] == words
    assert commands[-1][0][-2:] == ["--python", sys.prefix]


@pytest.mark.parametrize("failing", CHECKS, ids=" ".join)
def test_one_failing_check_fails_lint_and_the_others_still_run(failing, started):
    commands = started(failing)
    with pytest.raises(Exit, match=" ".join(failing[:2])) as ended:
        tasks.ns["lint"](Context())
    assert ended.value.code and len(commands) == len(CHECKS)


def test_everything_but_tests_is_checked_for_types():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    checked = settings["tool"]["ty"]["src"]["include"]
    code = {path.relative_to(ROOT).parts[0] for path in FILES}
    assert {*checked} == code - {"tests"} and "tests" in code
    assert settings["tool"]["ty"]["environment"]["python-version"] == "3.11"


def test_ruff_looks_at_every_file_of_code():
    shown = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--show-files"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {*FILES} <= {Path(line) for line in shown.stdout.splitlines()}
