"""The wrapper `inv`, in a tiny project of its own, with a `uv` that installs nothing."""

import ast
import importlib.machinery
import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the uv of these tests is a POSIX script")

INV = Path(__file__).parent.parent / "inv"
LIBRARIES = "\n".join(path for path in sys.path if path.endswith("site-packages"))
UV = f"""\
#!{sys.executable}
import os, pathlib, subprocess, sys
with open("calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:3]) + "\\n")
if sys.argv[1] == "venv":
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", sys.argv[-1]], check=True)
    folder, = pathlib.Path(sys.argv[-1]).glob("lib/*/site-packages")
    folder.joinpath("borrowed.pth").write_text({LIBRARIES!r})
else:
    exec(os.environ.get("DURING_INSTALL", ""))
"""
INSTALLS = "inv: installing the project with uv (at first minutes; 7 GB with CUDA)\n"
TASKS = """\
import os
from invoke import task

@task
def called(context):
    print(os.environ["PODIUM_CALLED"])

@task
def hello(context, name="nobody"):
    print("hello", name)

@task
def fail(context):
    raise SystemExit(7)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with inv, a pyproject.toml, a tasks.py, and a uv that notes how it is called."""
    folder = tmp_path / "a project"
    folder.mkdir()
    (folder / "inv").write_bytes(INV.read_bytes())
    (folder / "pyproject.toml").write_text("[project]\n")
    (folder / "tasks.py").write_text(TASKS)
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(UV)
    uv.chmod(0o755)
    return folder


def start(
    project: Path,
    *arguments: str,
    during_install: str = "",
    folder: Path | None = None,
    by_name: bool = False,
):
    """inv as a process of its own, in `folder`, with the project's uv on the PATH. by_name: as the
    script that it is.
    """
    path = f"{project.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [*([] if by_name else [sys.executable]), str(project / "inv"), *arguments],
        cwd=folder or project,
        env={**os.environ, "PATH": path, "DURING_INSTALL": textwrap.dedent(during_install)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a process that ends; the limit is for one that hangs."""
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def calls(project: Path) -> list[str]:
    """What uv was asked for so far."""
    return (project / "calls").read_text().splitlines()


def wait_for(path: Path) -> None:
    """Until a file is there."""
    while not path.exists():
        time.sleep(0.02)


def imported(project: Path) -> ModuleType:
    """The project's inv as a module."""
    loader = importlib.machinery.SourceFileLoader("inv", str(project / "inv"))
    specification = importlib.util.spec_from_loader("inv", loader)
    assert specification is not None
    module = importlib.util.module_from_spec(specification)
    loader.exec_module(module)
    return module


def test_the_first_call_installs_and_the_second_starts_at_once(project: Path) -> None:
    assert outcome(start(project, "hello", "--name", "hand")) == (
        0,
        "hello hand\n",
        f"inv: making {project / '.venv'} with uv\n{INSTALLS}",
    )
    assert calls(project) == ["venv --allow-existing", "pip install"]
    assert outcome(start(project, "hello")) == (0, "hello nobody\n", "")
    assert calls(project) == ["venv --allow-existing", "pip install"]


def test_a_changed_pyproject_installs_again_into_the_same_environment(project: Path) -> None:
    outcome(start(project, "hello"))
    (project / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    assert outcome(start(project, "hello"))[0] == 0
    assert calls(project) == ["venv --allow-existing", "pip install", "pip install"]
    assert outcome(start(project, "hello"))[2] == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("UV_TORCH_BACKEND", "cpu"),
        ("UV_CONSTRAINT", "constraints.txt"),
        ("UV_RESOLUTION", "lowest-direct"),
    ],
)
def test_what_uv_is_asked_for_by_variables_reaches_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The README's install without CUDA, and the installs of CI."""
    monkeypatch.setenv(name, value)
    during = f"pathlib.Path('asked').write_text(os.environ[{name!r}])"
    assert outcome(start(project, "hello", during_install=during))[0] == 0
    assert (project / "asked").read_text() == value  # and uv worked in the project's folder


def test_a_moved_project_installs_again_because_the_editable_install_points_at_the_old_place(
    project: Path,
) -> None:
    outcome(start(project, "hello"))
    moved = project.rename(project.with_name("moved"))
    assert outcome(start(moved, "hello"))[0] == 0
    assert calls(moved)[2:] == ["pip install"]


def test_a_failed_install_shows_its_output_and_the_next_call_tries_again(project: Path) -> None:
    code, out, err = outcome(start(project, "hello", during_install="sys.exit('no such package')"))
    assert (code, out) == (3, "")
    assert "no such package\ninv: failed with 1: " in err
    assert "pip install" in err.splitlines()[-1]
    assert outcome(start(project, "hello"))[:2] == (0, "hello nobody\n")
    assert calls(project) == ["venv --allow-existing", "pip install", "pip install"]


