"""What is missing before a goal is made first, each step as a command of its own."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_lines import EXAMPLES, GOALS, ROOT, parse_command, parse_task
from invoke import Context, Exit

import tasks
from competition import engines, runner
from competition.__main__ import main
from competition.engines import Job, StepFailed
from competition.entry import NO_ROUND, entry_of
from competition.experiment import AblationChoice
from competition.machine import MACHINE_SETTINGS
from competition.runner import Runner

VARIANT = """
[variants.quick]
size = [32, 32]
batch = 4
schedule = { epochs = 1, warmup = 0.0 }
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def steps(monkeypatch):
    """The steps that would be run, in order; of these only the split is done."""
    taken = []

    def step(words, stdout=None):
        taken.append(list(words))
        if words[0] == "folds":
            main(words)

    monkeypatch.setattr(runner, "run_step", step)
    monkeypatch.setitem(engines.ENGINES, "local", step)
    return taken


@pytest.fixture(scope="module")
def file(tiny_data):
    path = tiny_data / "chained.toml"
    path.write_text((tiny_data / "competition.toml").read_text() + VARIANT)
    return path


def commands(taken):
    return [words[0] for words in taken]


@pytest.fixture(scope="module")
def planned(tiny_data):
    """The file of the tiny competition, which leaves its recipe to a plan."""
    path = tiny_data / "to_be_planned.toml"
    text = (tiny_data / "competition.toml").read_text()
    path.write_text(text.replace('recipes = ["tiny"]', 'recipes = ["auto"]'))
    return path


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["submit"], []),
        (["submit", "--minutes", "15"], ["--minutes", "15", "--until", "submit"]),
        (
            ["train", "--hours", "2", "--fold", "1"],
            ["--minutes", "120", "--until", "train", "--fold", "1"],
        ),
        (["tune"], []),
    ],
)
def test_a_plan_is_made_before_the_goal_that_rests_on_it(planned, steps, words, asked):
    main(["run", *words, "--competition", str(planned)])
    split, plan, *others = steps
    assert (split[0], plan[0]) == ("folds", "plan")
    begun = plan.index("--begun")
    assert plan[1:begun] == asked
    assert "plan" not in commands(others)


def test_a_plan_that_is_there_is_taken_unless_something_is_asked_of_it(planned, steps):
    path = Path("folds/demo.plan.toml")
    path.parent.mkdir()
    recipe = 'base = "tiny"\n'
    path.write_text(
        f'[plan]\nminutes = 5\nuntil = "submit"\nfolds = [1]\ncpu_seconds = 1\nseconds = {{}}\n'
        f"[recipes.auto]\n{recipe}"
    )
    main(["run", "train", "--competition", str(planned)])
    assert "plan" not in commands(steps)
    assert steps[-1][:2] == ["train", "--competition"]
    main(["run", "submit", "--minutes", "5", "--competition", str(planned)])
    assert "plan" in commands(steps)  # which says whether it is a plan for that
    train = next(words for words in reversed(steps) if words[0] == "train")
    assert tuple(train[1:5]) == ("--recipe", "auto", "--fold", "1")


def test_a_damaged_plan_can_be_planned_anew(planned, steps, capsys):
    path = Path("folds/demo.plan.toml")
    path.parent.mkdir()
    path.write_text("[plan")
    assert main(["run", "train", "--competition", str(planned)]) == 2
    assert "is not a plan" in capsys.readouterr().err
    main(["run", "plan", "--force", "--competition", str(planned)])
    assert steps[-1][0] == "plan"
    assert "--force" in steps[-1]


def test_minutes_are_for_a_recipe_that_is_planned(file, steps, capsys):
    assert main(["run", "train", "--minutes", "5", "--competition", str(file)]) == 2
    assert "are not planned" in capsys.readouterr().err


def test_a_recipe_that_is_named_needs_no_plan(planned, steps):
    main(["run", "train", "--recipe", "tiny", "--competition", str(planned)])
    assert "plan" not in commands(steps)


def test_a_goal_from_nothing_takes_every_step_before_it_and_then_itself(file, steps):
    assert main(["run", "submit", "-c", str(file), "--fold", "0"]) == 0
    assert commands(steps) == ["folds", "train", "predict", "ensemble", "tune", "submit"]
    assert steps[0] == ["folds", "--competition", str(file)]
    entry = ["--recipe", "tiny", "--fold", "0", "--seed", "0", "--pseudo", "none"]
    assert steps[1] == ["train", *entry, "--competition", str(file)]
    assert steps[-1] == ["submit", "--competition", str(file), "--fold", "0"]


