"""`podium plan`: written once, heeded by every step after it, planned again on request alone."""

import pytest

from competition.__main__ import main
from competition.entry import entry_of
from competition.errors import InputFault
from competition.project import Project
from competition.recipes.planned import PlanFile, read_plan
from competition.steps import TimeAsked, plan_recipe
from competition.steps.train import _planned


def reopened(project, file, **options):
    return Project.open(file, project.workspace.root, **options)


def test_a_plan_becomes_the_recipe_and_the_folds_of_the_entry(planned, planned_file, timed):
    path = plan_recipe(planned, TimeAsked(minutes=2, folds=(1,)))
    project = reopened(planned, planned_file)
    entry = entry_of(project.competition)
    assert [str(member) for member in entry.members] == ["auto"]
    assert entry.folds == (1,)
    recipe = project.recipe("auto")
    assert recipe.schedule.iterations == read_plan(path).recipe["schedule"]["iterations"]
    assert recipe.network.channels == 3
    assert path == project.workspace.plan


def test_it_is_kept_unless_it_is_asked_for_anew(planned, planned_file, timed):
    path = plan_recipe(planned, TimeAsked(minutes=2))
    before = path.read_text()
    edited = before.replace("ema = ", "ema = 0.5  # mine; was ")
    path.write_text(edited)
    again = reopened(planned, planned_file)
    assert again.recipe("auto").ema == 0.5
    plan_recipe(again, TimeAsked(minutes=2))
    plan_recipe(again, TimeAsked())
    assert path.read_text() == edited
    plan_recipe(again, TimeAsked(minutes=4), force=True)
    assert read_plan(path).minutes == 4


@pytest.mark.parametrize(
    "other", [TimeAsked(minutes=9), TimeAsked(minutes=2, until="train"), TimeAsked(folds=(1,))]
)
def test_another_time_or_fold_is_refused_since_networks_may_rest_on_it(
    planned, planned_file, timed, other
):
    plan_recipe(planned, TimeAsked(minutes=2, folds=(0,)))
    with pytest.raises(InputFault, match="is a plan for 2 minutes until submit, folds .* --force"):
        plan_recipe(reopened(planned, planned_file), other)


def test_folds_of_the_file_go_before_those_of_the_plan(planned, planned_file, timed, tmp_path):
    own = planned_file.with_name("own_folds.toml")
    own.write_text(planned_file.read_text().replace("[ensemble]", "[ensemble]\nfolds = [1]"))
    plan_recipe(reopened(planned, own), TimeAsked(minutes=2))
    assert read_plan(planned.workspace.plan).folds == (1,)
    assert entry_of(reopened(planned, own).competition).folds == (1,)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2] + "\n[[", "is not a plan"),
        (lambda text: text.replace("[recipes.auto]", "[recipes.mine]"), "is not a plan"),
        (lambda text: text.replace("minutes = 2", "minutes = -2"), "minutes"),
    ],
)
def test_a_damaged_plan_is_one_sentence_and_can_be_planned_anew(
    planned, planned_file, timed, damage, said
):
    path = plan_recipe(planned, TimeAsked(minutes=2))
    path.write_text(damage(path.read_text()))
    with pytest.raises(InputFault, match=said):
        reopened(planned, planned_file)
    plan_recipe(reopened(planned, planned_file, planned=False), TimeAsked(minutes=2), force=True)
    assert reopened(planned, planned_file).recipe("auto").schedule.iterations


def test_a_fold_that_is_not_there_is_refused_before_anything_is_timed(planned, timed):
    with pytest.raises(InputFault, match="no fold 7"):
        plan_recipe(planned, TimeAsked(minutes=2, folds=(7,)))
    assert not timed


def test_without_a_plan_a_step_says_what_makes_it(planned):
    with pytest.raises(InputFault, match=r"podium plan --minutes 60"):
        planned.recipe("auto")


def test_the_doctor_leaves_sizes_to_the_plan_until_there_is_one(
    planned_file, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--competition", str(planned_file)]) == 0
    assert "planned by `podium plan`" in capsys.readouterr().out


def test_the_reasons_are_shown_and_too_little_time_is_said(planned, planned_file, timed):
    said = []
    project = reopened(planned, planned_file)
    project.say = said.append
    plan_recipe(project, TimeAsked(minutes=0.01))
    text = "\n".join(said)
    assert "# the truth shrunk to it" in text
    assert "warning: 0.01 minutes are too few" in text


def test_recipes_beside_the_plan_are_said_to_take_their_own_time(planned, planned_file, timed):
    both = planned_file.with_name("both.toml")
    both.write_text(planned_file.read_text().replace('["auto"]', '["auto", "tiny"]'))
    said = []
    project = reopened(planned, both)
    project.say = said.append
    plan_recipe(project, TimeAsked(minutes=2))
    assert "note: tiny take time of their own, which is not planned" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minutes", "5", "--hours", "1"], "both say how long"),
        (["--minutes", "0"], "expected more than 0"),
        (["--hours", "nan"], "expected more than 0"),
    ],
)
def test_a_time_that_is_none_is_refused(planned_file, monkeypatch, tmp_path, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "--competition", str(planned_file), *words]) == 2
    assert said in capsys.readouterr().err


def test_the_whole_way_from_minutes_to_a_checked_csv(
    planned, planned_file, timed, monkeypatch, capsys
):
    root = planned.workspace.root
    monkeypatch.chdir(root)
    chosen = ["--competition", str(planned_file)]
    assert main(["plan", *chosen, "--minutes", "0.1", "--fold", "0"]) == 0
    for words in (["train"], ["predict"], ["ensemble"], ["tune"], ["submit"]):
        assert main([*words, *chosen]) == 0
    assert "until" in capsys.readouterr().out
    assert (planned.workspace.submissions / "main.csv").is_file()


def test_the_planned_end_is_that_of_one_network_of_all_folds_and_seeds():
    seconds = {"training": 570.0, "validation": 30.0, "decisions": 99.0}
    plan = PlanFile(
        minutes=15, until="train", folds=(0, 1), seconds=seconds, cpu_seconds=1, recipe={}
    )
    assert _planned(plan, 6, 50).startswith("planned: 50 steps in 1:40, until ")
