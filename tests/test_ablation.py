"""Ablations: the same folds and seeds for every trial, differences with their noise, sources beside."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from competition import steps
from competition.ablation import NOT_OURS
from competition.errors import InputFault
from competition.evaluation.groups import partition_of
from competition.experiment import AblationChoice, experiment_of
from competition.project import Project
from competition.recipes import experiment_names
from competition.solution import score_file

VARIANTS = """
[variants.quick]
size = [32, 32]
batch = 4
schedule = { epochs = 1, warmup = 0.0 }

[variants.merged]
network = { pools = "plain", decoder = [8, 8, 8, 8], skips = ["e3"], merge = "concat" }
"""
QUICK = AblationChoice("skips", variant="quick", seeds=(0, 1), folds=(0,))


def opened(tiny_data, root):
    file = tiny_data / "with-variants.toml"
    if not file.exists():
        file.write_text((tiny_data / "competition.toml").read_text() + VARIANTS)
    return Project.open(file, root, say=lambda line: None)


@pytest.fixture(scope="module")
def compared(tiny_data, tmp_path_factory):
    """The ablation `skips` at its smallest, submissions scored, with two seeds on one fold."""
    project = opened(tiny_data, tmp_path_factory.mktemp("work"))
    experiment = experiment_of(project.competition, QUICK)
    steps.make_split(project)
    for entry in experiment.together():
        steps.train_entry(project, entry)
        steps.predict_entry(project, entry)
    for row in experiment.entries:
        for entry in row:
            steps.score_ensemble(project, entry)
            steps.submit_entry(project, entry, plain=True)
    return project, experiment, steps.compare_trials(project, experiment)


def test_the_stages_train_every_trial_alike_and_end_in_plain_submissions(compared):
    project, experiment, _ = compared
    stages = project.pipeline.ablation_stages(experiment, submitted=True)
    assert [stage.command[0] for stage in stages[:3]] == ["folds", "train", "predict"]
    assert [stage.command[0] for stage in stages[3:]] == ["ensemble", "submit"] * 6
    assert all(stage.is_fresh() for stage in stages)
    members = [str(member) for entry in experiment.together() for member in entry.members]
    assert members == [
        name + seed
        for name in (
            "light-unet-narrow-cpu@quick",
            "light-unet-cpu@quick",
            "light-unet-add-cpu@quick",
        )
        for seed in ("", "+seed1")
    ]
    assert "ensemble" not in {
        s.command[0] for s in project.pipeline.ablation_stages(experiment, submitted=False)
    }


def test_a_difference_is_the_mean_over_seeds_of_scores_that_the_ensemble_step_gives(compared):
    project, experiment, _ = compared
    means = []
    for row in experiment.entries:
        reports = [steps.score_ensemble(project, entry) for entry in row]
        means.append(np.mean([report.score.value for report in reports]))
    rows = table_of(project, experiment)
    assert [float(row["val"]) for row in rows] == pytest.approx(means)
    assert [row["against"] for row in rows] == ["", *["e3, e2, e1, e0, concat"] * 2]
    for row, mean in zip(rows[1:], means[1:], strict=True):
        assert float(row["difference"]) == pytest.approx(mean - means[0])
        assert float(row["low"]) <= float(row["difference"]) <= float(row["high"])
        assert row["larger than the noise"] in ("True", "False")
    assert {row["iterations"] for row in rows} == {"1"}


def test_the_page_says_whose_figures_are_whose_and_ends_in_a_sentence_a_difference(compared):
    project, experiment, page = compared
    assert NOT_OURS in page and "0.9067 / – / – / –" in page
    assert page.count("than the noise.\n") == 2
    groups = len(set(partition_of(project.validation_images(0), project.folds).groups))
    assert f"paired over {groups} groups and 2 seeds" in page
    empty = steps.score_ensemble(project, experiment.entries[0][0]).empty.value
    assert f"folds 0, seeds 0, 1; an empty submission scores {empty:.4f} there." in page
    picture = project.pipeline.ablation(experiment).outputs[2]
    assert picture.stat().st_size > 5_000


def test_scores_of_a_solution_stand_in_the_table_as_means_over_seeds(compared):
    project, experiment, _ = compared
    assert len(project.pipeline.unscored(experiment)) == 6
    assert {row["public"] for row in table_of(project, experiment)} == {""}
    solution = project.competition.root / "solution.csv"
    tables = [
        score_file(project.competition, path, solution, project.sizes)
        for path in project.pipeline.unscored(experiment)
    ]
    steps.compare_trials(project, experiment)
    rows = table_of(project, experiment)
    for place, row in enumerate(rows):
        values = [table.parts["Private"].score.value for table in tables[2 * place : 2 * place + 2]]
        assert float(row["private"]) == pytest.approx(np.mean(values))
    assert project.pipeline.unscored(experiment) == []
    assert project.pipeline.ablation(experiment).state().kind == "fresh"


def table_of(project, experiment):
    text = project.pipeline.ablation(experiment).outputs[1].read_text()
    return list(csv.DictReader(io.StringIO(text)))


def test_a_variant_that_sets_what_is_compared_is_refused(tiny_data, tmp_path):
    project = opened(tiny_data, tmp_path)
    choice = AblationChoice("skips", variant="merged")
    with pytest.raises(InputFault, match="are the same once the variant is laid over"):
        experiment_of(project.competition, choice)


def test_an_unknown_ablation_or_variant_is_refused_with_what_there_is(tiny_data, tmp_path):
    competition = opened(tiny_data, tmp_path).competition
    with pytest.raises(InputFault, match="no ablation 'skip'; the nearest of 11 are skips"):
        experiment_of(competition, AblationChoice("skip"))
    with pytest.raises(InputFault, match=r"no \[variants.fast\].*quick, merged"):
        experiment_of(competition, AblationChoice("skips", variant="fast"))


def test_a_continued_trial_goes_on_from_its_parent_of_the_same_seed_after_it(tiny_data, tmp_path):
    project = opened(tiny_data, tmp_path)
    experiment = experiment_of(project.competition, AblationChoice("schedule", seeds=(0, 3)))
    last = [str(entry.members[0]) for entry in experiment.entries[-1]]
    assert last == [
        f"deeplabv3plus-gn-1x1-13k-cpu{seed}+from-deeplabv3plus-gn-1x1-12k-cpu{seed}"
        f"+from-deeplabv3plus-gn-1x1-cpu{seed}"
        for seed in ("", "+seed3")
    ]
    seen: set[str] = set()
    for entry in experiment.together():
        parents = {member.continued for member in entry.members} - {None}
        assert len(parents) <= 1 and parents <= seen
        seen |= {str(member) for member in entry.members}
    assert seen == {str(e.members[0]) for row in experiment.entries for e in row}


@pytest.mark.parametrize("name", experiment_names())
@pytest.mark.parametrize("full", [False, True])
def test_every_ablation_makes_entries_and_compares_within_a_family(tiny_data, tmp_path, name, full):
    project = opened(tiny_data, tmp_path)
    experiment = experiment_of(project.competition, AblationChoice(name, full=full))
    for place, (trial, base) in enumerate(
        zip(experiment.trials, experiment.baselines, strict=True)
    ):
        assert base <= place
        assert (trial.against or experiment.trials[0].recipe) == experiment.trials[base].recipe
    stages = project.pipeline.ablation_stages(experiment, submitted=True)
    assert any(stage.command[0] == "train" for stage in stages)
    rounds = {"pseudo"} if name == "pseudo" else set()
    assert rounds <= {stage.command[0] for stage in stages}
    ends = [stage.command for stage in stages if stage.command[0] in ("ensemble", "submit")]
    assert [words[0] for words in ends[:2]] == ["ensemble", "submit"]
    for words in ends[1::2]:
        learnt = words[words.index("--pseudo") + 1] != "none"
        assert ("--despite-verdict" in words) == learnt
    assert Path(experiment.folder(project.workspace)).name == "ablations"
