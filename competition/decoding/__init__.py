"""Stored logits and decisions → masks: what submit, pseudo, holdout, export and pictures use.

head.py       a fitted 1×1 layer on one member     blend.py      members' logits as one
decisions.py  decisions.json, and applying it      ensemble.py   ensemble.json
postprocess.py  components, holes, opening         threshold_sweep.py  every image at every threshold
calibration.py  reliability, PR and ROC curves
"""
