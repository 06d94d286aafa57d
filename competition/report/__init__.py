"""The report of an entry: one HTML file with everything to look at, that opens anywhere.

page.py       what a report is made of, and its HTML      sections.py  the tables and what they say
audit.py      labels that out-of-fold networks contradict most
round_truth.py  how right a round's labels are
"""

from competition.report.audit import AuditCounts, Contradiction, audit_counts, ranked, write_audit
from competition.report.page import (
    Cell,
    Headline,
    ReportFigure,
    ReportPage,
    ReportPanel,
    ReportPicture,
    ReportSection,
    ReportTable,
    rendered_page,
)
