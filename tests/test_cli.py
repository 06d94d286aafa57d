"""The command line: what it says, what it refuses, and its exit codes."""

import importlib
import json
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
from competition.masks import Runs
from competition.project import Project
from competition.recipes import experiment_names, further_recipes, recipe_names
from competition.solution import score_file
from competition.spec import load_competition
from competition.steps import make_split
from competition.submission import write_submission

ORDER = [
    "demo",
    "new",
    "doctor",
    "folds",
    "skeleton",
    "machine",
    "plan",
    "train",
    "soup",
    "predict",
    "ensemble",
    "tune",
    "view",
    "submit",
    "report",
    "holdout",
    "pseudo",
    "verdict",
    "export-labels",
    "score",
    "vote",
    "leaderboard",
    "status",
    "ablation",
    "models",
    "export",
]
WORK = {
    "demo": "demo.make_demo",
    "new": "new.write.new_competition",
    "doctor": "doctor.examine",
    "folds": "steps.make_split",
    "skeleton": "steps.measure_skeletons",
    "machine": "machine.machine_of",
    "plan": "steps.plan_recipe",
    "train": "steps.train_entry",
    "soup": "steps.make_soups",
    "predict": "steps.predict_entry",
    "ensemble": "steps.score_ensemble",
    "tune": "steps.tune_entry",
    "view": "viewer.serve.serve",
    "submit": "steps.submit_and_report",
    "report": "steps.report_entry",
    "holdout": "steps.score_holdout",
    "pseudo": "steps.make_pseudo_round",
    "verdict": "steps.judge_round",
    "export-labels": "steps.export_label_files",
    "score": "solution.score_file",
    "vote": "submission.write_vote",
    "leaderboard": "leaderboard.read_leaderboard",
    "status": "pipeline.states_text",
    "ablation": "steps.compare_trials",
    "models": "models.complexity.measure_recipe",
    "export": "export.export_network",
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
            assert f"[default:({''.join(option.show_default.split())})" in told, option.name


def test_the_lists_of_commands_are_not_cut():
    for path, commands in (((), COMMANDS), (("run",), GOALS)):
        told = "".join(run(*path, "--help").output.split())
        for command in commands.values():
            assert "".join(command.help.splitlines()[0].split()) in told
    assert "thenthegoal:oneprocessastep." in "".join(run("--help").output.split())


@pytest.mark.parametrize("name", ORDER)
def test_every_command_is_entered_and_does_its_work_once(name, tiny_data, monkeypatch):
    module, _, function = WORK[name].rpartition(".")
    work = MagicMock(name=name)
    work.return_value.difference = work.return_value.speed = 0.0
    work.return_value.errors = ()
    work.return_value.text.return_value = "told"
    monkeypatch.setattr(importlib.import_module(f"competition.{module}"), function, work)
    if name == "export":
        loaded = MagicMock(name="network"), MagicMock(name="training")
        loaded[1].recipe.tiles = None
        loading = importlib.import_module("competition.training.checkpoint")
        monkeypatch.setattr(loading, "load_checkpoint", lambda *_, **__: loaded)
    if name == "models":
        costs = importlib.import_module("competition.models.complexity")
        monkeypatch.setattr(costs, "complexity_text", str)
    (tiny_data / "chosen.toml").write_text((tiny_data / "competition.toml").read_text() + VARIANT)
    file = [] if name in ("demo", "new", "machine") else ["-c", str(tiny_data / "chosen.toml")]
    words = [word for word in EXAMPLES.get(name, []) if word not in ("--groups", "3")]
    if name == "new":  # what it would have written is opened for the picture, and read once more
        monkeypatch.setattr(Project, "begin_with", lambda *_: None)
        words += ["--target", str(tiny_data / "chosen.toml")]
    result = run(name, *words, *file)
    assert result.exit_code == 0, result.exception
    assert work.call_count == (2 if name == "score" else 1)


def test_force_has_an_earlier_name_that_is_not_shown(tiny_data, monkeypatch):
    file, asked = str(tiny_data / "competition.toml"), []
    from competition import steps

    monkeypatch.setattr(
        steps, "predict_entry", lambda project, entry, *, force=False: asked.append(force)
    )
    for word in ("--force", "--again"):
        run("predict", "-c", file, word)
    run("predict", "-c", file)
    assert asked == [True, True, False] and "--again" not in run("predict", "--help").output


def test_submissions_are_words_or_options_and_there_must_be_one(tiny_data, monkeypatch):
    from competition import solution

    scored, file = [], str(tiny_data / "competition.toml")
    monkeypatch.setattr(
        solution, "score_file", lambda spec, path, *_, **__: scored.append(str(path)) or MagicMock()
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
    assert (
        "wrong.toml: metric.epsilon: no such key; docs/competition-file.md has them all; found 3"
        in str(fault)
    )


def process(*words, cwd=None, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "competition", *words],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=cwd,
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


def test_models_tells_the_size_of_the_logits(tiny_data):
    text = run("models", "-c", str(tiny_data / "competition.toml")).output
    assert "tiny" in text and "64×64" in text


@pytest.fixture(scope="module")
def scored(tiny_data, tmp_path_factory):
    """A folder with a split and a submission that has a score: enough for every light command."""
    folder = tmp_path_factory.mktemp("scored")
    project = Project.open(tiny_data / "competition.toml", folder, say=lambda line: None)
    make_split(project)
    target = project.workspace.submission("main")
    empty = Runs.empty((len(project.competition.classes), 64, 64))
    masks = dict.fromkeys(project.rows("test")["image"], empty)
    write_submission(project.competition, project.sample, masks.__getitem__, target, {})
    score_file(project.competition, target, tiny_data / "solution.csv", project.sizes)
    return folder, tiny_data / "competition.toml", target, tiny_data / "solution.csv"


def lights(scored):
    _, file, csv, solution = scored
    chosen = ["-c", str(file)]
    yield ["status", *chosen]
    yield ["doctor", *chosen]
    yield ["doctor", "--csv", str(csv), *chosen]
    yield ["score", str(csv), "--solution", str(solution), *chosen]
    yield ["leaderboard", *chosen]


def test_what_a_program_reads_is_one_document_and_nothing_else(scored, monkeypatch):
    monkeypatch.chdir(scored[0])
    found = {}
    for words in lights(scored):
        result = run(*words, "--json")
        assert result.exit_code == 0, result.exception
        assert result.stdout.isascii()
        found[words[0]] = json.loads(result.stdout)
    assert set(found["status"]) == {"entry", "steps"} and found["status"]["entry"] == "main"
    assert found["status"]["steps"][0] == {
        "step": "folds",
        "kind": "fresh",
        "why": "",
        "after": [],
        "running": None,
    }
    trained = {"step": "train tiny fold 0", "kind": "missing", "after": ["folds"]}
    assert found["status"]["steps"][1] == {**trained, "why": "", "running": None}
    assert set(found["doctor"]) == {"errors", "warnings", "found"} and not found["doctor"]["errors"]
    (row,) = found["score"]["submissions"]
    assert set(found["score"]) == {"solution", "submissions"} and row["file"] == str(scored[2])
    assert set(row["parts"]) == {"Public", "Private", "All"}
    assert set(row["parts"]["All"]) == {
        *("images", "score", "empty", "sample"),
        *("present", "absent", "classes"),
    }
    assert set(found["leaderboard"]) == {"submissions", "better_than"}
    assert set(found["leaderboard"]["submissions"][0]) == {
        *("name", "members", "kept", "images"),
        *("out_of_fold", "expected_private", "public", "private"),
        *("empty_out_of_fold", "beside"),
    }


def test_of_several_files_what_they_stand_beside_is_said_once(scored, monkeypatch):
    monkeypatch.chdir(scored[0])
    words = next(words for words in lights(scored) if words[0] == "score")
    found = run("score", words[1], *words[1:]).stdout.splitlines()
    assert [line.partition(":")[0] for line in found] == [
        *(str(scored[2]), str(scored[2])),
        *("an empty submission", "the sample"),
    ]


def test_a_goal_keeps_standard_output_for_its_document(scored):
    code, out, errors = process("run", "doctor", "--json", cwd=scored[0].parent)
    assert code == 0 and json.loads(out)["errors"] == []
    assert "python -m competition demo" in errors and "wrote" in errors


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "cp1252"}, {"COLUMNS": "0"}])
def test_every_light_command_prints_whatever_its_output_takes(scored, environment):
    """Tables are drawn with signs that a pipe on Windows has not; score and doctor crashed."""
    for words in [*lights(scored), ["train", "--help"], ["--help"]]:
        code, _, errors = process(*words, cwd=scored[0], **environment)
        assert (code, errors) == (0, ""), words


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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["train", "-r", "tyni"],
            f"no recipe 'tyni'; the nearest of {len([*recipe_names(), *further_recipes()]) + 2} are "
            "tiny, ",
        ),
        (["ablation", "--name", "loses"], "no ablation 'loses'; the nearest of 11 are losses, "),
        (["train", "-r", "tiny@no"], "no [variants.no] for the recipe 'tiny@no'; there are none"),
    ],
)
def test_an_unknown_name_is_told_the_nearest_ones(tiny_data, words, told):
    result = run(*words, "-c", str(tiny_data / "competition.toml"))
    assert isinstance(result.exception, InputFault) and told in str(result.exception)
    assert len(str(result.exception)) < 200


