"""One command per step, in pipeline order: parse, call one function, say what was written.

data.py  demo, new, doctor, folds, skeleton          networks.py     machine, …, train, soup, predict
decisions.py  ensemble, tune                         submissions.py  submit, score, vote, leaderboard, …
experiments.py  ablation, models, export             run.py          `podium run GOAL`
options.py  the app, and options that commands share  words.py       options as words again
"""

# Imported in the order in which the commands are listed.
from competition.cli import data, networks, decisions, submissions, experiments, run  # isort: skip
from competition.cli.options import app, first_line

for command in app.registered_commands:
    assert command.callback is not None
    command.short_help = first_line(command.callback)
