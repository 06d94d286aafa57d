import pytest
from training_runs import Killed, same_weights

from competition.steps import Bench, split
from competition.training.fit import fit
from competition.training.progress import Progress


@pytest.fixture
def bench(project):
    bench = Bench.of(project, say=lambda line: None)
    split(bench)
    return bench


@pytest.fixture
def killed_after(monkeypatch):
    """Ends a run right after the checkpoint of a round."""

    def arrange(number):
        write = Progress.on_train_epoch_end

        def wrapped(self, trainer, pl_module):
            write(self, trainer, pl_module)
            if len(self.rows) == number:
                raise Killed

        monkeypatch.setattr(Progress, "on_train_epoch_end", wrapped)

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
