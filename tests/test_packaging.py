"""What an installation brings: dependencies, their bounds, the wheel, and the machines that CI asks."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]
NAMES = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "pydantic_core": "pydantic",  # comes with it, in the one version that it works with
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Distributions whose modules have other names."""
BESIDE_PYTEST = {"packaging"}


def requirements(texts: list[str]) -> dict[str, Requirement]:
    """By name; those of the project on its own extras resolved."""
    found = {}
    for one in map(Requirement, texts):
        if one.name == PROJECT["name"]:
            for extra in one.extras:
                found |= requirements(PROJECT["optional-dependencies"][extra])
        else:
            found[canonicalize_name(one.name)] = one
    return found


ALWAYS = requirements(PROJECT["dependencies"])
EXTRAS = {name: requirements(texts) for name, texts in PROJECT["optional-dependencies"].items()}


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """(distribution, whether a missing one is caught) of every third-party import of a file that
    runs.
    """
    own = {
        "competition",
        "tests",
        "benchmarks",
        "tasks",
        *(f.stem for f in ROOT.glob("tests/**/*.py")),
    }
    tree = ast.parse(file.read_text(encoding="utf-8"))
    guarded = {
        id(node)
        for attempt in ast.walk(tree)
        if isinstance(attempt, ast.Try)
        and any(getattr(one.type, "id", "") == "ImportError" for one in attempt.handlers)
        for statement in attempt.body
        for node in ast.walk(statement)
    }
    for_types = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and getattr(branch.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        names = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for top in {name.partition(".")[0] for name in names} - own - sys.stdlib_module_names:
            yield canonicalize_name(NAMES.get(top, top)), id(node) in guarded


def imports_below(*places: str) -> set[tuple[str, bool, str]]:
    files = [file for place in places for file in ROOT.glob(place)]
    assert files
    return {(*found, str(file.relative_to(ROOT))) for file in files for found in imports(file)}


def test_the_package_imports_what_it_depends_on_and_asks_before_an_extra():
    for name, guarded, where in imports_below("competition/**/*.py", "tasks.py"):
        extras = {
            extra
            for extra in (
                "dicom",
                "export",
                "nifti",
                "tiff",
                "trackio",
                "transformers",
                "view",
                "wandb",
            )
            if name in EXTRAS[extra]
        }
        assert name in ALWAYS or (guarded and extras), f"{where} imports {name}"


def test_tests_and_benchmarks_import_what_their_extras_bring():
    for extra, place in {"test": "tests/**/*.py", "benchmarks": "benchmarks/**/*.py"}.items():
        known = {*ALWAYS, *EXTRAS[extra], *(BESIDE_PYTEST if extra == "test" else ())}
        missing = {found for found in imports_below(place) if found[0] not in known}
        assert not missing


def test_every_dependency_is_imported_or_says_what_it_is_for():
    explained = set(re.findall(r'^    "([a-z0-9-]+)[^"]*", *#', PYPROJECT, re.MULTILINE))
    package = {name for name, *_ in imports_below("competition/**/*.py")}
    further = {name for name, *_ in imports_below("tests/**/*.py", "benchmarks/**/*.py")}
    assert not set(ALWAYS) - package - explained
    for asked in EXTRAS.values():
        assert not set(asked) - package - further - explained


def constraints() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return requirements([line for line in lines if line and not line.startswith("#")])


def test_constraints_name_every_direct_dependency_within_its_bounds():
    held = constraints()
    for asked in (ALWAYS, *EXTRAS.values()):
        for name, requirement in asked.items():
            assert name in held, f"constraints.txt lacks {name}"
            (pin,) = held[name].specifier
            assert pin.operator == "==" and "*" not in pin.version
            assert requirement.specifier.contains(pin.version), (name, pin.version)


def test_constraints_are_names_and_versions_and_nothing_else():
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        assert line.startswith("# ") or re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line), line
    assert list(constraints()) == sorted(constraints())


def workflow() -> dict:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert "://" not in text
    return yaml.safe_load(text)["jobs"]["run"]


def test_ci_asks_every_python_that_is_promised_on_every_system():
    matrix = workflow()["strategy"]["matrix"]
    promised = [text.split(" :: ")[-1] for text in PROJECT["classifiers"]]
    assert matrix["python"] == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["libraries"] == ["UV_CONSTRAINT=constraints.txt"]
    assert {one["libraries"]: one["python"] for one in matrix["include"]} == {
        "UV_RESOLUTION=lowest-direct": promised[0],
        "UV_RESOLUTION=highest": promised[-1],
    }


def test_ci_runs_the_script_that_a_person_runs_and_pins_actions_by_major_version():
    *before, last = workflow()["steps"]
    assert (last["run"], last["shell"]) == ("${{ matrix.libraries }} bash .ci/run", "bash")
    for step in before:
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/none@v1"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, since setuptools leaves build/ and an egg-info where it works."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("competition", "tests", "benchmarks", "docs"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "tasks.py"):
        shutil.copy(ROOT / name, source)
    build = f"from setuptools.build_meta import build_wheel; print(build_wheel({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.splitlines()[-1]


def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        (points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "podium = competition.__main__:main" in archive.read(points).decode()
    package = [file for file in (ROOT / "competition").rglob("*") if file.is_file()]
    expected = {file.relative_to(ROOT).as_posix() for file in package}
    assert held == {name for name in expected if "__pycache__" not in name}
    assert "competition/presets/salt.toml" in held


@pytest.mark.long
def test_the_wheel_alone_runs_the_demo_in_an_empty_folder(wheel, tmp_path):
    """In an environment that has this one's libraries, but not this checkout."""
    environment, folder = tmp_path / "environment", tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    install = ["-m", "pip", "install", "--no-deps", "--no-index", "-q", str(wheel)]
    subprocess.run([scripts / "python", *install], check=True)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    asked = subprocess.run(
        [scripts / "python", "-c", ask], capture_output=True, text=True, check=True
    )
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (Path(asked.stdout.strip()) / "borrowed.pth").write_text("\n".join(borrowed))
    folder.mkdir()
    for command in (
        [scripts / "python", "-P", "-c", "import competition; print(competition.__file__)"],
        [scripts / "podium", "run", "demo", "--short"],
    ):
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            command, cwd=folder, env=clean, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        if "-c" in command:
            assert Path(done.stdout.strip()).is_relative_to(environment)
    assert "Private" in done.stdout and "look at" in done.stdout.splitlines()[-1]
    assert list(folder.glob("submissions/demo-short/*.csv"))
