"""How good, and how sure: scores as sums, groups, intervals. Knows no store and no network.

metric_sums.py   what an image adds to a score   groups.py        sums of groups, held-out parts
bootstrap.py     the one cluster bootstrap       significance.py  is a gain real
private_interval.py  what Private will be        part_differences.py  is the test part unlike
metric_table.py  Dice, IoU, HD95, confusions     borders.py       rough and coarse ones
"""
