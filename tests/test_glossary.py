"""docs/glossary.md: one word for each thing; the words it refuses stand nowhere else."""

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import get_args

import pytest

from competition.spec import Labels

ROOT = Path(__file__).parents[1]
KINDS = get_args(get_args(Labels)[0])
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.+?) \| (.+?) \| (.*?) ?\|$", GLOSSARY, re.MULTILINE)[1:]
REFUSED = {
    phrase: word
    for word, _, phrases in ROWS
    for phrase in filter(None, map(str.strip, phrases.split(",")))
}
HISTORY = {"results-log.md", "changelog.md", "decisions.md", "glossary.md"}
"""Pages that tell what things were called, or this one."""

PAGES = [p for p in (ROOT / "docs").glob("*.md") if p.name not in HISTORY]
PAGES += [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "tasks.py", ROOT / "inv"]
CODE = [*(ROOT / "competition").rglob("*.py"), *(ROOT / "competition").rglob("*.toml")]
CODE = [path for path in CODE if "demo" not in path.parts]  # its patients are people
KEPT = {
    "flips": {"spec.py", "pipeline.py", "competition-file.md"},  # a key of files of 0.1.0
}
"""Where a refused word is the name of something that was written before."""


def found_in(text: str) -> dict[str, int]:
    """Refused word → the line where it stands first. An underscore is a space."""
    plain = text.replace("_", " ")
    hits = {}
    for phrase in REFUSED:
        hit = re.search(rf"\b{re.escape(phrase)}\b", plain, re.IGNORECASE)
        if hit:
            hits[phrase] = plain.count("\n", 0, hit.start()) + 1
    return hits


@pytest.mark.parametrize("path", [*PAGES, *CODE], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_refused_word_is_not_said(path):
    for phrase, line in found_in(path.read_text(encoding="utf-8")).items():
        if path.name not in KEPT.get(phrase, ()):
            pytest.fail(f"{path}:{line} says {phrase!r}; the word is {REFUSED[phrase]!r}")


def test_the_glossary_has_its_words_in_order_and_refuses_some():
    words = [re.sub(r"[`≥]", "", word).lower() for word, _, _ in ROWS]
    assert 40 <= len(words) == len(set(words)) and len(REFUSED) >= 20
    listed = [word for word in words if word[0].isalpha() and word != "k, class index"]
    assert listed == sorted(listed, key=str.lower)
    assert found_in("the\nraster of people") == {"raster": 2, "people": 2}


def test_no_public_name_is_defined_in_two_modules():
    """The readers of label files are one interface; a command may be called as its module is."""
    homes = defaultdict(set)
    for path in CODE:
        if path.suffix != ".py":
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for name in names_of(node):
                if not name.startswith("_"):
                    homes[name].add(path.relative_to(ROOT / "competition").as_posix())
    twice = {name: paths for name, paths in homes.items() if len(paths) > 1}
    kinds = [kind.__annotations__["kind"].__args__[0] for kind in KINDS]
    readers = {f"data/readers/{kind.replace('-', '_')}.py" for kind in kinds}
    assert twice == {"files": readers, "read": readers}


def names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
    return [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
