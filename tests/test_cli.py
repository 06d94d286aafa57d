"""The command line: what it says, what it refuses, and its exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from competition import __main__ as entrance
from competition.cli import app
from competition.errors import InputFault

ROOT = Path(__file__).parents[1]
ORDER = [
    "demo",
    "new",
    "doctor",
    "folds",
    "train",
    "predict",
    "ensemble",
    "tune",
    "submit",
    "holdout",
    "pseudo",
    "score",
    "vote",
    "leaderboard",
    "status",
    "ablation",
    "models",
    "export",
]


def run(*words):
    return CliRunner().invoke(app, list(words))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Commands work in the current folder; tests leave the project's own alone."""
    monkeypatch.chdir(tmp_path)


def test_help_lists_the_steps_in_pipeline_order():
    text = run("--help").output
    places = [text.index(f" {name} ") for name in ORDER]
    assert places == sorted(places)


@pytest.mark.parametrize("command", ORDER)
def test_every_command_explains_itself(command):
    result = run(command, "--help")
    assert result.exit_code == 0 and "Usage" in result.output


def test_folds_then_status_from_the_command_line(tiny_data):
    file = str(tiny_data / "competition.toml")
    before = run("status", "-c", file).output
    assert "missing folds" in before.replace("  ", " ") and "train tiny fold 1" in before
    assert "images" in run("folds", "-c", file).output
    assert "fresh   folds" in run("status", "-c", file).output


def test_the_doctor_passes_the_tiny_competition_and_checks_a_csv(tiny_data):
    file = str(tiny_data / "competition.toml")
    assert "errors: 0" in run("doctor", "-c", file).output
    sample = tiny_data / "sample_submission.csv"
    assert "every text legal" in run("doctor", "-c", file, "--csv", str(sample)).output
    short = Path("short.csv")
    short.write_text("\n".join(sample.read_text().splitlines()[:-1]) + "\n")
    fault = run("doctor", "-c", file, "--csv", str(short)).exception
    assert isinstance(fault, InputFault) and "short.csv" in str(fault)


def test_new_takes_values_that_the_preset_has_otherwise(tiny_data):
    words = ["new", "--preset", "hand-bone", "--data", str(tiny_data), "--set", "split.folds=3"]
    result = run(*words)
    assert result.exit_code == 0, result.exception
    assert "folds = 3" in Path("competition.toml").read_text()
    assert "split.folds=" not in str(run(*words).exception)
    assert "key=value" in str(run(*words, "--set", "nonsense").exception)


def test_a_mistyped_key_is_named_with_what_was_found(tiny_data):
    path = Path("wrong.toml")
    text = (tiny_data / "competition.toml").read_text()
    path.write_text(text.replace("[metric]", "[metric]\nepsilon = 3"))
    fault = run("folds", "-c", str(path)).exception
    assert isinstance(fault, InputFault)
    assert "wrong.toml: metric.epsilon: Extra inputs are not permitted; found 3" in str(fault)


def process(*words, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "competition", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )
    return done.returncode, done.stdout, done.stderr


def test_bad_input_is_one_message_and_code_2(tiny_data):
    code, _, errors = process("train", "-c", "nowhere.toml")
    assert (code, "Traceback" in errors) == (2, False)
    assert errors == (
        "error: no competition file 'nowhere.toml'; `python -m competition new` writes one\n"
    )


def test_without_a_file_and_without_the_demo_it_says_how_to_begin():
    code, _, errors = process("status")
    assert code == 2 and "python -m competition demo" in errors


def test_a_fold_that_the_split_lacks_is_refused(tiny_data):
    file = str(tiny_data / "competition.toml")
    fault = run("train", "-c", file, "--fold", "9").exception
    assert "no fold 9; demo is split into folds 0 to 1" in str(fault)


def test_memory_disk_and_dead_loaders_are_explained():
    assert "lower batch" in entrance._advice(MemoryError("x"))
    assert "--workers 0" in entrance._advice(RuntimeError("DataLoader worker (pid 7) is killed"))
    assert "No space left" in entrance._advice(OSError(28, "No space left on device", "a.csv"))
    assert entrance._advice(ValueError("a bug")) is None


def test_models_tells_the_size_of_the_logits_and_the_published_costs(tiny_data):
    text = run("models", "-c", str(tiny_data / "competition.toml")).output
    assert "tiny" in text and "64×64" in text
    assert "7.474" in run("models", "--published").output


def test_light_commands_do_not_import_torch():
    code = "import sys, competition.cli, competition.steps, competition.pipeline; "
    done = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.strip() == "False"
