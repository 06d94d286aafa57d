"""What other systems do otherwise, as far as it can be played on this one.

Windows: no fork, no POSIX modules, no rename or removal of a file that is open or mapped, output in
cp1252, lines that end in CR LF. docs/platforms.md says what was run where.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import competition
from competition import steps
from competition.data.catalog import build_catalog
from competition.data.csv_text import read_csv_text
from competition.data.folds import load_folds
from competition.project import Project
from competition.submission import check_submission

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "tasks.py", ROOT / "inv", *Path(competition.__file__).parent.rglob("*.py")]
POSIX_MODULES = {"curses", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios"}
TEXTS = (".csv", ".json", ".toml", ".txt")

WINDOWS = '''
import os, platform, shutil, sys
import cv2, lightning.pytorch, matplotlib.pyplot, pandas, scipy.optimize, torch, torchvision
from competition.__main__ import main
import competition.cli, competition.inference.predict, competition.steps
import competition.training.fit, competition.tuning.search

for name in ("fork", "forkpty", "register_at_fork", "sched_getaffinity", "getuid", "geteuid", "killpg"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
platform.libc_ver = lambda *_: ("", "")
platform.system = lambda: "Windows"

class Sys:
    """sys as the package sees it; libraries would look for the parts of Windows itself."""
    platform = "win32"
    def __getattr__(self, name):
        return getattr(sys, name)

for name, module in list(sys.modules.items()):
    if name.startswith("competition.") and vars(module).get("sys") is sys:
        module.sys = Sys()
assert competition.machine._processes(competition.machine._Asked({}))[0] == 1

def held():
    """Files that this process has open or mapped; Windows would not let go of them."""
    links = [os.path.join("/proc/self/fd", one) for one in os.listdir("/proc/self/fd")]
    found = {os.readlink(link) for link in links if os.path.exists(link)}
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return found | {line.split(maxsplit=5)[5].strip() for line in maps if line.count("/") > 0}

def refuse_held(name, function):
    def instead(path, *further, **options):
        for one in (path, *further[:1]):
            if isinstance(one, (str, os.PathLike)) and not options:
                whole = os.path.abspath(one)
                below = [file for file in held() if file == whole or file.startswith(whole + "/")]
                if below:
                    raise PermissionError(13, "held open: " + below[0], str(one))
        return function(path, *further, **options)
    setattr(os, name, instead)

for name in ("replace", "rename", "unlink", "remove"):
    refuse_held(name, getattr(os, name))
before = shutil.rmtree
def rmtree(path, *further, **options):
    below = [file for file in held() if file.startswith(os.path.abspath(path) + "/")]
    if below:
        raise PermissionError(13, "held open: " + below[0], str(path))
    before(path, *further, **options)
shutil.rmtree = rmtree

for line in sys.stdin.read().splitlines():
    code = main(line.split(chr(9)))
    if code:
        sys.exit(f"{line!r} ended with {code}")
'''


def test_modules_that_only_posix_has_are_not_imported_at_the_top():
    for file in FILES:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not POSIX_MODULES & set(names), file


def test_a_path_becomes_text_with_slashes_on_every_system():
    """Receipts and catalogs move between machines; os.path.relpath has the system's own sign."""
    for file in FILES:
        for line in file.read_text(encoding="utf-8").splitlines():
            if "os.path.relpath(" in line:
                assert "Path(os.path.relpath(" in line and ").as_posix()" in line, (file, line)
            assert not re.search(r"str\([\w.]*relative_to|os\.sep\b|\\\\\\\\", line), (file, line)


def test_text_is_read_and_written_with_an_encoding():
    """Windows' own is cp1252. What is left out is ASCII: hashes, keys, files of Linux' kernel."""
    ascii_only = {"checkpoint.py", "letterbox.py", "train.py", "predict.py", "machine.py"}
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            words = {word.arg for word in node.keywords}
            if node.func.attr in ("read_text", "write_text") and file.name not in ascii_only:
                assert "encoding" in words, (file, node.lineno)


@pytest.fixture
def windows_files(tiny_data, tmp_path) -> Path:
    """The tiny download as git or an editor on Windows leaves it: every text with CR LF."""
    folder = tmp_path / "data"
    shutil.copytree(tiny_data, folder)
    for file in folder.rglob("*"):
        if file.suffix in TEXTS:
            file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    return folder


def opened(data: Path, root: Path) -> Project:
    return Project.open(data / "competition.toml", root, say=lambda line: None)


def test_files_with_windows_line_ends_say_the_same(tiny_data, windows_files, tmp_path):
    """The competition file, labels, sample and classes: what was read, not how lines end."""
    plain, other = opened(tiny_data, tmp_path / "a"), opened(windows_files, tmp_path / "b")
    assert b"\r\n" in (windows_files / "competition.toml").read_bytes()
    unplaced = {"folder", "root"}
    dumped = [one.competition.model_dump(exclude=unplaced) for one in (plain, other)]
    assert dumped[0] == dumped[1]
    catalogs = [build_catalog(one.competition) for one in (plain, other)]
    assert catalogs[0].equals(catalogs[1])
    assert catalogs[0]["path"].str.contains("/").all()
    for image in plain.rows("train")["image"]:
        assert np.array_equal(plain.labels[image].starts, other.labels[image].starts)
    samples = [read_csv_text(one.sample) for one in (plain, other)]
    assert samples[0].equals(samples[1])


def test_folds_with_windows_line_ends_are_the_same_folds(tiny_data, tmp_path):
    project = opened(tiny_data, tmp_path)
    steps.make_split(project)
    path, catalog = project.workspace.folds, project.catalog
    assert b"\r" not in path.read_bytes()
    before = load_folds(path, catalog)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_folds(path, catalog).equals(before)


def test_a_submission_with_windows_line_ends_is_accepted(tiny_data, windows_files, tmp_path):
    project = opened(tiny_data, tmp_path)
    csv = windows_files / "sample_submission.csv"
    assert b"\r\n" in csv.read_bytes()
    check_submission(project.competition, csv, project.sample, project.sizes)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which files are open")
def test_the_whole_way_without_what_only_posix_has(windows_files, tmp_path):
    """Every step in one process that plays Windows: from files with CR LF to the csv, then again."""
    file = str(windows_files / "competition.toml")
    way = [
        [name, "-c", file] for name in ("folds", "train", "predict", "ensemble", "tune", "submit")
    ]
    again = [["train", "-c", file, "--force", "--fold", "0"], ["predict", "-c", file]]
    further = [
        ["submit", "-c", file, "--force"],
        ["pseudo", "-c", file, "--allow-missing"],
        ["status", "-c", file],
        ["doctor", "-c", file],
    ]
    asked = {"PYTHONIOENCODING": "cp1252", "PODIUM_KEEP_MEMORY": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS],
        input="\n".join("\t".join(words) for words in [*way, *again, *further]),
        capture_output=True,
        text=True,
        encoding="cp1252",
        check=False,
        cwd=tmp_path,
        env=os.environ | asked,
    )
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.glob("submissions/*/main.csv")
    assert b"\r" not in written.read_bytes()