def test_a_failed_second_install_is_not_taken_for_the_first_one(project: Path) -> None:
    outcome(start(project, "hello"))
    (project / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    assert outcome(start(project, "hello", during_install="sys.exit(1)"))[0] == 3
    assert outcome(start(project, "hello", during_install="sys.exit(1)"))[0] == 3
    assert outcome(start(project, "hello"))[0] == 0
    assert calls(project)[1:] == 4 * ["pip install"]


def test_a_killed_install_is_started_over_from_an_empty_environment(project: Path) -> None:
    half = project / ".venv" / "half-written"
    during = f"pathlib.Path({str(half)!r}).touch(); import time; time.sleep(2)"
    process = start(project, "hello", during_install=during)
    wait_for(half)
    process.send_signal(signal.SIGKILL)
    outcome(process)
    code, out, err = outcome(start(project, "hello"))
    assert (code, out) == (0, "hello nobody\n")
    # The orphaned step still held the lock: nothing was removed under its hands.
    assert err.startswith("inv: waiting for another call")
    assert "removing" in err and "interrupted" in err
    assert not half.exists()


def test_two_first_calls_at_once_install_once(project: Path) -> None:
    during = "import time; time.sleep(1)"
    both = [start(project, "hello", during_install=during) for _ in range(2)]
    assert [outcome(process)[:2] for process in both] == 2 * [(0, "hello nobody\n")]
    assert calls(project) == ["venv --allow-existing", "pip install"]


def test_the_script_starts_by_its_name_while_another_call_installs(project: Path) -> None:
    (project / "inv").chmod(0o755)
    begun = project / ".venv" / "begun"
    during = f"pathlib.Path({str(begun)!r}).touch(); import time; time.sleep(2)"
    first = start(project, "hello", during_install=during)
    wait_for(begun)
    second = start(project, "hello", by_name=True)
    assert [outcome(process)[0] for process in (first, second)] == [0, 0]


def test_an_environment_whose_python_was_uninstalled_is_made_anew(project: Path) -> None:
    outcome(start(project, "hello"))
    python = project / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python")
    code, out, err = outcome(start(project, "hello"))
    assert (code, out) == (0, "hello nobody\n")
    assert "its Python is gone" in err


def test_an_environment_made_by_hand_is_kept(project: Path) -> None:
    uv = project.parent / "bin" / "uv"
    subprocess.run([uv, "venv", project / ".venv"], cwd=project, check=True)
    (project / ".venv" / "mine").touch()
    assert outcome(start(project, "hello"))[0] == 0
    assert (project / ".venv" / "mine").exists()


def test_called_from_elsewhere_it_runs_the_projects_tasks(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "tasks.py").write_text("raise SystemExit('not these tasks')")
    (elsewhere / "invoke.py").write_text("raise SystemExit('not this invoke')")
    assert outcome(start(project, "hello", folder=elsewhere))[:2] == (0, "hello nobody\n")


def test_messages_can_name_commands_as_they_are_typed(project: Path) -> None:
    """A checkout has no `podium` on the path: what a message tells to type must be there."""
    program = shlex.quote(str(project / "inv"))
    typed = f"python {program}" if os.name == "nt" else program
    assert outcome(start(project, "called"))[1] == f"{typed}\n"


def test_the_exit_code_is_the_tasks_own(project: Path) -> None:
    assert outcome(start(project, "fail"))[0] == 7


def test_the_help_calls_the_program_inv(project: Path) -> None:
    assert outcome(start(project, "--help"))[1].startswith("Usage: inv")


def test_a_folder_without_pyproject_ends_with_one_line(project: Path) -> None:
    (project / "pyproject.toml").unlink()
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to(sys.executable)
    code, out, err = outcome(start(project, "hello"))
    assert (code, out) == (3, "")
    assert len(err.splitlines()) == 1 and "pyproject.toml" in err


def test_without_uv_it_uses_venv_and_pip(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inv, steps = imported(project), []
    monkeypatch.setattr(inv.shutil, "which", lambda name: None)
    monkeypatch.setattr(inv, "has_pip", lambda python: True)
    inv.prepare(project, run=lambda command, folder: steps.append((command, folder)))
    python = project / ".venv" / "bin" / "python"
    base = getattr(sys, "_base_executable", sys.executable)
    assert steps == [
        ([base, "-m", "venv", project / ".venv"], project),
        ([python, "-m", "pip", "install", "-e", ".[test]"], project),
    ]


def test_without_uv_an_environment_without_pip_gets_it_first(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inv, steps = imported(project), []
    uv = project.parent / "bin" / "uv"
    subprocess.run([uv, "venv", project / ".venv"], cwd=project, check=True)
    next((project / ".venv").glob("lib/*/site-packages/borrowed.pth")).unlink()
    monkeypatch.setattr(inv.shutil, "which", lambda name: None)
    inv.prepare(project, run=lambda command, folder: steps.append(command[1:3]))
    assert steps == [["-m", "ensurepip"], ["-m", "pip"]]


def test_an_old_python_gets_a_message_and_not_a_syntax_error(project: Path) -> None:
    pretend = "import sys, runpy; sys.version_info = (3, 6, 8); runpy.run_path('inv')"
    done = subprocess.run(
        [sys.executable, "-c", pretend], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "needs Python 3.11 or newer" in done.stderr and "Python 3.6" in done.stderr
    # The check is reached only if the old one can parse the whole file.
    ast.parse(INV.read_text(), feature_version=(3, 6))
