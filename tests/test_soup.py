"""A soup: one recipe's seeds averaged to one network a fold, chosen by the other folds' scores."""

import json
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from competition import steps
from competition.cli import app
from competition.decoding.decisions import read_decisions
from competition.entry import Member, entry_of
from competition.errors import InputFault
from competition.inference.store import Store
from competition.pipeline import Pipeline
from competition.project import Project
from competition.steps import soup as soup_step
from competition.submission import check_submission
from competition.training import weight_averaging
from competition.training.checkpoint import load_checkpoint, read_torch, write_torch
from competition.training.weight_averaging import greedy_seeds, mean_weights

SEEDS = (0, 1)
SOUP = Member("tiny", soup=SEEDS)


def entry_with_soup(project):
    return entry_of(project.competition, seeds=SEEDS, soup=True)


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory):
    """A workspace with two seeds of one recipe on both folds."""
    root = tmp_path_factory.mktemp("work")
    project = Project.open(tiny_data / "competition.toml", root, say=lambda line: None)
    steps.make_split(project)
    steps.train_entry(project, entry_with_soup(project))
    return project


@pytest.fixture
def copied(trained, tmp_path):
    """The trained workspace, copied, so that a test may break it; what it says is in `said`."""
    shutil.copytree(trained.workspace.root, tmp_path / "work")
    said = []
    file = trained.competition.folder / "competition.toml"
    project = Project.open(file, tmp_path / "work", say=said.append)
    project.said = said
    return project


@pytest.fixture
def taken(monkeypatch):
    """Makes every fold take these seeds, whatever they score."""

    def take(seeds):
        monkeypatch.setattr(weight_averaging, "greedy_seeds", lambda *_: seeds)

    return take


def checkpoint(project, member, fold):
    return project.workspace.run(str(member), fold) / "checkpoint.pt"


def network(project, member, fold):
    return load_checkpoint(checkpoint(project, member, fold), classes=project.classes)


def test_a_soup_stands_beside_its_seeds_and_goes_to_the_csv(copied):
    project, entry = copied, entry_with_soup(copied)
    assert [str(m) for m in entry.members] == [
        *("tiny", "tiny+seed1", "tiny+soup0-1"),
    ]
    assert entry.name == "main+seed0-1+soup"
    steps.make_soups(project, entry)
    said = [line for line in project.said if "by the scores of the other folds" in line]
    receipt = json.loads((project.workspace.runs / str(SOUP) / "soup.json").read_text())
    for fold, line in zip((0, 1), said, strict=True):
        seeds = tuple(receipt["seeds"][str(fold)])
        assert line.startswith(f"fold {fold} takes seed") and set(seeds) <= set(SEEDS)
        _, training = network(project, SOUP, fold)
        assert training.soup == seeds and training.seed == seeds[0] and training.fold == fold
    assert not list(project.workspace.runs.rglob(".writing-*"))
    steps.predict_entry(project, entry)
    steps.score_ensemble(project, entry)
    steps.tune_entry(project, entry)
    csv = steps.submit_entry(project, entry)
    found = read_decisions(
        entry.folder(project.workspace) / "decisions.json", classes=project.classes
    )
    assert [one.name for one in found.members] == [str(member) for member in entry.members]
    csv = project.workspace.submission(entry.name)
    check_submission(project.competition, csv, project.sample, project.sizes)
    kinds = {
        step.state().kind
        for stage in Pipeline(project).stages("submit", entry)
        for step in stage.steps
    }
    assert kinds == {"fresh"}


def test_the_weights_are_the_mean_and_norms_are_measured_on_the_folds_training_images(
    copied, taken, monkeypatch
):
    seen, measure = [], weight_averaging.measure_norms

    def watched(network, loader):
        seen.append(set(loader.dataset.images))
        measure(network, loader)

    monkeypatch.setattr(weight_averaging, "measure_norms", watched)
    taken((0, 1))
    steps.make_soups(copied, entry_with_soup(copied))
    everything = set(copied.folds["image"])
    assert seen[-2:] == [everything - set(copied.validation_images(fold)) for fold in (0, 1)]
    for fold in (0, 1):
        found = network(copied, SOUP, fold)[0].state_dict()
        first, last = (
            network(copied, Member("tiny", seed=seed), fold)[0].state_dict() for seed in SEEDS
        )
        norms = {name for name in found if "running" in name or "num_batches" in name}
        assert norms and any(not torch.equal(found[name], first[name]) for name in norms)
        for name in set(found) - norms:
            assert torch.allclose(found[name], (first[name] + last[name]) / 2, atol=1e-7), name


