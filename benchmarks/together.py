"""Highest memory of a process and its children together, pages that they share counted once."""

import os
import threading
from pathlib import Path
from typing import Self

from benchmarks.measure import megabytes

EVERY = 1.0
"""Seconds between two looks; each stops the processes for some milliseconds."""


class HighestMemory(threading.Thread):
    """Looks while its context lasts; `megabytes` is the highest sum seen.

    The proportional set size is what the kernel gives each process of the pages that it shares.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.megabytes = 0.0
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._look()
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(EVERY):
            self._look()

    def _look(self) -> None:
        kibibytes = sum(map(_proportional, [os.getpid(), *_children()]))
        self.megabytes = max(self.megabytes, megabytes(kibibytes))


def _children() -> list[int]:
    lists = Path("/proc/self/task").glob("*/children")
    return [int(pid) for one in lists for pid in one.read_text().split()]


def _proportional(pid: int) -> int:
    """KiB; 0 where the process has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
