"""The rounds of a run that score best on people of their own, and the mean of their weights.

Chosen by the fold that is held out, they would make its score optimistic; so the people that they are
chosen by are taken from the training side (`Task.aside`).
"""

import math
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from competition.scoring.metrics import Metric
from competition.training.module import SegmentationModule
from competition.training.progress import metric_over

Weights = dict[str, Tensor]


class Round(NamedTuple):
    """What a validation saw: its step, the score on the people set aside, and the weights."""

    step: int
    score: float
    weights: Weights


class BestRounds(Callback):
    """Keeps the best `count` rounds, the earlier one of equals.

    Stands before the moving average in the list of callbacks: after its turn the network is no longer
    the one that was validated.
    """

    def __init__(self, count: int, metric: Metric) -> None:
        self.count, self.metric = count, metric
        self.kept: list[Round] = []

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, SegmentationModule)
        score = metric_over(pl_module.verdicts[1], self.metric)
        state = pl_module.network.state_dict()
        weights = {name: value.detach().cpu().clone() for name, value in state.items()}
        self.kept.append(Round(trainer.global_step, score, weights))
        self.kept = sorted(self.kept, key=self._place)[: self.count]

    def state_dict(self) -> dict[str, Any]:
        return {"kept": [one._asdict() for one in self.kept]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.kept = [Round(**one) for one in state_dict["kept"]]

    def mean(self) -> Weights:
        """The mean of the kept weights; counters are the best round's."""
        first = self.kept[0].weights
        return {
            name: torch.stack([one.weights[name] for one in self.kept]).mean(dim=0)
            if value.is_floating_point()
            else value
            for name, value in first.items()
        }

    def said(self) -> str:
        """One line: which rounds the mean is of."""
        rounds = ", ".join(f"{one.step} ({one.score:.4f})" for one in self.kept)
        return f"the mean of the best rounds on the people set aside, after iterations {rounds}"

    def _place(self, one: Round) -> float:
        """Small is good; a score that is not defined comes last."""
        if math.isnan(one.score):
            return math.inf
        return -one.score if self.metric.higher_is_better else one.score
