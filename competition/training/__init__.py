"""One network on one fold: from a recipe and labelled images to checkpoint.pt.

fit.py      all of it                              trainer.py   the loop
step.py     loss, optimiser and schedule of a step  losses.py   the terms of a loss, and their sum
plan.py     how long a run is                      sampler.py   which example comes when
progress.py  history, and a point to go on from    checkpoint.py  weights with where they come from
weight_averaging.py  EMA, SWA, the best rounds
logs.py     which tools a run is logged by      loggers.py  the history told to them, by Lightning
"""
