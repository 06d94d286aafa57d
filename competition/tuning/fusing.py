"""A decided head as a layer of the models, so that it can be folded into a network for export."""

from collections.abc import Sequence
from pathlib import Path

import torch

from competition.errors import InputFault
from competition.models.head import Pointwise
from competition.models.layers import bias_of
from competition.tuning.decisions import read_decisions
from competition.tuning.head import Head


def decided_head(path: Path, member: str, *, classes: Sequence[str]) -> Pointwise:
    """The head that decisions.json at `path` has for a member; InputFault where it has none."""
    heads = read_decisions(path, classes=classes).mixture.heads
    if member not in heads:
        kept = ", ".join(heads) or "none"
        raise InputFault(
            f"{path} keeps no head for {member!r} (a checkpoint's member is the folder above its "
            f"fold); members with one: {kept}; export without --decisions"
        )
    return pointwise(heads[member])


def pointwise(head: Head) -> Pointwise:
    """The same layer for `models.fuse.fused` and `export`; InputFault for a 3x3 head."""
    if head.kind == "3x3":
        raise InputFault("a 3x3 head sees neighbours and cannot be folded into a 1×1 layer")
    mix = torch.tensor(head.mix, dtype=torch.float32)
    layer = Pointwise(len(head.bias))
    with torch.no_grad():
        layer.weight.copy_((torch.diag(mix[:, 0]) if head.kind != "1x1" else mix)[..., None, None])
        bias_of(layer).copy_(torch.tensor(head.bias, dtype=torch.float32))
    return layer
