"""Lightning's Trainer, told everything: one process, one device, nothing taken from the environment.

Left alone, Lightning takes whatever devices it finds and starts the command once for each, and reads
any of its settings from `PL_TRAINER_*` variables.
"""

import logging
import os
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import MixedPrecision, Precision
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import SingleDeviceStrategy

from competition.machine import Machine
from competition.training.checkpoint import read_torch, write_torch
from competition.training.plan import Plan

_ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


def trainer_on(
    machine: Machine, plan: Plan, callbacks: Sequence[Callback], *, accumulate: int
) -> Trainer:
    """The trainer of one run. The module clips gradients, `callbacks` write what is kept.

    accumulate: batches whose gradients are averaged into one iteration.
    """
    _hush_advice()
    device = machine.torch_device()
    with _without_lightning_variables():
        return Trainer(
            accelerator=_ACCELERATORS[device.type],
            devices=1 if device.type in ("cpu", "mps") else [device.index],
            num_nodes=1,
            strategy=SingleDeviceStrategy(device=device),
            plugins=[_precision(machine), WholeFiles(), LightningEnvironment()],
            max_epochs=plan.rounds,
            accumulate_grad_batches=accumulate,
            check_val_every_n_epoch=plan.validate_every,
            num_sanity_val_steps=0,
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            use_distributed_sampler=False,
        )


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
