"""A tiny competition whose file leaves its recipe to a plan."""

import pytest

from competition.planning import step_costs
from competition.planning.step_costs import StepCost
from competition.project import Project

COST = StepCost(step=0.1, cpu=0.2, predict=0.01, letterbox=0.001, memory=2**20)


@pytest.fixture(scope="session")
def planned_file(tiny_data):
    """Its competition file, beside the data."""
    text = (tiny_data / "competition.toml").read_text()
    path = tiny_data / "planned.toml"
    path.write_text(text.replace('recipes = ["tiny"]', 'recipes = ["auto"]'))
    return path


@pytest.fixture
def planned(planned_file, tmp_path):
    """The project in a workspace of its own, split and not planned yet."""
    from competition.steps import make_split

    project = Project.open(planned_file, tmp_path)
    make_split(project)
    return project


@pytest.fixture
def timed(monkeypatch):
    """Recipes whose steps were timed; each takes `COST`."""
    taken = []

    def measure(recipe, probe, machine):
        taken.append(recipe)
        return COST

    monkeypatch.setattr(step_costs, "measure_step", measure)
    return taken
