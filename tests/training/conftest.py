import pytest
from training_runs import Killed, same_weights

from competition.steps import make_split
from competition.training.fit import fit
from competition.training.progress import Progress


@pytest.fixture
def project(project):
    """The tiny competition, its folds made."""
    project.say = lambda line: None
    make_split(project)
    return project


@pytest.fixture
def killed_after(monkeypatch):
    """Ends a run right after the checkpoint of a round."""

    def arrange(number):
        line = Progress.line

        def wrapped(self):
            if len(self.rows) == number:
                raise Killed
            return line(self)

        monkeypatch.setattr(Progress, "line", wrapped)

    return arrange


@pytest.fixture
def straight_and_resumed(tmp_path, killed_after, monkeypatch):
    """Trains a task straight, and once more killed after a round and begun again, perhaps on another
    machine than the straight one; their folders, in which the weights are the same.
    """

    def arrange(task, number=2, *, machine=None, resumed_on=None):
        straight, resumed = tmp_path / "straight", tmp_path / "resumed"
        fit(task, straight, machine=machine)
        with pytest.raises(Killed):
            killed_after(number)
            fit(task, resumed, machine=resumed_on or machine)
        monkeypatch.undo()
        assert not (resumed / "checkpoint.pt").exists()
        fit(task, resumed, machine=resumed_on or machine)
        assert same_weights(straight, resumed)
        return straight, resumed

    return arrange
