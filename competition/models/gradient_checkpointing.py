"""Gradient checkpointing (Chen et al. 2016): blocks keep their input and compute the rest again.

It trades about a third more computing for a memory that grows with the number of blocks, not with
what is inside them.
"""

from collections import Counter
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from competition.errors import InputFault
from competition.models.base import Body


def recompute_blocks(body: Body) -> None:
    """Every repeated block of `body` computes its activations again in the backward pass.

    In place; the names of the weights stay. InputFault where the encoder repeats no block.
    """
    if not repeated_blocks(body.encoder_part()):
        raise InputFault(
            "this encoder is not built of repeated blocks, so gradient checkpointing has nothing "
            "to compute again; set network.gradient_checkpointing = false and lower the batch"
        )
    for block in repeated_blocks(body):
        block.forward = partial(_recomputing, block.forward)


def repeated_blocks(module: nn.Module) -> list[nn.Module]:
    """The modules that stand beside others of their class in a list or a sequence.

    A stage that is little more than such a sequence counts as its blocks. Plain layers of torch,
    and blocks of a single convolution, do not count: hardly anything is kept inside them.
    """
    siblings = _blocks_among(module) if isinstance(module, _SEQUENCES) else []
    found = [finest for block in siblings for finest in _finest(block)]
    for child in module.children():
        if not any(child is block for block in siblings):
            found += repeated_blocks(child)
    return found


_SEQUENCES = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_WEIGHT_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_MOSTLY = 0.8


def _blocks_among(sequence: nn.Module) -> list[nn.Module]:
    own = [
        module
        for module in sequence.children()
        if not type(module).__module__.startswith("torch.nn")
        and sum(isinstance(layer, _WEIGHT_LAYERS) for layer in module.modules()) > 1
    ]
    count = Counter(type(module) for module in own)
    return [module for module in own if count[type(module)] > 1]


def _finest(block: nn.Module) -> list[nn.Module]:
    inner = repeated_blocks(block)
    inside = sum(weight.numel() for one in inner for weight in one.parameters())
    return inner if inside > _MOSTLY * sum(w.numel() for w in block.parameters()) else [block]


def _recomputing(forward: Any, *inputs: Any, **options: Any) -> Any:
    """`forward`, a block's own method, under checkpointing; as it is where nothing is learnt."""
    if not torch.is_grad_enabled():
        return forward(*inputs, **options)
    contexts = partial(_contexts, forward.__self__)
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts, **options)


def _contexts(block: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    return nullcontext(), _frozen_statistics(block)


@contextmanager
def _frozen_statistics(block: nn.Module) -> Generator[None]:
    """The second forward pass must not count the batch into the running means once more."""
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    counters = [c for norm in norms if (c := norm.num_batches_tracked) is not None]
    counts = [counter.clone() for counter in counters]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for counter, count in zip(counters, counts, strict=True):
            counter.copy_(count)
