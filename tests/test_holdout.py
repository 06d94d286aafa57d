"""The untouched part of the labels: in no fold, no training and no decision; scored once."""

import numpy as np
import pytest

from competition import steps
from competition.data.catalog import of_split
from competition.data.holdout import make_holdout, set_apart, write_holdout
from competition.data.leaks import refuse_leak
from competition.decoding.decisions import decide
from competition.entry import entry_of
from competition.errors import InputFault
from competition.masks import Runs
from competition.project import Project
from competition.scoring import aggregate, score_image
from competition.spec import Split
from competition.steps import holdout
from competition.steps.prediction_stores import mean_predictions, out_of_fold
from competition.steps.submit import read_decoder


def with_holdout(tiny_data, root, share="0.34"):
    """The tiny competition with a third of its six people held out."""
    path = root / "competition.toml"
    text = (tiny_data / "competition.toml").read_text()
    text = text.replace("folds = 2", f"folds = 2\nholdout = {share}")
    path.write_text(
        text.replace('root = "."', f'root = "{tiny_data}"').replace("epochs = 3", "epochs = 1")
    )
    return Project.open(path, root, say=lambda line: None)


@pytest.fixture(scope="module")
def finished(tiny_data, tmp_path_factory):
    """Everything up to the ensemble, threshold 0.5."""
    project = with_holdout(tiny_data, tmp_path_factory.mktemp("work"))
    entry = entry_of(project.competition)
    steps.make_split(project)
    steps.train_entry(project, entry)
    steps.predict_entry(project, entry)
    steps.score_ensemble(project, entry)
    return project


def test_whole_people_are_held_out_and_no_fold_knows_them(finished):
    project = finished
    held, left = set(project.rows("holdout")["group"]), set(project.folds["group"])
    assert len(held) == 2 and len(left) == 4 and not held & left
    assert set(project.rows("holdout")["image"]).isdisjoint(project.rows("train")["image"])
    assert finished.workspace.holdout.exists()


def test_no_network_is_trained_validated_or_decided_on_the_holdout(finished):
    project = finished
    held = set(project.rows("holdout")["image"])
    entry = entry_of(project.competition)
    for fold in entry.folds:
        task = steps.training_task(finished, entry.members[0], fold, project.recipe("tiny"))
        assert held.isdisjoint(task.train.images) and held.isdisjoint(task.validation.images)
        assert len(task.train.images) + len(task.validation.images) == 8
    for reader in out_of_fold(finished, entry).values():
        assert held.isdisjoint(reader.images)
    for store in mean_predictions(finished, entry, "holdout").values():
        assert set(store.images) == held


def test_the_holdout_is_scored_once_and_later_takings_say_that_they_are_later(finished):
    said = []
    source = finished.competition.folder / "competition.toml"
    project = Project.open(source, finished.workspace.root, say=said.append)
    entry = entry_of(project.competition)
    first = steps.score_holdout(project, entry, plain=True)
    decoder = read_decoder(project, entry, plain=True)
    together = decoder.mix(mean_predictions(project, entry, "holdout"))
    rows = np.stack(
        [
            score_image(
                project.labels[i], decide(together, i, decoder.rules), project.competition.metric
            )
            for i in project.rows("holdout")["image"]
        ]
    )
    assert first.score.value == pytest.approx(aggregate(rows, project.competition.metric))
    assert (first.number, first.images, first.groups) == (1, 4, 2)
    truths = [project.labels[i] for i in project.rows("holdout")["image"]]
    nothing = [score_image(t, Runs.empty(t.shape), project.competition.metric) for t in truths]
    assert first.empty.value == pytest.approx(
        aggregate(np.stack(nothing), project.competition.metric)
    )
    assert f"for main-plain, {first.empty} for an empty submission, taken" in str(first)
    assert not any(line.startswith("note") for line in said)
    again = steps.score_holdout(project, entry, plain=True)
    assert again == first and said[-1] == f"scored before, on {first.when}; not again"
    steps.tune_entry(project, entry)
    assert steps.score_holdout(project, entry).number == 2
    note = next(line for line in said if line.startswith("note"))
    assert "scored 1 times before, first for main-plain" in note


def test_empty_masks_are_scored_on_the_holdout_beside_those_that_are_found(finished, monkeypatch):
    """Found here are the labels themselves: a network of one epoch finds nothing."""
    (finished.workspace.submissions / "holdout.json").unlink(missing_ok=True)
    monkeypatch.setattr(holdout, "masks_under", lambda *_: finished.labels.__getitem__)
    score = steps.score_holdout(finished, entry_of(finished.competition), plain=True)
    (finished.workspace.submissions / "holdout.json").unlink()
    assert score.score.value == 1 and 0 < score.empty.value < 0.2


def test_without_a_holdout_there_is_nothing_to_score(project):
    with pytest.raises(InputFault, match="there is no holdout; set holdout in"):
        steps.score_holdout(project, entry_of(project.competition))


def test_a_split_and_its_holdout_belong_together(project, tmp_path):
    catalog, labels, split = project.everything, project.labels, Split(folds=2)
    path, folds = tmp_path / "h.csv", tmp_path / "f.csv"
    assert set_apart(catalog, path, folds, 0.34).equals(catalog)
    folds.write_text("made before")
    with pytest.raises(InputFault, match="was made without one; delete it"):
        set_apart(catalog, path, folds, 0.34)
    write_holdout(make_holdout(catalog, labels, split, 0.34), path)
    assert len(of_split(set_apart(catalog, path, folds, 0.34), "holdout")) == 4
    with pytest.raises(InputFault, match="has no holdout; set it, or delete"):
        set_apart(catalog, path, folds, None)
    with pytest.raises(InputFault, match="a holdout is made once"):
        write_holdout(make_holdout(catalog, labels, split, 0.34), path)
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\nunknown.png,ID001\n")
    with pytest.raises(InputFault) as raised:
        set_apart(catalog, path, folds, 0.34)
    assert "'unknown.png' is not among the 12 training images" in str(raised.value)
    assert "is held out in part only" in str(raised.value)


def test_a_holdout_that_leaves_too_few_groups_is_refused(project):
    with pytest.raises(InputFault, match="leaves too few of 6 groups for 5 folds"):
        make_holdout(project.everything, project.labels, Split(folds=5), 0.34)


def test_a_pseudo_label_of_the_holdout_is_refused():
    with pytest.raises(InputFault, match="image 'h1' is in the holdout"):
        refuse_leak(["t1", "h1"], {"h1"}, groups={"h1": "a"}, where="the holdout")
