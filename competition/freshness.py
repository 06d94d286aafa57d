"""Whether a step's output is fresh: its receipt says what went in, and that is compared with now.

A receipt holds hashes of the inputs, taken before the run, and of the outputs, taken after it.
Versions, commit, threads and time are recorded, not compared.
"""

import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from competition.errors import InputFault, listed
from competition.machine import asked_for, usable_cpus
from competition.workspace import file_sha256, file_state, read_json, text_sha256, write_json

Inputs = dict[str, str]
"""What a step reads, by a name to show → its hash."""

_RECORDED = ("torch", "torchvision", "timm", "albumentations", "segmentation-models-pytorch")


@dataclass(frozen=True)
class State:
    """fresh: nothing to do; stale: made from other inputs; missing: not made, or not completely."""

    kind: Literal["fresh", "stale", "missing"]
    why: str = ""

    def text(self, *, after: str | None = None) -> str:
        """In words that do not read like a fault; after: the step that has to be done first.

        >>> State("stale", "labels changed").text(), State("missing").text(after="train unet fold 0")
        ('outdated: labels changed', 'to do: after train unet fold 0')
        """
        word = {"fresh": "done", "stale": "outdated", "missing": "to do"}[self.kind]
        reasons = [self.why] if self.why else []
        reasons += [f"after {after}"] if after and self.kind == "missing" else []
        return f"{word}: {'; '.join(reasons)}" if reasons else word

    def beginning(self) -> str:
        """What a step says as it is done, by the state that it was in."""
        if self.kind == "fresh":
            return "again, as asked"
        return f"again: {self.why}" if self.why else "begun"


@dataclass(frozen=True)
class Step:
    """One unit of work with its inputs and outputs. `name` is unique within a competition.

    inputs raises InputFault where what it needs is not there yet. Without a receipt the output is
    kept as it is once it is there. after: the names of the steps whose outputs it reads.
    """

    name: str
    inputs: Callable[[], Inputs]
    outputs: tuple[Path, ...]
    receipt: Path | None
    after: tuple[str, ...] = ()

    def state(self) -> State:
        gone = [path for path in self.outputs if not path.exists()]
        if self.receipt is None:
            return State("missing") if gone else State("fresh")
        if not self.receipt.exists():
            return State("missing")
        if gone:
            return State("missing", f"{gone[0].name} is gone")
        try:
            receipt = read_json(self.receipt)
            before, now = receipt["inputs"], self.inputs()
            written = receipt["outputs"]
            edited = [key for key, digest in self._outputs().items() if written[key] != digest]
        except (InputFault, KeyError, TypeError) as fault:
            return State("stale", str(fault).splitlines()[0])
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            return State("stale", f"{', '.join(changed)} changed")
        if edited:
            return State("stale", f"edited since it was written: {', '.join(edited)}")
        return State("fresh")

    def perform(self, run: Callable[[], dict[str, Any] | None]) -> None:
        """Run, then write the receipt; what `run` returns is recorded in it.

        The old receipt goes first: a step that is killed half-way is missing, not fresh.
        """
        if self.receipt is None:
            run()
            return
        inputs = self.inputs()
        self.receipt.unlink(missing_ok=True)
        begun = time.monotonic()
        extra = run() or {}
        receipt = {
            "step": self.name,
            "inputs": inputs,
            "outputs": self._outputs(),
            **extra,
            "recorded": recorded(seconds=time.monotonic() - begun),
        }
        write_json(self.receipt, receipt)

    def _outputs(self) -> dict[str, str]:
        """Path as seen from the receipt, with `/` on every system → sha256."""
        assert self.receipt is not None
        home = self.receipt.parent
        seen = {path: Path(os.path.relpath(path, home)).as_posix() for path in self.outputs}
        return {seen[path]: file_sha256(path) for path in self.outputs}


def hash_of(value: Any) -> str:
    """sha256 of plain values: numbers, texts, lists, dictionaries."""
    return text_sha256(json.dumps(value, sort_keys=True, ensure_ascii=True))


class ContentHashes:
    """sha256 of files, remembered by size and times of change, so that data is read once."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, list[Any]] = _remembered(memory)

    def of(self, root: Path, paths: Iterable[str]) -> str:
        """One hash of these files, by their paths below `root` and their contents.

        InputFault lists those that are not there.
        """
        found, learnt = {}, False
        paths = sorted(paths)
        missing = [f"{root / path} does not exist" for path in paths if not (root / path).exists()]
        if missing:
            raise InputFault(listed(missing))
        for path in paths:
            stamp = [*file_state(root / path)]
            key = str(root / path)
            if self._known.get(key, [])[:-1] != stamp:
                self._known[key] = [*stamp, file_sha256(root / path)]
                learnt = True
            found[path] = self._known[key][-1]
        if learnt:
            write_json(self._memory, self._known)
        return hash_of(found)


def recorded(*, seconds: float) -> dict[str, Any]:
    """Where and with what a step ran, for whoever asks later."""
    return {
        "seconds": round(seconds, 2),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _RECORDED},
        "machine": platform.platform(),
        "processors": usable_cpus(),
        "asked for": asked_for(),
    }


def _remembered(memory: Path) -> dict[str, list[Any]]:
    try:
        return read_json(memory) if memory.exists() else {}
    except InputFault:
        return {}  # a memory can be made again; only time is lost


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
