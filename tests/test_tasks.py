"""Tasks: the commands of the package under short names, with the same options by construction."""

import importlib.machinery
import importlib.util
import re
import subprocess
import sys

import pytest
from command_lines import COMMANDS, EXAMPLES, GOALS, ROOT, parse_command, parse_task
from invoke import Context, Exit
from invoke.parser import ParserContext

import tasks


def invoke(*words, cwd=ROOT):
    """What `./inv` starts in the environment that it makes."""
    loader = importlib.machinery.SourceFileLoader("inv", str(ROOT / "inv"))
    inv = importlib.util.module_from_spec(importlib.util.spec_from_loader("inv", loader))
    loader.exec_module(inv)
    done = subprocess.run(
        [sys.executable, *inv.RUN_INVOKE, "--search-root", str(ROOT), *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def shown(command):
    """The options of a command that its help lists, but for --help."""
    return [
        one
        for one in command.params
        if one.param_type_name == "option" and not one.hidden and one.name != "help"
    ]


def run(words):
    """Enter the body of the task that these words ask for."""
    asked = parse_task(words)
    tasks.ns[asked.name](Context(), **asked.as_kwargs)


def test_every_command_is_a_task_and_they_are_listed_in_its_order():
    code, text = invoke("--list")
    listed = re.findall(r"^  ([a-z-]+) ", text, re.MULTILINE)
    assert code == 0 and listed == [*COMMANDS, "lint", "test"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_task_has_the_options_of_its_command_and_their_short_names(name):
    context = ParserContext(name=name, args=tasks.ns[name].get_arguments())
    for option in shown(COMMANDS[name]):
        assert {*option.opts} <= {*context.flags, *context.flags.aliases}, option.name
        assert {*option.secondary_opts} <= {*context.inverse_flags}
    own = {flag for option in shown(GOALS.get(name, COMMANDS[name])) for flag in option.opts}
    words = {f"--{one.name}" for one in COMMANDS[name].params if one.param_type_name == "argument"}
    assert {*context.flags, *context.flags.aliases} <= own | words


@pytest.mark.parametrize("name", COMMANDS)
def test_every_task_hands_its_words_to_a_command_that_understands_them(name, monkeypatch):
    passed = []
    monkeypatch.setattr(tasks, "main", lambda words: passed.append(words) or 0)
    run([name, *EXAMPLES.get(name, [])])
    assert passed[0][:2] == ["run", name] if name in GOALS else passed[0][0] == name
    parse_command(passed[0])


def test_the_options_of_a_task_arrive(monkeypatch):
    passed = []
    monkeypatch.setattr(tasks, "main", lambda words: passed.append(words) or 0)
    run(["train", "-c", "a.toml", "-r", "x", "-r", "y", "-f", "0", "--no-pretrained", "--force"])
    run(["score", "A.csv", "--csv", "B.csv", "--solution", "S.csv"])
    run(["vote", "--csv", "A.csv", "--csv", "B.csv", "-w", "2", "-w", "1"])
    run(["new", "--preset", "salt", "--data", "PATH"])
    assert [" ".join(words) for words in passed] == [
        "run train --competition a.toml --recipe x --recipe y --fold 0 --no-pretrained --force",
        "score --solution S.csv --csv A.csv --csv B.csv",
        "vote --csv A.csv --csv B.csv --weight 2 --weight 1",
        "new --data PATH --preset salt",
    ]


def test_a_command_that_fails_ends_the_task_with_its_code(monkeypatch):
    monkeypatch.setattr(tasks, "main", lambda words: 3)
    with pytest.raises(Exit) as ended:
        run(["status"])
    assert ended.value.code == 3


@pytest.mark.parametrize(("words", "marked"), [(["test"], True), (["test", "--long"], False)])
def test_the_task_test_runs_pytest(words, marked, monkeypatch):
    started = []

    def recorded(command, **options):
        started.append(command)
        return subprocess.CompletedProcess(command, 5)

    monkeypatch.setattr(tasks.subprocess, "run", recorded)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pytest.raises(Exit) as ended:
        run(words)
    assert ended.value.code == 5
    assert started[0][1:3] == ["-m", "pytest"] and ("not long" in started[0]) is marked


@pytest.mark.parametrize("name", ["train", "score", "pseudo"])
def test_a_task_explains_its_options_with_their_defaults(name):
    code, text = invoke("--help", name)
    told = "".join(text.split())
    assert code == 0 and "Competitionfile[default:./competition.toml,orthedemo's]" in told
    for option in shown(COMMANDS[name]):
        assert "".join(option.help.split()) in told
    assert name != "pseudo" or "[default:0.7]" in told


def test_listing_tasks_imports_neither_torch_nor_pandas():
    code = "import sys, tasks; print({'torch', 'pandas', 'lightning'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "set()"


def test_a_fold_that_is_no_number_is_refused_before_anything_runs(tiny_data, tmp_path):
    file = str(tiny_data / "competition.toml")
    code, text = invoke("train", "-c", file, "--fold", "x", cwd=tmp_path)
    assert code == 2 and "podium run train" in text and "'--fold' / '-f'" in text
    assert not (tmp_path / "runs").exists()


def test_a_missing_competition_file_is_one_line_and_code_2(tmp_path):
    code, text = invoke("submit", "-c", "nowhere.toml", cwd=tmp_path)
    assert code == 2 and text.strip().startswith("error: no competition file 'nowhere.toml'")
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tran", "--fold", "0"], "error: No idea what 'tran' is; did you mean train or "),
        (["train", "--fodl", "0"], "error: No idea what '--fodl' is; did you mean --fold or "),
        (["--help", "submitt"], "error: No idea what 'submitt' is; did you mean submit"),
        (["train", "--qqq"], "error: No idea what '--qqq' is; see --help train"),
        (["train", "--fold"], "error: Flag --fold needed value and was not given one; see --help"),
    ],
)
def test_what_is_mistyped_is_told_with_the_nearest_name(words, said, tmp_path):
    code, text = invoke(*words, cwd=tmp_path)
    assert code == 2 and text.startswith(said) and text.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["status", "leaderboard"])
def test_who_only_looks_gets_no_demo_written(name, tmp_path):
    code, text = invoke(name, cwd=tmp_path)
    assert code == 2 and "demo competition is not written yet" in text
    assert not list(tmp_path.iterdir())
