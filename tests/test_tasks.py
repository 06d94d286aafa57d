"""Tasks: thin names over commands that exist."""

import ast
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

sys.path.insert(0, str(Path(__file__).parents[1]))
import tasks
from competition.cli import app
from competition.entry import entry_of
from competition.pipeline import Pipeline

ROOT = Path(__file__).parents[1]
COMMANDS = typer.main.get_command(app).commands
NAMES = (
    "doctor",
    "folds",
    "train",
    "predict",
    "tune",
    "ensemble",
    "pseudo",
    "submit",
    "score",
    "leaderboard",
    "status",
    "demo",
    "test",
    "new",
    "ablation",
    "vote",
    "holdout",
)


def invoke(*words, cwd=ROOT):
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "--search-root", str(ROOT), *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def options(command):
    found = set()
    for parameter in COMMANDS[command].params:
        found |= {*parameter.opts, *parameter.secondary_opts}
    return found


def test_every_option_that_a_task_passes_exists_on_its_command():
    tree = ast.parse(inspect.getsource(tasks))
    passed = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"--[a-z-]+", node.value)
    }
    known = set().union(*(options(name) for name in COMMANDS))
    assert passed and passed <= known


def test_the_commands_that_a_goal_takes_are_commands(project):
    pipeline = Pipeline(project)
    stages = pipeline.stages("submit", entry_of(project.competition, pseudo="round1"), plain=True)
    for stage in stages:
        name, *words = stage.command
        assert {word for word in words if word.startswith("--")} <= options(name)


@pytest.mark.parametrize(
    ("task", "command", "own"),
    [
        (
            "train",
            "train",
            {
                "--competition",
                "--recipe",
                "--fold",
                "--pseudo",
                "--no-pretrained",
                "--continue-from",
                "--workers",
            },
        ),
        (
            "predict",
            "predict",
            {"--recipe", "--fold", "--pseudo", "--no-pretrained", "--continue-from"},
        ),
        ("submit", "submit", {"--recipe", "--fold", "--pseudo", "--no-pretrained", "--plain"}),
        ("pseudo", "pseudo", {"--round", "--from", "--confidence", "--no-pretrained"}),
        ("score", "score", {"--solution"}),
        (
            "ablation",
            "ablation",
            {
                "--name",
                "--competition",
                "--fold",
                "--seed",
                "--variant",
                "--full",
                "--no-pretrained",
            },
        ),
        ("new", "new", {"--preset", "--data", "--name", "--target", "--set"}),
    ],
)
def test_the_options_of_a_task_are_those_of_its_command(task, command, own):
    assert own <= options(command)
    assert task in NAMES


def test_every_task_of_the_readme_is_listed_with_help():
    code, text = invoke("--list")
    assert code == 0
    listed = set(re.findall(r"^  ([a-z]+) ", text, re.MULTILINE))
    assert listed == set(NAMES)
    readme = (ROOT / "README.md").read_text()
    used = {shlex.split(line)[0] for line in re.findall(r"\./inv ([a-z]+[^`\n]*)", readme)}
    assert used <= listed


@pytest.mark.parametrize("name", ["train", "submit", "pseudo"])
def test_a_task_explains_its_options(name):
    code, text = invoke("--help", name)
    assert code == 0 and "Docstring:" in text and "competition file" in text


def test_a_fold_that_is_no_number_is_refused_before_anything_runs(tiny_data, tmp_path):
    file = str(tiny_data / "competition.toml")
    code, text = invoke("train", "-c", file, "--fold", "x", cwd=tmp_path)
    assert code == 2 and "--fold ['x']: expected a number" in text
    assert not (tmp_path / "runs").exists()


def test_a_missing_competition_file_is_one_line_and_code_2(tmp_path):
    code, text = invoke("submit", "-c", "nowhere.toml", cwd=tmp_path)
    assert code == 2 and text.strip().startswith("error: no competition file 'nowhere.toml'")
    assert "Traceback" not in text