def test_unknown_metrics_commands_and_presets_are_told_what_there_is(tiny_data):
    text = (tiny_data / "competition.toml").read_text()
    Path("wrong.toml").write_text(text.replace('name = "dice"', 'name = "dicee"'))
    fault = str(run("folds", "-c", "wrong.toml").exception)
    assert "metric.name: no such metric; the nearest of 9 are dice, " in fault
    assert "found 'dicee'" in fault and "docs/competition-file.md" in fault
    assert "'train'" in run("trian").output and "'submit'" in run("run", "subnit").output
    fault = str(run("new", "--preset", "slat", "--data", str(tiny_data)).exception)
    assert fault.startswith("no preset 'slat'; the nearest of 16 are salt, ")


def test_recipes_to_choose_from_are_listed_the_files_own_first(tiny_data):
    names = run("models", "--list", "-c", str(tiny_data / "competition.toml")).output.split()
    assert names == ["tiny", "other", *recipe_names()]
    assert run("models", "--list").output.split() == names[2:]
    for words in (["--list", "--all"], ["--all"]):
        every = run("models", *words).output.split()
        assert every == [*recipe_names(), *further_recipes()] and "fcn-resnet50-dice" in every


def test_the_help_of_ablation_names_every_experiment():
    (option,) = [one for one in COMMANDS["ablation"].params if one.name == "name"]
    assert option.help == ", ".join(experiment_names())


