"""The benchmark of the losses measures every term that a recipe can name."""

from typing import get_args

import torch

from benchmarks import losses
from competition.recipes import LossTerm


def test_every_term_is_measured_and_bce_is_the_measure():
    named = set(get_args(LossTerm.model_fields["name"].annotation))
    assert {term.name for term in losses.TERMS.values()} == named
    lines = losses.measured((1, 2, 32, 32), repeats=1)
    assert [line.term for line in lines] == list(losses.TERMS) and lines[0].ratio == 1
    assert "| bce |" in losses.table(lines)


def test_a_measured_step_goes_back_to_the_logits():
    for term in losses.TERMS.values():
        step = losses.step_of(term, (1, 3, 32, 32))
        step()
        logits = next(
            cell.cell_contents
            for cell in step.__closure__
            if torch.is_tensor(cell.cell_contents) and cell.cell_contents.requires_grad
        )
        assert logits.grad.isfinite().all() and logits.grad.any(), term.name
