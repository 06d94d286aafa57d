"""Fine-tuning of a published encoder: low-rank updates of it, and how deep each of its weights lies."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from competition.errors import InputFault
from competition.models.base import Body, SegmentationNetwork
from competition.models.gradient_checkpointing import repeated_blocks


class LowRank(nn.Module):
    """weight (O,I) → weight + up·down, a product of this rank that begins as 0 (Hu et al. 2021).

    A parametrization of the layer's weight, not a layer around it: timm's attention multiplies by
    `qkv.weight` itself, past whatever stands around the layer.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, weight.shape[1]))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def add_low_rank(body: Body, rank: int) -> None:
    """Leave the encoder of `body` as it is but for an update in each of its linear layers, in place.

    InputFault where it has no such layer.
    """
    parts = body.published_parts()
    layers = [m for part in parts for m in part.modules() if isinstance(m, nn.Linear)]
    if not layers:
        raise InputFault(
            f"network.lora = {rank}: this encoder has no linear layers to update; set network.lora = 0, "
            "or take a transformer such as network.encoder = 'tu-vit_base_patch16_dinov3.lvd1689m'"
        )
    for part in parts:
        part.requires_grad_(requires_grad=False)
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))


def merge_low_rank(network: nn.Module) -> None:
    """Add the updates to the weights that they are of, in place: plain layers, the same outputs.

    New layers: torch's `remove_parametrizations` takes the weights of a copy's original away as well,
    since both are of one class that it changes.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and parametrize.is_parametrized(child, "weight"):
                plain = nn.Linear(child.in_features, child.out_features, device="meta")
                plain.weight, plain.bias = nn.Parameter(child.weight.detach()), child.bias
                setattr(parent, name, plain)


def blocks_before(network: SegmentationNetwork, size: tuple[int, int]) -> dict[str, int]:
    """Of each weight of the encoder, by its name: how many of the encoder's blocks have begun when it
    is first used: 0 for the embedding, 1 in the first block, as many as there are in the last one.

    Seen in a forward pass of an image of `size`; on the meta device nothing is computed. Weights that
    are of no layer, such as those of positions, count with the embedding.
    """
    parts = network.body.published_parts()
    blocks = {id(block) for part in parts for block in repeated_blocks(part)}
    names = {id(weight): name for name, weight in network.named_parameters()}
    begun, found = 0, {}

    def note(module: nn.Module, _inputs: object) -> None:
        nonlocal begun
        begun += id(module) in blocks
        for weight in module.parameters(recurse=id(module) in blocks):
            found.setdefault(names[id(weight)], begun)

    modules = {id(module): module for part in parts for module in part.modules()}.values()
    hooks = [module.register_forward_pre_hook(note) for module in modules]
    try:
        with torch.no_grad():
            device = next(network.parameters()).device
            network.eval()(torch.zeros(1, network.channels, *size, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    of_encoder = [names[id(weight)] for part in parts for weight in part.parameters()]
    return {name: found.get(name, 0) for name in of_encoder}
