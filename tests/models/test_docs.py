"""docs/models.md is followed to the letter."""

import ast
import importlib.util
import re
import textwrap
from pathlib import Path

import torch

from competition.models import surrounded
from competition.recipes import RECIPES, NetworkSettings
from competition.recipes.derive import SUFFIX

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
IMPORTS = """
from typing import Literal
from pydantic import Field
from torch import Tensor, nn
from competition.models import Body, Maps
from competition.recipes import NetworkSettings
"""


def test_the_page_on_adding_a_network_gives_one_that_trains_and_takes_every_option(tmp_path):
    settings, body, case, recipe = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
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
    assert isinstance(ast.parse(recipe).body[0].value, ast.Call)


def test_every_recipe_is_on_the_page_and_every_name_there_exists():
    table = PAGE.split("## Recipes")[1].split("\n## ")[0]
    named = set(re.findall(r"`([^`]+)`", table.split("|---|---|")[1].split("\n\n")[0]))
    assert named == {name for name in RECIPES if not name.endswith(SUFFIX)}


def test_every_option_of_the_page_is_one_of_the_settings():
    options = set(NetworkSettings.model_fields)
    rows = PAGE.split("Around any of them:")[1].split("\n## ")[0]
    first_columns = " ".join(re.findall(r"^\| (`.*?) \|", rows, re.MULTILINE))
    assert set(re.findall(r"`(.*?)`", first_columns)) == options
