"""Trainings of a few steps by hand, without images on disk: cheap enough for every kind of recipe."""

import copy
from pathlib import Path
from typing import Any

import torch

from competition.models import SegmentationNetwork, build
from competition.recipes import Recipe
from competition.training.checkpoint import read_torch, write_torch
from competition.training.step import TrainingStep

CLASSES = 3
SIDE = 32


def batch_of(number: int, size: tuple[int, int] = (SIDE, SIDE)) -> dict[str, torch.Tensor]:
    """Two images of noise, and two squares of classes 0 and 2."""
    draw = torch.Generator().manual_seed(number)
    images = torch.randint(0, 256, (2, 3, *size), generator=draw, dtype=torch.uint8)
    planes = torch.zeros(2, 1, *size, dtype=torch.uint8)
    planes[:, :, 8:20, 4:30] = 5
    return {"images": images, "planes": planes}


class LightRun:
    """A training of `steps` steps that can be left after any of them."""

    def __init__(self, recipe: Recipe, *, steps: int) -> None:
        torch.manual_seed(0)
        network = build(recipe.network, CLASSES, pretrained=False)
        self.step = TrainingStep(network, recipe, classes=CLASSES, steps=steps, seed=0)
        self.optimizer, self.schedule = self.step.optimizer("cpu")
        self.done = 0

    @property
    def network(self) -> SegmentationNetwork:
        return self.step.network

    def go_to(self, last: int) -> "LightRun":
        """As a trainer does: training mode for all at each start, clipping, the schedule by steps."""
        self.network.train()
        while self.done < last:
            self.step.loss(batch_of(self.done), step=self.done, index=0).backward()
            self.step.clip()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.schedule.step()
            self.done += 1
        return self

    def kept(self) -> dict[str, Any]:
        """What another run goes on from."""
        parts = (self.network, self.optimizer, self.schedule)
        states = [copy.deepcopy(part.state_dict()) for part in parts]
        return {"done": self.done, "states": states}

    def resume(self, kept: dict[str, Any]) -> "LightRun":
        self.done = kept["done"]
        parts = (self.network, self.optimizer, self.schedule)
        for part, state in zip(parts, kept["states"], strict=True):
            part.load_state_dict(state)
        return self


def straight_and_left(
    recipe: Recipe, path: Path | None = None, *, left_after: int = 1, steps: int = 3
) -> tuple[SegmentationNetwork, SegmentationNetwork]:
    """The network of a run that kept, on its way, what another one went on from; and that one's.

    path: a file that it is kept in, as trainings keep it; None: in memory.
    """
    straight = LightRun(recipe, steps=steps).go_to(left_after)
    kept = straight.kept()
    straight.go_to(steps)
    if path is not None:
        write_torch(path, kept)
        kept = read_torch(path)
    resumed = LightRun(recipe, steps=steps).resume(kept).go_to(steps)
    return straight.network, resumed.network


def equal_states(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )
