"""Predictions → training labels for the next round, and whether the round helped.

confidence.py  how sure a prediction is of a class of an image    selection.py  which are sure enough
rounds.py      labels.csv and its receipt, written and read       verdict.py    student against teacher
"""
