"""Submissions: runs → csv, checked against the organisers' sample, with a receipt beside it.

rows.py   columns, keys and texts of a csv      write.py  masks → csv, read back before it appears
check.py  a csv of any origin: faults, masks    vote.py   the hard vote of several
"""

from competition.submission.check import (
    check_submission,
    check_text_order,
    read_objects,
    read_submission,
)
from competition.submission.rows import Key, KeyedTable, read_table
from competition.submission.vote import Ballots, write_vote
from competition.submission.write import (
    Summary,
    evidence_path,
    read_receipt,
    receipt_path,
    write_submission,
)
