import pytest
from training_runs import Killed

from competition.steps import Bench, split
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

    yield arrange
