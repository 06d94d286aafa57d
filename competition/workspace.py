"""Where everything lies, and how a file is written: whole or not at all, with a receipt beside it."""

import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from competition.errors import InputFault, MachineFault

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

TEMPORARY = ".writing-"
"""Prefix of a file or folder that is not finished; what a killed step leaves behind carries it."""


@dataclass(frozen=True)
class Workspace:
    """The folders of one competition below the project's root. Makes nothing by itself."""

    root: Path
    name: str

    @property
    def folds(self) -> Path:
        return self.root / "folds" / f"{self.name}.csv"

    @property
    def holdout(self) -> Path:
        return self.root / "folds" / f"{self.name}.holdout.csv"

    @property
    def plan(self) -> Path:
        return self.root / "folds" / f"{self.name}.plan.toml"

    @property
    def runs(self) -> Path:
        return self.root / "runs" / self.name

    @property
    def cache(self) -> Path:
        return self.runs / "cache"

    @property
    def ensemble(self) -> Path:
        return self.runs / "ensemble.json"

    @property
    def decisions(self) -> Path:
        return self.runs / "decisions.json"

    @property
    def submissions(self) -> Path:
        return self.root / "submissions" / self.name

    def submission(self, name: str) -> Path:
        """InputFault for a name that would lead out of the folder of submissions."""
        return self.submissions / f"{plain_name('submission', name)}.csv"

    @property
    def marks(self) -> Path:
        """What a person said of images in the viewer; for git, as rounds are."""
        return self.root / "pseudo" / self.name / "marks.csv"

    def pseudo(self, round_name: str) -> Path:
        """InputFault for a name that would lead out of the folder of rounds."""
        checked_name("pseudo round", round_name)
        return self.root / "pseudo" / self.name / round_name

    def run(self, member: str, fold: int) -> Path:
        """Folder of one trained network; a member is a recipe with its seed and pseudo round."""
        return self.runs / plain_name("member", member) / f"fold-{fold}"

    def lock(self, step: str) -> Path:
        """What the one process that does a step holds."""
        return self.runs / "locks" / f"{re.sub('[^A-Za-z0-9._-]+', '-', step)}.lock"


def checked_name(what: str, name: str) -> str:
    """A name that becomes a folder's: InputFault for one that could be a path."""
    if not _NAME.fullmatch(name):
        raise InputFault(f"{what} {name!r}: expected letters, digits, '.', '_' and '-'")
    return name


def plain_name(what: str, name: str) -> str:
    """A name that becomes a file's or folder's, whatever else is in it: InputFault for one that leads
    elsewhere.
    """
    if name.startswith(".") or not name or set("/\\:\0") & set(name):
        raise InputFault(
            f"{what} {name!r}: expected a name without '/', '\\' and ':', which begins with no '.'"
        )
    return name


@contextmanager
def whole_file(path: Path, mode: str = "w") -> Generator[IO[Any]]:
    """Open `path` for writing such that it appears complete or not at all.

    The temporary file lies in the same folder (a rename is atomic only inside one file system),
    reaches the disk before the rename, and is removed when the block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(handle, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except OSError as error:
        raise _disk_fault(error, path) from error
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Generator[Path]:
    """A temporary sibling folder that becomes `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=path.parent))
    try:
        yield working
        working.chmod(0o777 & ~_umask())
        if path.exists():
            shutil.rmtree(path)
        working.replace(path)
    except OSError as error:
        raise _disk_fault(error, path) from error
    finally:
        shutil.rmtree(working, ignore_errors=True)


@contextmanager
def held(lock: Path, step: str) -> Generator[None]:
    """Hold a step's lock while the block runs; MachineFault names the process that holds it already.

    The system lets go of it when its process ends, however that is.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    mutex = FileLock(lock)
    try:
        mutex.acquire(timeout=_LOOKING)
    except Timeout:
        raise MachineFault(
            f"{step} is being done by {_holder(lock)}; wait for it or end it, then run the same command "
            "again"
        ) from None
    holder = lock.with_suffix(".json")
    try:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        write_json(holder, {"process": os.getpid(), "host": socket.gethostname(), "since": now})
        yield
    finally:
        holder.unlink(missing_ok=True)
        mutex.release()


@contextmanager
def in_turn(lock: Path) -> Generator[None]:
    """Hold a lock while the block runs, after whoever holds it: for what several steps make alike."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        yield


def who_holds(lock: Path) -> str | None:
    """The process that does a step now, in words; None where none does."""
    if not lock.exists():
        return None
    mutex = FileLock(lock)
    try:
        mutex.acquire(timeout=0)
    except Timeout:
        return _holder(lock)
    mutex.release()
    return None


_LOOKING = 2.0
"""Seconds until a lock counts as held: whoever only looks holds it for a moment."""


def _holder(lock: Path) -> str:
    try:
        found = read_json(lock.with_suffix(".json"))
        return f"process {found['process']} on {found['host']} since {found['since']}"
    except (InputFault, KeyError, TypeError):  # it has not said so yet, or has just ended
        return "another process"


def write_text(path: Path, text: str) -> None:
    with whole_file(path) as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file; a cut or foreign file is an InputFault that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputFault(f"{path} does not exist") from None
    except OSError as error:
        raise InputFault(f"{path} cannot be read: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputFault(f"{path} is not JSON ({error}); delete it or restore it") from error


def remove_orphans(folder: Path) -> list[Path]:
    """Delete what killed steps left unfinished below `folder`; returns what was deleted."""
    orphans = list(folder.rglob(f"{TEMPORARY}*")) if folder.is_dir() else []
    for path in orphans:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return orphans


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_state(path: Path) -> tuple[int, int, int]:
    """(bytes, time of change, time of change of content or name) in ns; zeros where the file is absent,
    which its reader reports.

    Who keeps the first time when copying (`cp -p`, `rsync -t`) cannot keep the second; on Windows it is
    that of the file's making.
    """
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def require_space(folder: Path, needed: int) -> None:
    """MachineFault when the file system of `folder` has fewer than `needed` bytes free."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MachineFault(
            f"No space left: {folder} needs {needed / 2**20:.0f} MiB and has "
            f"{free / 2**20:.0f} MiB free; make room or move the project"
        )


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def _disk_fault(error: OSError, path: Path) -> OSError:
    if isinstance(error, MachineFault):
        return error
    return MachineFault(f"cannot write {path}: {error.strerror or error}; nothing was changed")
