"""A tiny competition, made once and shared: a few people of the demo, folds, one-epoch recipes."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tiny_competition import write_competition

from competition.project import Project

# A crowded machine draws examples slowly; that is no fault of the code.
settings.register_profile("podium", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("podium")

# What the processor would choose must not decide what a test sees; tests of dtypes choose theirs.
os.environ.setdefault("PODIUM_DTYPE", "float32")
os.environ.setdefault("PODIUM_KEEP_MEMORY", "no")  # many tests' memory in one process
os.environ.pop("PODIUM_CALLED", None)  # `./inv test` sets it, and messages would name inv

TINY = """
[ensemble]
recipes = ["tiny"]

[recipes.tiny]
base = "unet-cpu"
network = { base = 8, stages = 4 }
size = [64, 64]
batch = 2
schedule = { epochs = 3, warmup = 0.0 }
validate_every = 1

[recipes.other]
base = "tiny"
network = { up_sampling = "bilinear" }
"""


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    """Folder of a tiny download with its competition.toml; read only."""
    folder = tmp_path_factory.mktemp("download") / "data"
    write_competition(folder, people=6, test_people=2, choices=TINY)
    return folder


@pytest.fixture
def project(tiny_data, tmp_path) -> Project:
    """The tiny competition in a workspace of its own."""
    return Project.open(tiny_data / "competition.toml", tmp_path)
