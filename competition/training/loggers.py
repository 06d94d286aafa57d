"""A training's history, told to TensorBoard, Weights & Biases, MLflow or Trackio by Lightning's loggers.

Each process tells the whole history to a run of its own and takes the place of the one before it, so
that a training that was stopped and went on has every round once. Nothing leaves the machine unless the
tool's own variables say where to.
"""

import logging
import math
import os
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

from competition.errors import InputFault
from competition.training.logs import LoggedRun
from competition.training.progress import HistoryRow

try:
    from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
    from lightning.pytorch.loggers.logger import Logger
except ImportError as error:
    raise InputFault("--log needs lightning: python -m pip install lightning") from error


@contextmanager
def logged(
    names: Sequence[str], run: LoggedRun
) -> Generator[Callable[[Sequence[HistoryRow]], None]]:
    """What is to be called with all rows of the history, each time that there are more.

    names: of `logs.LOGS`. An error in the block marks the runs as failed.
    """
    loggers = [_OPENED[name](run) for name in names]
    for logger in loggers:
        logger.log_hyperparams(dict(run.settings))
    told = 0

    def tell(rows: Sequence[HistoryRow]) -> None:
        nonlocal told
        for row in rows[told:]:
            for logger in loggers:
                logger.log_metrics(metrics_in(row), step=int(row["step"]))
        told = len(rows)
        for logger in loggers:
            logger.save()

    ended = "failed"
    try:
        yield tell
        ended = "success"
    finally:
        for logger in loggers:
            logger.finalize(ended)
            if isinstance(logger, WandbLogger):  # else the next network would go into this run
                logger.experiment.finish(exit_code=int(ended == "failed"))


def metrics_in(row: HistoryRow) -> dict[str, float]:
    """The numbers of a row, the classes' scores in a folder of their own.

    >>> metrics_in({"step": 9.0, "score": 0.5, "score[lung]": 0.25, "dead_classes": ""})
    {'score': 0.5, 'class/lung': 0.25}
    """
    return {
        name.replace("score[", "class/").removesuffix("]"): value
        for name, value in row.items()
        if name != "step" and isinstance(value, float) and not math.isnan(value)
    }


def _tensorboard(run: LoggedRun) -> Logger:
    folder = _emptied(run.folder / "tensorboard")
    return TensorBoardLogger(folder.parent, folder.name, version="", default_hp_metric=False)


def _wandb(run: LoggedRun) -> Logger:
    """WANDB_MODE = online sends it; else it lies in the run's folder, for `wandb sync`."""
    os.environ.setdefault(
        "WANDB_ERROR_REPORTING", "false"
    )  # which would use the network offline too
    return WandbLogger(
        name=run.name,
        project=os.environ.get("WANDB_PROJECT", run.competition),
        group=run.member,
        save_dir=_emptied(run.folder / "wandb").parent,
        mode=os.environ.get("WANDB_MODE", "offline"),
        settings={"silent": True, "console": "off"},
    )


def _mlflow(run: LoggedRun) -> Logger:
    """MLFLOW_TRACKING_URI names another place than the folder beside the runs.

    That is MLflow's store of files, which needs no database, and which later versions ask to allow.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # else told that it is a new one
    place = os.environ.get("MLFLOW_TRACKING_URI")
    if place is None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        place = (run.runs / "mlflow").as_uri()
    tags = {"podium": run.name}
    logger = MLFlowLogger(run.competition, run.name, place, tags=tags)
    of_this = f"tags.podium = '{run.name}'"
    for earlier in logger.experiment.search_runs([logger.experiment_id], of_this):
        if earlier.info.run_id != logger.run_id:
            logger.experiment.delete_run(earlier.info.run_id)
    return logger


def _trackio(run: LoggedRun) -> Logger:
    """TRACKIO_SPACE_ID or TRACKIO_SERVER_URL sends it; else it lies in the folder beside the runs."""
    os.environ.setdefault("TRACKIO_DIR", str(run.runs / "trackio"))  # read as trackio is imported
    try:
        import trackio
    except ImportError as error:
        raise InputFault(
            "--log trackio needs trackio: python -m pip install 'podium[trackio]'"
        ) from error
    return _TrackioLogger(run, trackio)


class _TrackioLogger(Logger):
    """Lightning has none; trackio has wandb's functions, but for what Lightning's logger calls."""

    def __init__(self, run: LoggedRun, trackio: Any) -> None:
        super().__init__()
        self.run, self.trackio, self.begun = run, trackio, None

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        run, trackio = self.run, self.trackio
        quiet: dict[str, Any] = {"embed": False, "auto_log_cpu": False, "auto_log_gpu": False}
        with redirect_stdout(StringIO()):  # how to look at it stands in the docs
            with suppress(ValueError):  # no project of this name yet, or one that is elsewhere
                earlier = trackio.Api().runs(run.competition)
                for one in [one for one in earlier if one.name == run.name]:
                    one.delete()
            self.begun = trackio.init(
                run.competition, run.name, group=run.member, config=params, **quiet
            )

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        assert self.begun is not None
        self.begun.log(dict(metrics), step=step)

    def finalize(self, status: str) -> None:
        assert self.begun is not None
        with redirect_stdout(StringIO()):
            self.begun.finish()


_OPENED: Mapping[str, Callable[[LoggedRun], Logger]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
    "trackio": _trackio,
}


def _emptied(folder: Path) -> Path:
    """The folder, without what an earlier training left there."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
