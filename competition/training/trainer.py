"""The training loop, by Lightning; no other module knows of it. Another loop would be this file anew.

The Trainer is told everything: one process, one device, nothing taken from the environment. Left alone,
Lightning takes whatever devices it finds and starts the command once for each, and reads any of its
settings from `PL_TRAINER_*` variables.
"""

import logging
import os
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, WeightAveraging
from lightning.pytorch.plugins import MixedPrecision, Precision
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRSchedulerConfig
from torch import Tensor
from torch.utils.data import DataLoader

from competition.machine import Machine
from competition.training.checkpoint import read_torch, write_torch
from competition.training.progress import Progress, RoundFacts
from competition.training.step import TrainingStep
from competition.training.weight_averaging import BestRounds, KeptRound, ema_step, equal_step


class Loaders(NamedTuple):
    """Of augmented examples, and of the images that are validated on, as they are."""

    training: DataLoader
    validation: list[DataLoader]


def run_training(
    step: TrainingStep,
    loaders: Loaders,
    progress: Progress,
    *,
    best: BestRounds | None = None,
    resumed: Path | None = None,
) -> None:
    """All rounds of `progress.plan`; `step.network` ends with the weights that its recipe averages.

    progress: is told of every batch and round; best: of every validation; resumed: `progress.last` of
    a run that was stopped, to go on from.
    """
    _hush_advice()
    machine, plan, recipe = progress.machine, progress.plan, step.recipe
    average = Ema(multi_avg_fn=ema_step(recipe.ema), use_buffers=True)
    if recipe.swa is not None:
        average = Swa(max(0, plan.rounds - recipe.swa))
    # The best rounds' network is the one that was validated: they look before it is averaged.
    first: list[Callback] = [] if best is None else [_BestKeeper(best)]
    device = machine.torch_device()
    with _without_lightning_variables():
        trainer = Trainer(
            accelerator=device.type,
            devices=1 if device.type in ("cpu", "mps") else [device.index],
            num_nodes=1,
            strategy=SingleDeviceStrategy(device=device),
            plugins=[_precision(machine), WholeFiles(), LightningEnvironment()],
            max_epochs=plan.rounds,
            accumulate_grad_batches=recipe.accumulate,
            check_val_every_n_epoch=plan.validate_every,
            num_sanity_val_steps=0,
            callbacks=[*first, average, _Reporter(progress)],
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            use_distributed_sampler=False,
        )
    trainer.fit(_Module(step), loaders.training, loaders.validation, ckpt_path=resumed)


class _Module(LightningModule):
    """A `TrainingStep` as Lightning takes it."""

    def __init__(self, step: TrainingStep) -> None:
        super().__init__()
        self.network, self.step = step.network, step

    def training_step(self, batch: Mapping[str, Tensor], index: int) -> Tensor:
        loss = self.step.loss(batch, step=self.global_step, index=index)
        self.log("train_loss", loss, on_step=True, on_epoch=True, batch_size=1)
        return loss

    def validation_step(
        self, batch: Mapping[str, Any], index: int, dataloader_idx: int = 0
    ) -> None:
        self.step.validate(batch, dataloader_idx)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips here: under autocast Lightning's own refuses every fused optimizer."""
        self.step.clip()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer, schedule = self.step.optimizer(self.device.type)
        each_step: LRSchedulerConfigType = {"scheduler": schedule, "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": each_step}


class _Reporter(Callback):
    """Tells `Progress`, and keeps what the run can go on from."""

    state_key = "Progress"

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.progress.begin(trainer.global_step)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        place, round_ = int(batch["place"][0]), trainer.current_epoch
        self.progress.require_due(place, round_=round_, index=batch_idx)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self.progress.batch_done(trainer.global_step, float(outputs["loss"])):
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, _Module)
        facts = RoundFacts(
            trainer.current_epoch + 1,
            trainer.global_step,
            float(trainer.optimizers[0].param_groups[0]["lr"]),
            float(trainer.callback_metrics["train_loss_epoch"]),
        )
        self.progress.round_done(facts, pl_module.step.image_scores)
        trainer.save_checkpoint(self.progress.last)
        self.progress.say(self.progress.line())

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint |= self.progress.kept()

    def state_dict(self) -> dict[str, Any]:
        return {"silent": self.progress.silent}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.progress.silent = state_dict["silent"]


class _BestKeeper(Callback):
    """Tells `BestRounds`."""

    state_key = "BestRounds"

    def __init__(self, best: BestRounds) -> None:
        self.best = best

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, _Module)
        step = pl_module.step
        self.best.validated(trainer.global_step, step.network, step.image_scores[1])

    def state_dict(self) -> dict[str, Any]:
        return {"kept": [one._asdict() for one in self.best.kept]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best.kept = [KeptRound(**one) for one in state_dict["kept"]]


class Ema(WeightAveraging):
    """Lightning's, which leaves the average to the module also where a resumed run has no step left."""

    state_key = "MovingAverage"  # as in the files of 0.1.0

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_train_end(trainer, pl_module)


class Swa(Ema):
    """The plain mean of the weights at the ends of the rounds from `first` on.

    Validations before that are of the network as it is.
    """

    state_key = "EqualAverage"

    def __init__(self, first: int) -> None:
        super().__init__(multi_avg_fn=equal_step, use_buffers=True)
        self.first = first

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return epoch_idx is not None and epoch_idx >= self.first

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._has_begun(trainer):
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._has_begun(trainer):
            super().on_validation_epoch_end(trainer, pl_module)

    def _has_begun(self, trainer: Trainer) -> bool:
        """A round is validated before its weights are averaged, so the first one that counts is not."""
        return trainer.current_epoch > self.first


class WholeFiles(CheckpointIO):
    """Reads and writes what a run goes on from as every checkpoint here: whole, with its sha256.

    Lightning's own writes through the folder for temporary files, which is not atomic where that
    lies on another file system.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        write_torch(Path(path), checkpoint)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_torch(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


def _precision(machine: Machine) -> Precision:
    """float16 scales its loss, on a CPU too; bfloat16 has float32's range and needs no scaler."""
    if machine.dtype == "float32":
        return Precision()
    if machine.dtype == "bfloat16":
        return MixedPrecision("bf16-mixed", machine.kind)
    return MixedPrecision("16-mixed", machine.kind, torch.amp.GradScaler(machine.kind))


@contextmanager
def _without_lightning_variables() -> Generator[None]:
    """The environment without `PL_TRAINER_*` while a Trainer is made."""
    taken = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith("PL_TRAINER_")}
    try:
        yield
    finally:
        os.environ.update(taken)


def _hush_advice() -> None:
    """Silence Lightning's advice on loggers and workers, which is settled here on purpose."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
