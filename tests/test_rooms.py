"""What each package says that it holds."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "competition"
FOLDERS = sorted(path.parent for path in PACKAGE.glob("*/**/__init__.py"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_package_names_its_modules_and_no_others(folder):
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    there = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert set(re.findall(r"(\w+)\.py", text)) == there
