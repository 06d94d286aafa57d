"""What a person marked: nothing is lost between windows, and wrong labels stay out of the training."""

import threading

import pytest
from typer.testing import CliRunner

from competition.cli import app
from competition.doctor import examine
from competition.entry import Member
from competition.errors import InputFault
from competition.marks import MARK_COLUMNS, Mark, add_mark, read_marks, round_marks, wrong_labels
from competition.project import Project
from competition.steps import make_split, training_task
from competition.steps import train as training_step


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pseudo" / "hands" / "marks.csv"


def test_marks_of_two_windows_at_once_are_all_there(path):
    def mark(window):
        for number in range(50):
            add_mark(path, Mark(f"{window}, {number}", "accept", 'left "upper"'))

    windows = [threading.Thread(target=mark, args=(name,)) for name in "abcd"]
    for one in windows:
        one.start()
    for one in windows:
        one.join()
    found = read_marks(path)
    assert {one.image for one in found} == {f"{w}, {n}" for w in "abcd" for n in range(50)}
    assert len(found) == 200 and all(one.name == 'left "upper"' and one.when for one in found)


def test_the_last_word_holds_and_can_be_taken_back(path):
    for mark in (
        Mark("a", "accept", "x"),
        Mark("a", "reject"),
        Mark("b", "reject"),
        Mark("b", "accept", "x"),
        Mark("c", "wrong", "x"),
        Mark("d", "wrong"),
        Mark("d", "none"),
    ):
        add_mark(path, mark)
    assert round_marks(path) == {("a", ""): "reject", ("b", ""): "reject", ("b", "x"): "accept"}
    assert wrong_labels(path) == ("c",)


def test_a_line_that_was_cut_is_named_and_the_next_mark_is_whole(path):
    add_mark(path, Mark("a", "accept"))
    path.write_text(path.read_text() + "b,rej")
    add_mark(path, Mark("c", "reject"))
    with pytest.raises(InputFault, match="marks.csv line 3: expected image, kind, class, when"):
        read_marks(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], ",".join(MARK_COLUMNS), lines[3], ""]))
    assert [one.image for one in read_marks(path)] == ["a", "c"]


@pytest.fixture
def marked(tiny_data, tmp_path):
    """A competition file beside the marks that it names, and an image that is marked after the split."""
    text = (tiny_data / "competition.toml").read_text()
    own = text.replace("[data]\n", '[data]\nexclude = ["pseudo/demo/marks.csv"]\n')
    own = own.replace('root = "."', f'root = "{tiny_data.as_posix()}"')
    assert own.count("exclude") == 1 and "root = " in own
    (tmp_path / "competition.toml").write_text(own)
    plain = Project.open(tiny_data / "competition.toml", tmp_path, say=lambda line: None)
    make_split(plain)
    wrong = plain.validation_images(0)[0]
    add_mark(plain.workspace.marks, Mark(wrong, "wrong", plain.classes[0]))
    return plain, wrong


def test_a_label_that_is_marked_wrong_is_neither_trained_on_nor_scored(marked, tmp_path):
    plain, wrong = marked
    said = []
    project = Project.open(tmp_path / "competition.toml", tmp_path, say=said.append)
    assert project.competition.marked == (wrong,) and wrong in set(plain.folds["image"])
    kept = plain.folds[plain.folds["image"] != wrong].reset_index(drop=True)
    assert project.folds.equals(kept)
    for fold in (0, 1):
        task = training_task(project, Member("tiny"), fold, project.recipe("tiny"))
        assert wrong not in {*task.train.images, *task.validation.images}
    facts = dict(examine(project.competition, project.workspace).found)
    assert facts["left out by marks"] == wrong
    state = project.pipeline.train(Member("tiny"), 0)
    assert state.inputs() != plain.pipeline.train(Member("tiny"), 0).inputs()


def test_a_training_says_how_many_images_marks_leave_out(marked, tmp_path, monkeypatch):
    said = []
    project = Project.open(tmp_path / "competition.toml", tmp_path, say=said.append)

    class Stop(Exception):
        pass

    def stop(*_, **__):
        raise Stop

    monkeypatch.setattr("competition.training.fit.fit", stop)
    with pytest.raises(Stop):
        training_step.train_network(project, Member("tiny"), 0)
    assert "1 images are left out, as their labels are marked wrong" in said


def test_a_file_of_marks_that_is_not_there_is_named(marked, tmp_path):
    marked[0].workspace.marks.unlink()
    result = CliRunner().invoke(app, ["folds", "-c", str(tmp_path / "competition.toml")])
    assert isinstance(result.exception, InputFault)
    assert "exclude in [data]: " in str(result.exception) and "podium view" in str(result.exception)