@pytest.mark.long
def test_a_soup_of_one_seed_predicts_as_that_seed_does(copied, taken):
    taken((1,))
    entry = entry_with_soup(copied)
    steps.make_soups(copied, entry)
    steps.predict_entry(copied, entry)
    for split in ("oof", "test"):
        one, soup = (
            Store.open(copied.workspace.run(str(member), 0) / split, classes=copied.classes)
            for member in (Member("tiny", seed=1), SOUP)
        )
        assert all(np.array_equal(one.codes(image), soup.codes(image)) for image in one.images)


def test_no_fold_takes_part_in_the_choice_of_its_own_seeds(copied, monkeypatch):
    scored, choices, plain_sums = [], [], soup_step.plain_sums

    def recorded(together, *rest, **options):
        scored.extend(together.images)
        return plain_sums(together, *rest, **options)

    def chosen(seeds, score):
        scored.clear()
        found = greedy_seeds(seeds, score)
        choices.append(set(scored))
        return found

    monkeypatch.setattr(soup_step, "plain_sums", recorded)
    monkeypatch.setattr(weight_averaging, "greedy_seeds", chosen)
    steps.make_soups(copied, entry_with_soup(copied))
    assert choices == [set(copied.validation_images(fold)) for fold in (1, 0)]


@pytest.mark.long
def test_the_scores_of_single_seeds_are_those_of_the_ensemble(copied):
    entry = entry_with_soup(copied)
    steps.make_soups(copied, entry)
    (line,) = [line for line in copied.said if line.startswith("fold 0 takes")]
    one_fold = entry_of(copied.competition, seeds=SEEDS, folds=(1,))
    steps.predict_entry(copied, one_fold)
    for seed, member in zip(SEEDS, steps.score_ensemble(copied, one_fold).members, strict=True):
        assert f"seed {seed} {member.score.value:.4f}" in line


@pytest.mark.long
def test_made_again_it_is_the_same_to_the_byte_and_a_seed_trained_anew_makes_it_outdated(copied):
    entry = entry_with_soup(copied)
    steps.make_soups(copied, entry)
    before = [checkpoint(copied, SOUP, fold).read_bytes() for fold in (0, 1)]
    step = Pipeline(copied).soup(SOUP, (0, 1))
    assert step.state().kind == "fresh"
    checkpoint(copied, SOUP, 1).unlink()  # as a kill half-way leaves it
    assert step.state().kind == "missing"
    steps.make_soups(copied, entry)
    assert [checkpoint(copied, SOUP, fold).read_bytes() for fold in (0, 1)] == before
    changed = read_torch(checkpoint(copied, Member("tiny", seed=1), 0))
    name = next(name for name in changed["weights"] if name.endswith("weight"))
    changed["weights"][name] += 0.1
    write_torch(checkpoint(copied, Member("tiny", seed=1), 0), changed)
    state = step.state()
    assert state.kind == "stale" and "checkpoint of tiny+seed1 fold 0" in state.why


