"""What is handed in: runs → csv, checked against the organisers' sample, with a receipt beside it."""

from competition.submission.check import (
    check_order,
    check_submission,
    read_objects,
    read_submission,
)
from competition.submission.rows import Key, Table, read_table
from competition.submission.vote import Ballots, write_vote
from competition.submission.write import (
    Summary,
    evidence_path,
    read_receipt,
    receipt_path,
    write_submission,
)

__all__ = [
    "Ballots",
    "Key",
    "Summary",
    "Table",
    "check_order",
    "check_submission",
    "evidence_path",
    "read_objects",
    "read_receipt",
    "read_submission",
    "read_table",
    "receipt_path",
    "write_submission",
    "write_vote",
]
