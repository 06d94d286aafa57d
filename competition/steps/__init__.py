"""The work of each command: read what earlier steps left, do one thing, write it with a receipt.

folds.py, train.py, soup.py, predict.py, ensemble.py, tune.py, submit.py, holdout.py, pseudo.py,
ablation.py, skeleton.py, data_sheets.py, plan.py, export_labels.py, report.py
chosen_views.py       which test-time views are worth it
prediction_stores.py  which predictions a step reads    tune_figures.py, contact_sheets.py  what is drawn
report_evidence.py, report_pictures.py  what a report is made of
private_interval.py   what a submission will score on Private
"""

from competition.steps.ablation import compare_trials
from competition.steps.data_sheets import draw_label_sheet, draw_look_alikes
from competition.steps.ensemble import score_ensemble
from competition.steps.export_labels import ExportSource, export_label_files
from competition.steps.folds import make_split
from competition.steps.holdout import score_holdout
from competition.steps.plan import TimeAsked, plan_recipe
from competition.steps.predict import (
    average_folds,
    predict_entry,
    predict_network,
    refine_predictions,
)
from competition.steps.pseudo import (
    judge_round,
    make_pseudo_round,
    refuse_unadopted,
    round_settings,
)
from competition.steps.report import report_entry, submit_and_report
from competition.steps.skeleton import measure_skeletons
from competition.steps.soup import make_soups
from competition.steps.submit import submit_entry
from competition.steps.train import train_entry, train_network, training_task
from competition.steps.tune import group_table, tune_entry