def test_a_plain_submission_needs_no_decisions_and_a_round_its_teachers_and_verdict(file, steps):
    main(["run", "submit", "-c", str(file), "--plain", "--pseudo", "round1"])
    teachers = ["folds", "train", "predict", "pseudo"]
    assert commands(steps) == [*teachers, "train", "predict", "verdict", "ensemble", "submit"]
    assert steps[-1][-1] == "--plain"


def test_what_is_done_is_not_done_again_but_the_goal_is(file, steps):
    assert main(["folds", "-c", str(file)]) == 0
    main(["run", "train", "-c", str(file), "--force"])
    assert steps == [["train", "--competition", str(file), "--force"]]


def test_a_round_goes_on_to_its_students_and_verdict_and_one_of_a_csv_needs_no_teachers(
    file, steps
):
    main(["folds", "-c", str(file)])
    main(["run", "pseudo", "-c", str(file), "--from", "A.csv", "--fold", "0"])
    judged = ["train", "predict", "train", "predict", "verdict"]  # with whom it is compared
    assert commands(steps) == ["pseudo", *judged]
    assert "--pseudo none" in " ".join(steps[1]) and "--pseudo round1" in " ".join(steps[3])
    first = len(steps)
    main(["run", "pseudo", "-c", str(file), "--round", "round2"])
    assert commands(steps[first:]) == ["train", "predict", "pseudo", *judged]
    assert steps[first + 2][-2:] == ["--round", "round2"]
    assert "--pseudo round2" in " ".join(steps[-1])


def test_an_ablation_trains_predicts_submits_and_scores_its_trials(file, steps):
    main(["run", "ablation", "-c", str(file), *EXAMPLES["ablation"]])
    done = ["folds", "train", "predict", *["ensemble", "submit"] * 3, "score", "ablation"]
    assert commands(steps) == done
    assert steps[-2][-4:-2] == ["--solution", str(file.with_name("solution.csv"))]
    assert "--solution" not in steps[-1] and steps[-1][-4:] == ["--seed", "0", "--variant", "quick"]


@pytest.mark.parametrize("name", [name for name in GOALS if name != "demo"])
def test_every_goal_is_entered_from_the_command_line_and_as_a_task(name, file, steps):
    words = [name, "-c", str(file), *EXAMPLES.get(name, [])]
    assert main(["run", *words]) == 0
    entered = list(steps)
    assert commands(entered)[-1] == ("verdict" if name == "pseudo" else name)
    tasks.ns[name](Context(), **parse_task(words).as_kwargs)
    assert [words for words in entered if words[0] != "folds" or name == "folds"] == list(
        steps[len(entered) :]
    )
    for taken in steps:
        parse_command(taken)


def test_the_demo_runs_to_its_leaderboard(tiny_data, steps, monkeypatch, capsys):
    def step(words, stdout=None):
        steps.append(list(words))
        if words[0] == "demo":
            shutil.copytree(tiny_data, Path("runs/demo-short/data"))
        if words[0] == "folds":
            main(words)

    monkeypatch.setattr(runner, "run_step", step)
    assert main(["run", "demo", "--short", "--seed", "3"]) == 0
    assert steps[0] == ["demo", "--seed", "3", "--short"]
    assert commands(steps)[1] == "doctor" and commands(steps)[-2:] == ["score", "leaderboard"]
    assert commands(steps).count("submit") == 4 and "pseudo" in commands(steps)
    for taken in steps:
        parse_command(taken)
    assert "look at" in capsys.readouterr().out


def test_the_demo_is_written_first_where_there_is_no_competition_file(steps):
    def step(words):
        steps.append(list(words))

    Runner(step=step).write_demo()
    assert steps == [["demo"]]
    assert main(["run", "doctor"]) == 0 and commands(steps) == ["demo", "demo", "doctor"]


def test_a_notebook_reaches_a_goal_without_the_command_line(file):
    taken = []
    own = Runner(file, taken.append)
    main(["folds", "-c", str(file)])
    own.reach("train")
    own.reach("ensemble", entry_of(own.project.competition, folds=(1,), pseudo=NO_ROUND))
    own.prepare_ablation(AblationChoice("skips", variant="quick", folds=(0,)))
    assert commands(taken)[:4] == ["train", "train", "predict", "ensemble"]
    assert commands(taken)[-1] == "score" and "--fold 1" in " ".join(taken[3])