@pytest.mark.parametrize(("typed", "offered"), [("tin", ["tiny"]), ("demo-", []), ("x", [])])
def test_a_shell_completes_the_names_of_recipes(tiny_data, typed, offered):
    asked = f"podium train -c {tiny_data / 'competition.toml'} --recipe {typed}"
    environment = {"_PODIUM_COMPLETE": "complete_bash", "COMP_WORDS": asked, "COMP_CWORD": "5"}
    result = CliRunner().invoke(app, [], env=environment, prog_name="podium")
    assert [name for name in result.output.split() if name.startswith("tin")] == offered
    broken = environment | {"COMP_WORDS": f"podium train -c nowhere.toml --recipe {typed}"}
    assert CliRunner().invoke(app, [], env=broken, prog_name="podium").output.strip() == ""


def test_open_questions_are_asked_on_a_terminal(tiny_data, monkeypatch):
    """By a number of the list, by a value, or not at all."""
    monkeypatch.setattr("competition.cli.data._someone_is_there", lambda: True)
    answers = {"2\n\n": ("columns", "dice"), "rows\n2\n": ("rows", "iou"), "\n\n": (None, "dice")}
    for number, (typed, (order, metric)) in enumerate(answers.items()):
        target = f"asked-{number}.toml"
        words = ["new", "--data", str(tiny_data), "--target", target]
        outcome = CliRunner().invoke(app, words, input=typed)
        assert outcome.exit_code == 0, outcome.output
        assert "submission.order: labels are no texts" in outcome.output
        assert "  1  rows\n  2  columns\n" in outcome.output
        found = load_competition(Path(target))
        assert found.metric.name == metric
        assert (order is None) == bool(found.questions)
        assert order is None or found.submission.order == order
