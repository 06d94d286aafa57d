"""Going on from a trained member: its weights, its ancestry, and what is refused."""

import json

import pytest
import torch
from training_runs import read_torch, weights

from competition import steps
from competition.entry import Member, entry_of
from competition.errors import InputFault
from competition.pipeline import options_of
from competition.project import Project
from competition.steps import training_task
from competition.training.fit import fit

RECIPES = """
[recipes.longer]
base = "tiny"
schedule = { iterations = 2, warmup = 0.0 }

[recipes.still]
base = "tiny"
optimizer = { learning_rate = 1e-30 }
schedule = { iterations = 1 }
"""
ONCE = Member("longer", continued="tiny")


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory):
    """A workspace with `tiny` trained on fold 0."""
    folder = tmp_path_factory.mktemp("work")
    text = (tiny_data / "competition.toml").read_text()
    (folder / "competition.toml").write_text(
        text.replace('root = "."', f'root = "{tiny_data}"') + RECIPES
    )
    project = Project.open(folder / "competition.toml", folder, say=lambda line: None)
    steps.make_split(project)
    steps.train_network(project, Member("tiny"), 0)
    return project


def task(project, member):
    return training_task(project, member, 0, project.recipe(member.recipe))


def receipt(project, member):
    return json.loads((project.workspace.run(str(member), 0) / "train.json").read_text())


def test_it_starts_with_the_weights_of_its_parent(trained, tmp_path):
    """With a learning rate of nothing the one step leaves them as they were, but for norms."""
    fit(task(trained, Member("still", continued="tiny")), tmp_path)
    parent = weights(trained.workspace.run("tiny", 0))
    child = weights(tmp_path)
    for name in parent:
        if "running" not in name and "num_batches" not in name:
            assert torch.allclose(child[name], parent[name], atol=1e-6), name


def test_its_checkpoint_and_receipt_carry_the_chain_of_ancestors(trained):
    steps.train_network(trained, ONCE, 0)
    twice = Member("longer", continued=str(ONCE))
    steps.train_network(trained, twice, 0)
    workspace = trained.workspace
    first = receipt(trained, Member("tiny"))["iterations"]
    digests = [
        (workspace.run(name, 0) / "checkpoint.pt.sha256").read_text().strip()
        for name in ("tiny", "longer+from-tiny")
    ]
    chain = [
        {"member": "tiny", "sha256": digests[0], "iterations": first},
        {"member": "longer+from-tiny", "sha256": digests[1], "iterations": first + 2},
    ]
    assert receipt(trained, ONCE)["ancestors"] == chain[:1]
    assert receipt(trained, twice)["ancestors"] == chain
    assert receipt(trained, twice)["iterations"] == first + 4
    path = workspace.run("longer+from-longer+from-tiny", 0) / "checkpoint.pt"
    assert read_torch(path)["training"]["ancestors"] == chain


def test_it_is_stale_when_its_parent_changes_and_says_so(trained):
    steps.train_network(trained, ONCE, 0)
    step = trained.pipeline.train(ONCE, 0)
    assert step.state().kind == "fresh"
    path = trained.workspace.run("tiny", 0) / "checkpoint.pt"
    whole = path.read_bytes()
    path.write_bytes(whole + b" ")
    assert (step.state().kind, step.state().why) == ("stale", "continued changed")
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ("member", "text"),
    [
        (
            Member("longer", continued="nobody"),
            "'nobody' is not trained on fold 0 .*train it first",
        ),
        (Member("longer", seed=1, continued="tiny"), "has seed 0 and .* has 1"),
        (Member("other", continued="tiny"), "whose network is another: .*give both"),
    ],
)
def test_what_cannot_be_continued_is_refused_before_anything_is_written(trained, member, text):
    with pytest.raises(InputFault, match=text):
        steps.train_network(trained, member, 0)
    folder = trained.workspace.run(str(member), 0)
    assert not (folder / "checkpoint.pt").exists() and not (folder / "train.json").exists()


def test_a_parent_of_another_split_is_refused_since_it_saw_what_is_held_out(trained):
    path = trained.workspace.folds
    text = path.read_text()
    path.write_text(text.replace(",0\n", ",x\n").replace(",1\n", ",0\n").replace(",x\n", ",1\n"))
    try:
        other = Project.open(
            trained.competition.folder / "competition.toml",
            trained.workspace.root,
            say=lambda line: None,
        )
        with pytest.raises(InputFault, match="another split than fold 0 is now"):
            steps.train_network(
                other,
                Member("longer", continued="tiny"),
                0,
                force=True,
            )
    finally:
        path.write_text(text)


def test_an_entry_of_continued_members_names_itself_and_its_options(project):
    entry = entry_of(project.competition, recipes=("other",), continued="tiny")
    assert [str(member) for member in entry.members] == ["other+from-tiny"]
    assert entry.name == "other+from-tiny"
    words = options_of(entry)
    assert words[words.index("--continue-from") + 1] == "tiny"
    with pytest.raises(InputFault, match="expected the name of a folder"):
        entry_of(project.competition, continued="../elsewhere")
