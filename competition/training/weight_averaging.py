"""Averages of the weights: along a run the moving one and the equal one of its last rounds (SWA), and
the mean of several.

SWA (Izmailov et al. 2018) takes the plain mean of the weights at the ends of the last rounds. Running
means and variances of batch normalisation belong to none of the networks that were averaged, so they
are measured anew on the training images.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from itertools import compress
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from competition.models import SegmentationNetwork
from competition.scoring.metrics import Metric
from competition.training.progress import metric_over
from competition.training.step import ImageScores

Move = Callable[[Sequence[Tensor], Sequence[Tensor], int], None]
"""(averages, current, updates so far) → averages moved in place; counters are taken over."""


def ema_step(decay: float) -> Move:
    """The decay grows to `decay` by (1 + n) / (10 + n) in n updates.

    Without the growth, the average of a short run still carries its first, random steps (teeth,
    fold 0: .28 after 384 steps at 256² without it, .54 after 320 steps at 192² with it).
    """

    def move(averages: Sequence[Tensor], current: Sequence[Tensor], updates: int) -> None:
        _move(averages, current, 1 - min(decay, (1 + updates) / (10 + updates)))

    return move


def measure_norms(network: SegmentationNetwork, loader: DataLoader) -> None:
    """Replace the running means and variances of batch normalisation by those over the loader.

    loader: batches with "images" (B, C, h, w). Everything else stays in evaluation mode, so
    that nothing random is in it. A network without batch normalisation stays as it is.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for the plain mean over batches
        norm.train()
    device = next(network.parameters()).device
    with torch.no_grad():
        for batch in loader:
            network(network.normalised(batch["images"].to(device)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def equal_step(averages: Sequence[Tensor], current: Sequence[Tensor], updates: int) -> None:
    _move(averages, current, 1 / (1 + updates))


def _move(averages: Sequence[Tensor], current: Sequence[Tensor], share: float) -> None:
    floating = [average.is_floating_point() for average in averages]
    means, values = [*compress(averages, floating)], [*compress(current, floating)]
    if means:
        torch._foreach_lerp_(means, values, share)  # at once, as torch's own AveragedModel does
    for average, value, is_mean in zip(averages, current, floating, strict=True):
        if not is_mean:
            average.copy_(value)


class Average:
    """The mean of a network's weights along a run, kept on the network's device."""

    def __init__(self, network: SegmentationNetwork, move: Move) -> None:
        self.network, self._move, self.updates = network, move, 0
        self.mean = deepcopy(network).requires_grad_(requires_grad=False).eval()

    def update(self) -> None:
        """Take in the network as it is: the first one as it stands, the next ones by `move`."""
        means, current = ([*one.parameters(), *one.buffers()] for one in (self.mean, self.network))
        with torch.no_grad():
            if self.updates:
                self._move(means, current, self.updates)
            else:
                self.mean.load_state_dict(self.network.state_dict())
        self.updates += 1

    def take(self) -> None:
        """Give the network the mean of what was taken in; without any, it stays as it is."""
        if self.updates:
            self.network.load_state_dict(self.mean.state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "weights": self.mean.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.updates = state["updates"]
        self.mean.load_state_dict(state["weights"])


Weights = dict[str, Tensor]


def mean_weights(several: Sequence[Weights]) -> Weights:
    """The plain mean of the same network's weights; counters are the first one's."""
    return {
        name: torch.stack([weights[name] for weights in several]).mean(dim=0)
        if value.is_floating_point()
        else value
        for name, value in several[0].items()
    }


def greedy_seeds(
    seeds: Sequence[int], score: Callable[[tuple[int, ...]], float]
) -> tuple[int, ...]:
    """The seeds of a soup, in order, after Wortsman et al. (2022): the one that scores best alone, then
    each further one, the better first, that does not lower the score of the mean.

    score: of the network with the mean of these seeds' weights, given in order; larger is better, NaN
    the worst.
    """
    alone = {seed: _or_worst(score((seed,))) for seed in seeds}
    first, *others = sorted(seeds, key=lambda seed: -alone[seed])
    chosen, best = (first,), alone[first]
    for seed in others:
        more = tuple(sorted((*chosen, seed)))
        value = _or_worst(score(more))
        if value >= best:
            chosen, best = more, value
    return chosen


def _or_worst(score: float) -> float:
    return -math.inf if math.isnan(score) else score


class KeptRound(NamedTuple):
    """What a validation saw: its step, the score on the groups set aside, and the weights."""

    step: int
    score: float
    weights: Weights


class BestRounds:
    """Keeps the best `count` rounds, the earlier one of equals."""

    def __init__(self, count: int, metric: Metric) -> None:
        self.count, self.metric = count, metric
        self.kept: list[KeptRound] = []

    def validated(
        self, step: int, network: SegmentationNetwork, image_scores: Sequence[ImageScores]
    ) -> None:
        """The network as it was just validated, and its scores on the groups set aside."""
        score = metric_over(image_scores, self.metric)
        state = network.state_dict()
        weights = {name: value.detach().cpu().clone() for name, value in state.items()}
        self.kept.append(KeptRound(step, score, weights))
        self.kept = sorted(self.kept, key=self._place)[: self.count]

    def mean(self) -> Weights:
        """The mean of the kept weights; counters are the best round's."""
        return mean_weights([one.weights for one in self.kept])

    def said(self) -> str:
        """One line: which rounds the mean is of."""
        rounds = ", ".join(f"{one.step} ({one.score:.4f})" for one in self.kept)
        return f"the mean of the best rounds on the groups set aside, after iterations {rounds}"

    def _place(self, one: KeptRound) -> float:
        """Small is good; a score that is not defined comes last."""
        if math.isnan(one.score):
            return math.inf
        return -one.score if self.metric.higher_is_better else one.score