def shown(capsys):
    """The commands that were shown, each with the machine that is asked for."""
    lines = [line.split(" python -m competition ") for line in capsys.readouterr().out.splitlines()]
    assert all("PODIUM_DTYPE=float32" in asked for asked, _ in lines)
    return [command.split()[0] for _, command in lines]


def test_show_prints_each_missing_step_once_and_runs_none(file, capsys, monkeypatch):
    monkeypatch.setenv("PODIUM_DTYPE", "float32")
    assert main(["run", "submit", "-c", str(file), "--engine", "show"]) == 0
    assert shown(capsys) == [
        "folds",
        "train",
        "predict",
        "ensemble",
        "tune",
        "submit",
    ]
    assert not Path("folds").exists() and not Path("runs").exists()


def test_what_is_only_shown_leaves_all_behind_it_to_be_done(file, capsys, monkeypatch):
    """A stale step hides that those behind it will be: they look done until it is made again."""
    kinds = iter(["fresh", "stale", "fresh", "fresh"])
    states = {name: next(kinds) for name in ("train", "predict", "ensemble", "tune")}
    monkeypatch.setattr(
        "competition.pipeline.Stage.is_fresh", lambda stage: states[stage.command[0]] == "fresh"
    )
    monkeypatch.setenv("PODIUM_DTYPE", "float32")
    assert main(["folds", "-c", str(file)]) == 0
    capsys.readouterr()
    assert main(["run", "submit", "-c", str(file), "--engine", "show"]) == 0
    assert shown(capsys) == ["predict", "ensemble", "tune", "submit"]


def test_a_step_that_fails_ends_the_chain_with_its_code(capfd, monkeypatch):
    for setting in MACHINE_SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    assert main(["run", "folds", "-c", "nowhere.toml"]) == 2
    told = capfd.readouterr()
    assert told.out == "" and told.err.splitlines() == [
        "$ python -m competition folds --competition nowhere.toml",
        "error: no competition file 'nowhere.toml'; `python -m competition new` writes one",
        f"error: {StepFailed(['folds', '--competition', 'nowhere.toml'], 2)}",
    ]
    with pytest.raises(Exit) as ended:
        tasks.ns["folds"](Context(), competition="nowhere.toml")
    assert ended.value.code == 2


def test_a_step_that_is_killed_has_the_code_that_a_shell_gives():
    assert StepFailed(["train"], -9).exit_code == 137
    assert StepFailed(["train"], 3).exit_code == 3


def test_a_step_is_echoed_with_what_the_machine_is_asked_for_and_its_output_is_its_own(
    monkeypatch, capfd
):
    for setting in MACHINE_SETTINGS:
        monkeypatch.setenv(setting.variable, "")
    monkeypatch.setenv("PODIUM_DTYPE", "bfloat16")
    started = {}

    class Process:
        def __init__(self, command, **options):
            started.update(options, command=command)

        def __enter__(self):
            return self

        def __exit__(self, *fault):
            pass

        def wait(self):
            return 0

    monkeypatch.setattr(engines.subprocess, "Popen", Process)
    engines.run_step(["status"], stdout=sys.stderr)
    assert started["command"] == [sys.executable, "-m", "competition", "status"]
    assert started["stdout"] is sys.stderr
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == "$ PODIUM_DTYPE=bfloat16 python -m competition status\n"


def test_the_whole_chain_in_an_empty_folder_needs_no_checkout(tiny_data, tmp_path):
    """With the package alone, as a wheel installs it: no tasks.py, no git."""
    shutil.copytree(tiny_data, tmp_path / "data")
    path = tmp_path / "data" / "competition.toml"
    path.write_text(path.read_text() + VARIANT)
    words = ["run", "train", "-c", "data/competition.toml", "-f", "0", "-r", "tiny@quick"]
    done = subprocess.run(
        [sys.executable, "-m", "competition", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "epoch 1/1" in done.stdout and "$ python" not in done.stdout
    echoed = re.findall(r"^\$ .*python -m competition (\w+)", done.stderr, re.MULTILINE)
    assert echoed == ["folds", "train"]


CHAIN = """
import sys
from competition import cli, engines
from competition.__main__ import main

sys.executable = sys.argv[1]
cli.app = lambda words, prog_name: engines.run_step(words)
sys.exit(main(["train"]))
"""
STEP = """#!/bin/sh
trap 'sleep 1; echo stopped >&2; : > ended; exit 143' TERM
trap '' INT
: > begun
while :; do sleep 0.05; done
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are sent to a group of processes")
def test_ctrl_c_twice_waits_for_the_step_and_says_once_that_it_stopped(tmp_path):
    """The step says it. Ctrl-C reaches the whole group, impatient people press it again."""
    step = tmp_path / "step"
    step.write_text(STEP)
    step.chmod(0o755)
    chain = subprocess.Popen(
        [sys.executable, "-c", CHAIN, str(step)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (tmp_path / "begun").exists():
        time.sleep(0.02)
    for _ in range(3):
        os.killpg(chain.pid, signal.SIGINT)
        time.sleep(0.1)
    _, said = chain.communicate(timeout=60)
    assert (tmp_path / "ended").exists() and chain.returncode == 130
    assert said.splitlines()[1:] == ["stopped"]


LINES = """#!/bin/sh
echo "threads $PODIUM_THREADS"
case "$*" in *bad*) exit 3 ;; *slow*) while :; do sleep 0.05; done ;; esac
sleep 0.3
: > "$5"
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """A command that says its share of the machine and leaves a file named by its third word."""
    path = tmp_path / "stub"
    path.write_text(LINES)
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


