"""docs/models.md and docs/extending.md are followed to the letter."""

import ast
import importlib.util
import re
import textwrap
import tomllib
from pathlib import Path

import torch

from competition.models import surrounded
from competition.recipes import (
    Comparison,
    NetworkSettings,
    Recipe,
    experiment_names,
    read_experiment,
    recipe_named,
    recipe_names,
)

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "models.md").read_text(encoding="utf-8")
EXTENDING = (DOCS / "extending.md").read_text(encoding="utf-8")
ABLATIONS = (DOCS / "ablations.md").read_text(encoding="utf-8")
IMPORTS = """
from typing import Literal
from pydantic import Field
from torch import Tensor, nn
from competition.models import Body, Maps
from competition.recipes import NetworkSettings
"""


def test_the_page_on_adding_a_network_gives_one_that_trains_and_takes_every_option(tmp_path):
    settings, body, case = re.findall(r"```python\n(.*?)```", EXTENDING, re.DOTALL)[:3]
    file = tmp_path / "dilated.py"
    file.write_text(IMPORTS + settings + body, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("dilated", file)
    dilated = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dilated)

    options = dilated.Dilated(
        width=8, norm="group", down="unshuffle", up="shuffle", head="1x1", presence=0.1
    )
    network = surrounded(dilated.DilatedBody(options, 4 * 2), options, 2)
    output = network.train()(torch.randn(2, 3, 33, 47))
    assert output.logits.shape == (2, 2, 33, 47)
    (output.logits.sum() + output.presence.sum()).backward()
    assert all(p.grad is not None for p in network.parameters())
    ast.parse("match network:\n" + textwrap.indent(textwrap.dedent(case), "    "))
    tables = re.findall(r"```toml\n(.*?)```", PAGE + EXTENDING, re.DOTALL)
    (recipe,) = (one for one in tables if "[recipes.dilated]" in one)
    table = tomllib.loads(recipe)["recipes"]["dilated"]
    assert table.pop("base") in recipe_names() and table["network"] == {"kind": "dilated"}
    assert set(table) <= set(Recipe.model_fields)


def test_every_recipe_to_choose_from_is_on_the_page_and_every_name_there_exists():
    table = PAGE.split("## Recipes")[1].split("\n## ")[0]
    named = set(re.findall(r"`([^`]+)`", table.split("|---|---|")[1].split("\n\n")[0]))
    assert named == set(recipe_names())
    for name in re.findall(r"`((?:fcn|deeplabv3|light-unet)-[a-z0-9-]+)`", PAGE):
        assert recipe_named(name, {}).name == name


def test_the_page_on_ablations_says_of_each_what_its_file_says():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", ABLATIONS, re.MULTILINE)
    assert len(rows) > 9
    for name, about, source in rows:
        assert name in experiment_names()
        experiment = read_experiment(name)
        assert (about, source) == (experiment.about, experiment.source)


def test_the_experiment_of_the_page_on_ablations_is_one():
    (text,) = (
        one for one in re.findall(r"```toml\n(.*?)```", ABLATIONS, re.DOTALL) if "trials" in one
    )
    experiment = Comparison.model_validate(tomllib.loads(text))
    for trial in experiment.trials:
        assert recipe_named(trial.recipe, experiment.recipes).name == trial.recipe


def test_every_option_of_the_page_is_one_of_the_settings():
    options = set(NetworkSettings.model_fields)
    rows = PAGE.split("Around any of them:")[1].split("\n## ")[0]
    first_columns = " ".join(re.findall(r"^\| (`.*?) \|", rows, re.MULTILINE))
    assert set(re.findall(r"`(.*?)`", first_columns)) == options
