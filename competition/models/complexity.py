"""What a network costs: output size, parameters, operations, memory; all on a copy of it.

A multiply-accumulate (MAC) is two floating-point operations (FLOP); many tools print the one and
call it the other, so both are given. Everything runs on the meta device: nothing is computed.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from competition.models import SegmentationNetwork
from competition.models.dry_run import dry_run
from competition.recipes import Recipe


@dataclass(frozen=True)
class Complexity:
    """Of one image of `size` (height, width)."""

    size: tuple[int, int]
    native: tuple[int, int]
    """Height, width of the logits before any enlargement: look here before an up convolution."""
    parameters: int
    flops: int
    """Convolutions, matrix products and attention, as torch counts them."""
    activations: int
    """Bytes that training keeps for the backward pass in float32, weights apart."""

    @property
    def macs(self) -> float:
        return self.flops / 2

    @property
    def stride(self) -> float:
        """Pixels of the image for each logit, along the height."""
        return self.size[0] / self.native[0]


def measure_recipe(recipe: Recipe, classes: int) -> Complexity:
    """The cost of the recipe's network at its own size, without making its weights."""
    return measure(dry_run(recipe, classes), recipe.size)


def measure(network: SegmentationNetwork, size: tuple[int, int]) -> Complexity:
    """The cost of `network`, which stays as it is."""
    network = copy.deepcopy(network).to("meta")
    image = torch.zeros(1, network.channels, *size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        output = network.eval()(image)
    return Complexity(
        size=tuple(size),
        native=tuple(output.logits.shape[-2:]),
        parameters=parameter_count(network),
        flops=counter.get_total_flops(),
        activations=kept_bytes(network, image),
    )


def parameter_count(module: nn.Module) -> int:
    """Every parameter once, however often it is registered."""
    return sum(parameter.numel() for parameter in module.parameters())


def kept_bytes(network: SegmentationNetwork, image: Tensor) -> int:
    """Bytes an image adds to what autograd keeps; the mean of two, which BatchNorm asks for."""
    weights = {id(p.untyped_storage()) for p in network.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if id(storage) not in weights:
            kept[id(storage)] = storage
        return tensor

    network.train()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = network(image.repeat(2, 1, 1, 1))
    del output
    return sum(storage.nbytes() for storage in kept.values()) // 2


def complexity_text(costs: dict[str, Complexity]) -> str:
    """A table, one line a recipe: sizes, stride, parameters, operations, memory."""
    lines = [f"{'recipe':28}      image     logits  stride  M params    GFLOP     GMAC  MB kept"]
    for name, cost in costs.items():
        lines.append(
            f"{name:28}{_sides(cost.size):>11}{_sides(cost.native):>11}{cost.stride:8g}"
            f"{cost.parameters / 1e6:10.3f}{cost.flops / 1e9:9.3f}{cost.macs / 1e9:9.3f}"
            f"{cost.activations / 1e6:9.0f}"
        )
    return "\n".join(lines)


def _sides(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
