"""The work of each step: read what earlier steps left, do one thing, write it with a receipt.

bench.py     what all work with           training.py    split, train_all, predict_all, …
stores.py    which predictions are read   deciding.py    weigh, tune, by_group
drawing.py   figures of what was decided  handing_in.py  submit, label_test_images
sheets.py    sheets of test images        expecting.py   what Private will be
comparing.py the table of an ablation     holding.py     score_holdout
"""

from competition.steps.bench import Bench
from competition.steps.comparing import compare_trials
from competition.steps.deciding import by_group, tune, weigh
from competition.steps.handing_in import Round, label_test_images, submit
from competition.steps.holding import score_holdout
from competition.steps.training import (
    average_folds,
    predict,
    predict_all,
    split,
    train,
    train_all,
    training_task,
)

__all__ = [
    "Bench",
    "Round",
    "average_folds",
    "by_group",
    "compare_trials",
    "label_test_images",
    "predict",
    "predict_all",
    "score_holdout",
    "split",
    "submit",
    "train",
    "train_all",
    "training_task",
    "tune",
    "weigh",
]