def test_a_goal_makes_the_soup_after_the_seeds_and_before_the_predictions(trained):
    stages = Pipeline(trained).stages("tune", entry_with_soup(trained))
    assert [stage.command[0] for stage in stages] == [
        *("folds", "train", "soup", "predict", "ensemble", "tune")
    ]
    for stage in stages[1:]:
        assert ("--soup" in stage.command) == (stage.command[0] not in ("train", "soup"))
    soup, predicted = stages[2].steps, stages[3].steps
    assert [step.name for step in soup] == ["soup tiny+soup0-1"]
    assert {"train tiny fold 0", "train tiny+seed1 fold 1"} <= set(soup[0].after)
    (after,) = {step.after for step in predicted if step.name == f"predict {SOUP} fold 0"}
    assert after == ("soup tiny+soup0-1",)
    plain = entry_of(trained.competition, seeds=SEEDS)
    assert "soup" not in [stage.command[0] for stage in Pipeline(trained).stages("tune", plain)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["soup"], "a soup is of two seeds or more and there is only 0; give `--seed 0 --seed 1`"),
        (["tune", "--soup", "--seed", "3", "--seed", "3"], "there is only 3"),
        (
            ["soup", "--seed", "0", "--seed", "1", "--fold", "1"],
            "fold 1 is the only one; give two folds or more",
        ),
        (
            ["soup", "--seed", "0", "--seed", "7"],
            "tiny+seed7/fold-0/checkpoint.pt is not there yet; `python -m competition train` first",
        ),
        (
            ["predict", "--soup", "--seed", "0", "--seed", "1"],
            "soup0-1/fold-0/checkpoint.pt is not there yet; `python -m competition soup` first",
        ),
    ],
)
def test_what_is_missing_is_one_message(copied, monkeypatch, words, told):
    monkeypatch.chdir(copied.workspace.root)
    file = copied.competition.folder / "competition.toml"
    result = CliRunner().invoke(app, [*words, "-c", str(file)])
    assert isinstance(result.exception, InputFault), result.exception
    assert told in str(result.exception).replace("\\", "/")


def test_seeds_that_were_not_trained_alike_are_told_together(copied):
    """Another recipe of the same name, other labels, another split."""
    for seed, fold, key in ((1, 0, "recipe"), (1, 1, "labels"), (0, 1, "fold")):
        path = checkpoint(copied, Member("tiny", seed=seed), fold).with_name("train.json")
        receipt = json.loads(path.read_text())
        receipt["inputs"][key] = "another"
        path.write_text(json.dumps(receipt))
    with pytest.raises(InputFault) as raised:
        steps.make_soups(copied, entry_with_soup(copied))
    assert str(raised.value).splitlines() == [
        "tiny+seed1 was trained on other inputs than tiny, fold 0: recipe",
        "tiny was trained on another split than fold 1 is now",
        "tiny+seed1 was trained on other inputs than tiny, fold 1: labels, fold",
        "a soup is of networks that were trained alike; train them again",
    ]
    assert not checkpoint(copied, SOUP, 0).exists()


def test_a_checkpoint_of_another_network_is_refused(copied):
    """Its receipt says that it is of the recipe; the file does not."""
    path = checkpoint(copied, Member("tiny", seed=1), 1)
    content = read_torch(path)
    content["training"]["recipe"]["batch"] = 3
    write_torch(path, content)
    with pytest.raises(InputFault, match="seed1.fold-1.checkpoint.pt is of another recipe or fold"):
        steps.make_soups(copied, entry_with_soup(copied))


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ({(0,): 0.5, (1,): 0.7, (2,): 0.6, (1, 2): 0.8, (0, 1, 2): 0.75}, (1, 2)),
        ({(0,): 0.5, (1,): 0.7, (2,): 0.6, (1, 2): 0.6, (0, 1): 0.7}, (0, 1)),
        ({(0,): 0.7, (1,): 0.7, (2,): 0.7, (0, 1): 0.1, (0, 2): 0.1}, (0,)),
        ({(0,): float("nan"), (1,): 0.1, (2,): 0.0, (1, 2): 0.0, (0, 1): float("nan")}, (1,)),
    ],
)
def test_a_seed_is_taken_where_the_score_of_the_mean_does_not_fall(scores, chosen):
    """The better first; of equals the lower seed; what has no score comes last."""
    asked = []

    def score(seeds):
        asked.append(seeds)
        return scores[seeds]

    assert greedy_seeds((0, 1, 2), score) == chosen
    assert asked[:3] == [(0,), (1,), (2,)] and len(asked) == 5


def test_the_mean_of_counters_is_the_first_ones():
    several = [{"w": torch.tensor([1.0]), "n": torch.tensor(3)}, {"w": torch.tensor([4.0])}]
    several[1]["n"] = torch.tensor(9)
    assert mean_weights(several) == {"w": torch.tensor([2.5]), "n": torch.tensor(3)}
