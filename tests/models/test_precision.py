import pytest
import torch

from competition.models import precision
from competition.models.precision import autocast, numbers_of
from competition.recipes import RECIPES, derive


@pytest.mark.parametrize(("native", "numbers"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bfloat16_only_where_the_processor_computes_in_it(native, numbers, monkeypatch):
    monkeypatch.setattr(precision, "_computes_in_bfloat16", lambda: native)
    recipe = RECIPES["unet-resnet18-cpu"]
    assert recipe.precision == "auto"
    assert numbers_of(recipe) == numbers


def test_a_recipe_that_names_its_numbers_gets_them():
    for numbers in ("fp32", "bf16"):
        recipe = derive(RECIPES["unet-resnet18-cpu"], {"precision": numbers})
        assert numbers_of(recipe) == numbers


@pytest.mark.parametrize(("cuda", "numbers"), [(True, "fp16"), (False, "fp32")])
def test_float16_is_for_gpus_and_float32_stands_in_elsewhere(cuda, numbers, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert numbers_of(derive(RECIPES["unet-resnet18-cpu"], {"precision": "fp16"})) == numbers


def test_the_context_computes_in_the_numbers_that_it_is_given():
    layer, pixels = torch.nn.Linear(2, 2), torch.ones(1, 2)
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    for numbers, kind in kinds.items():
        with autocast(torch.device("cpu"), numbers):
            assert layer(pixels).dtype == kind