SHARES = [{"PODIUM_THREADS": "3"}, {"PODIUM_THREADS": "4"}]


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script of the shell")
def test_commands_side_by_side_take_the_shares_and_name_their_lines(stub, capfd):
    jobs = [Job(f"job {n}", ["train", "--out", f"made-{n}"]) for n in range(3)]
    begun = time.monotonic()
    engines.run_together(jobs, SHARES)
    assert 0.6 <= time.monotonic() - begun < 0.3 * 3 + 5
    assert all(Path(f"made-{n}").exists() for n in range(3))
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 6
    for n in range(3):
        echo, said = (line for line in lines if line.startswith(f"[job {n}] "))
        share = re.search(r"PODIUM_THREADS=(\d)", echo)[1]
        assert echo.endswith(f"python -m competition train --out made-{n}")
        assert said == f"[job {n}] threads {share}"
    assert not engines.RUNNING


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script of the shell")
def test_one_that_fails_lets_those_beside_it_end_and_no_other_begin(stub, capfd):
    jobs = [Job(name, ["train", "--out", name]) for name in ("bad", "good", "later", "last")]
    with pytest.raises(StepFailed, match="bad ended with exit code 3"):
        engines.run_together(jobs, SHARES)
    assert Path("good").exists() and not Path("last").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals are sent to a group of processes")
def test_a_stop_ends_all_that_run_side_by_side(stub, monkeypatch):
    def stopped(futures, return_when):
        while len(engines.RUNNING) < 2:
            time.sleep(0.02)
        raise SystemExit(130)

    monkeypatch.setattr(engines, "wait", stopped)
    with pytest.raises(SystemExit):
        engines.run_together([Job(n, ["train", "--out", f"slow-{n}"]) for n in "abc"], SHARES)
    assert not engines.RUNNING


def test_networks_are_trained_side_by_side_and_the_rest_after_them(file, steps, monkeypatch):
    together = []

    def run_together(jobs, shares):
        together.append(([job.name for job in jobs], len(shares)))
        for job in jobs:
            parse_command(job.words)

    monkeypatch.setattr(runner, "run_together", run_together)
    assert main(["run", "submit", "-c", str(file), "--jobs", "3"]) == 0
    assert together == [(["tiny fold 0", "tiny fold 1"], 2)]
    assert commands(steps) == ["folds", "predict", "ensemble", "tune", "submit"]
    words = ["train", "-c", str(file), "-r", "tiny@quick", "-f", "1", "--seed", "2", "--force"]
    assert main(["run", *words, "--jobs", "2"]) == 0
    assert together[1:] == [(["tiny@quick+seed2 fold 1"], 1)]
    assert main(["run", "train", "-c", str(file), "--jobs", "2", "--engine", "show"]) == 2


@pytest.mark.long
def test_side_by_side_gives_the_bytes_of_one_after_the_other(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setenv("PODIUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    file = str(tiny_data / "competition.toml")
    made = []
    for jobs in ("1", "2"):
        folder = tmp_path / jobs
        folder.mkdir()
        monkeypatch.chdir(folder)
        assert main(["run", "train", "-c", file, "--jobs", jobs]) == 0
        kinds = ("checkpoint.pt", "history.csv")
        paths = sorted(path for kind in kinds for path in folder.rglob(kind))
        made.append({path.relative_to(folder): path.read_bytes() for path in paths})
    assert made[0] == made[1] and len(made[0]) == 4
