"""Names of files that every system can check out."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""By Windows, whatever the ending."""


def test_no_file_has_a_name_that_windows_keeps_for_itself_or_that_differs_by_case_alone():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    paths = [path for path in listed.stdout.split("\0") if path]
    assert len(paths) > 300
    odd = [p for p in paths for part in p.split("/") if RESERVED.fullmatch(part)]
    odd += [path for path in paths if re.search(r'[<>:"|?*\\]|[. ]$', path)]
    assert odd == []
    assert len({path.casefold() for path in paths}) == len(paths)
