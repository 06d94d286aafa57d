"""The command line: what it says, what it refuses, and its exit codes."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from command_lines import COMMANDS, EXAMPLES, GOALS, ROOT
from typer.testing import CliRunner

from competition import __main__ as entrance
from competition.cli import app
from competition.errors import InputFault

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
WORK = {
    "demo": "data.demo.make_demo",
    "new": "new.new_competition",
    "doctor": "doctor.examine",
    "folds": "steps.split",
    "train": "steps.train_all",
    "predict": "steps.predict_all",
    "ensemble": "steps.weigh",
    "tune": "steps.tune",
    "submit": "steps.submit",
    "holdout": "steps.score_holdout",
    "pseudo": "steps.label_test_images",
    "score": "solution.score_file",
    "vote": "submission.write_vote",
    "leaderboard": "leaderboard.read_leaderboard",
    "status": "pipeline.states_text",
    "ablation": "steps.compare_trials",
    "models": "models.complexity.measure_recipe",
    "export": "export.export",
}
"""The function that does the work of each command."""
PATHS = [*([name] for name in COMMANDS), *(["run", name] for name in GOALS)]


VARIANT = """
[variants.quick]
batch = 4
"""


def run(*words):
    return CliRunner().invoke(app, list(words))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Commands work in the current folder; tests leave the project's own alone."""
    monkeypatch.chdir(tmp_path)


def test_help_lists_the_steps_in_pipeline_order():
    text = run("--help").output
    places = [text.index(f" {name} ") for name in ORDER]
    assert places == sorted(places) and list(COMMANDS) == ORDER


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_explains_itself_and_every_option_in_full(path):
    """rich took everything in square brackets for its markup: defaults, [variants.NAME]."""
    command = (GOALS if path[0] == "run" else COMMANDS)[path[-1]]
    told = "".join(run(*path, "--help").output.split())
    assert "".join(command.help.split()) in told
    options = [one for one in command.params if not getattr(one, "hidden", False)]
    assert options
    for option in options:
        assert "".join(option.help.split()) in told, option.name
        if isinstance(option.show_default, str):
            assert f"[default:({''.join(option.show_default.split())})]" in told, option.name


def test_the_lists_of_commands_are_not_cut():
    for path, commands in (((), COMMANDS), (("run",), GOALS)):
        told = "".join(run(*path, "--help").output.split())
        for command in commands.values():
            assert "".join(command.help.splitlines()[0].split()) in told


@pytest.mark.parametrize("name", ORDER)
def test_every_command_is_entered_and_does_its_work_once(name, tiny_data, monkeypatch):
    module, _, function = WORK[name].rpartition(".")
    work = MagicMock(name=name)
    work.return_value.difference = work.return_value.speed = 0.0
    work.return_value.errors = ()
    monkeypatch.setattr(importlib.import_module(f"competition.{module}"), function, work)
    if name == "export":
        loaded = MagicMock(name="network"), MagicMock(name="training")
        loading = importlib.import_module("competition.training.checkpoint")
        monkeypatch.setattr(loading, "load", lambda *_, **__: loaded)
    if name == "models":
        costs = importlib.import_module("competition.models.complexity")
        monkeypatch.setattr(costs, "complexity_text", str)
    (tiny_data / "chosen.toml").write_text((tiny_data / "competition.toml").read_text() + VARIANT)
    file = [] if name in ("demo", "new") else ["-c", str(tiny_data / "chosen.toml")]
    words = [word for word in EXAMPLES.get(name, []) if word not in ("--groups", "3")]
    result = run(name, *words, *file)
    assert result.exit_code == 0, result.exception
    assert work.call_count == (2 if name == "score" else 1)


def test_force_has_an_earlier_name_that_is_not_shown(tiny_data, monkeypatch):
    file, asked = str(tiny_data / "competition.toml"), []
    from competition import steps

    monkeypatch.setattr(
        steps, "predict_all", lambda bench, entry, *, again=False: asked.append(again)
    )
    for word in ("--force", "--again"):
        run("predict", "-c", file, word)
    run("predict", "-c", file)
    assert asked == [True, True, False] and "--again" not in run("predict", "--help").output


def test_submissions_are_words_or_options_and_there_must_be_one(tiny_data, monkeypatch):
    from competition import solution

    scored, file = [], str(tiny_data / "competition.toml")
    monkeypatch.setattr(
        solution, "score_file", lambda spec, path, *_: scored.append(str(path)) or MagicMock()
    )
    run("score", "A.csv", "--csv", "C.csv", "B.csv", "--solution", "S.csv", "-c", file)
    assert scored == ["A.csv", "B.csv", "C.csv"]
    fault = run("score", "--solution", "S.csv", "-c", file).exception
    assert isinstance(fault, InputFault) and "no submission is named" in str(fault)


def test_the_version_is_told():
    assert run("--version").output.startswith("podium 0.")


def test_folds_then_status_from_the_command_line(tiny_data):
    file = str(tiny_data / "competition.toml")
    before = run("status", "-c", file).output.splitlines()
    assert before[0].split() == ["folds", "to", "do"]
    assert before[2].split(maxsplit=4)[-1] == "to do: after folds"
    assert before[4].split("  ")[0] == "predict tiny fold 1"
    assert "images" in run("folds", "-c", file).output
    after = run("status", "-c", file).output.splitlines()
    assert after[0].split() == ["folds", "done"]
    assert after[2].split(maxsplit=4)[-1] == "to do"


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
