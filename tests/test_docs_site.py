"""The docs hold together: navigation, links, headings, files that are named, what a forge reads."""

import ast
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")])
PAGES += sorted(DOCS.glob("**/*.md"))
SITE = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INCLUDED = re.compile(r'^--8<-- "([^":]+)(?::([a-z]+))?"$', re.MULTILINE)
"""A file, or a marked part of it, that a page of the site takes in."""
LINK = re.compile(r"\]\(([^()\s]+)\)")
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
OF_THE_PAST = {"CHANGELOG.md", "changelog.md", "decisions.md", "results-log.md"}
TO_BE_WRITTEN = {"competition/models/dilated.py", "competition/data/readers/via.py"}
"""What docs/extending.md adds."""
FILE = re.compile(r"(?<![\w/.…<>-])[\w./-]+\.(?:py|toml|yml)\b")
SOURCES = [
    path
    for folder in ("competition", "tests", "benchmarks")
    for path in (ROOT / folder).glob("**/*")
    if path.suffix in (".py", ".toml")
]
PACKAGE = ROOT / "competition"


def prose_of(text: str) -> str:
    """Without blocks of code and code in a line, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", "".join(text.split("```")[::2]))


def links_in(page: Path) -> list[str]:
    return LINK.findall(prose_of(page.read_text(encoding="utf-8")))


def anchors_of(page: Path) -> set[str]:
    """Ids of the page's headings: those that a forge and the site give alike."""
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    forge: Counter[str] = Counter()
    site: Counter[str] = Counter()
    for heading in re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE):
        words = re.sub(r"\]\([^)]*\)|[`\[]", "", heading).lower()
        forge[re.sub(r"[^\w\s-]", "", words).replace(" ", "-")] += 1
        plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
        site[re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip())] += 1
    return {name for name in forge.keys() & site.keys() if forge[name] == site[name] == 1}


def pages_in(entry: str | list | dict) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for below in entry.values() if isinstance(entry, dict) else entry:
            yield from pages_in(below)


def test_every_page_is_in_the_navigation_once_and_every_entry_exists():
    named = Counter(pages_in(SITE["nav"]))
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.glob("**/*.md")}
    assert {name for name, times in named.items() if times > 1} == set()
    assert set(named) == pages
    assert next(iter(named)) == "index.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page):
    for link in links_in(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert "://" not in link, f"{page.name} asks for the network: {link}"
        assert target.is_file(), f"{page.name} leads to nothing: {link}"
        assert not anchor or anchor in anchors_of(target), f"{page.name}: no heading {link}"
        # what lies outside docs/ is not on the site
        assert page.parent == ROOT or target.is_relative_to(DOCS), (
            f"{page.name} leaves docs: {link}"
        )


def test_links_are_found_and_code_is_not_taken_for_links(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[a](b.md#c) ![d](e.png) `[f](g)`\n```\n[h](i)\n```\n## J `k`: l\n", "utf-8")
    assert links_in(page) == ["b.md#c", "e.png"]
    assert anchors_of(page) == {"j-k-l"}


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_what_a_page_takes_in_exists_and_has_no_links_of_its_own(page):
    """A link beside README.md would lead elsewhere from docs/."""
    for name, part in INCLUDED.findall(page.read_text(encoding="utf-8")):
        text = (ROOT / name).read_text(encoding="utf-8")
        if part:
            marks = [f"<!-- --8<-- [{end}:{part}] -->" for end in ("start", "end")]
            assert [text.count(mark) for mark in marks] == [1, 1]
            text = text[text.index(marks[0]) : text.index(marks[1])]
        assert not LINK.findall(prose_of(text))


def files_named(page: Path) -> Iterator[str]:
    """Files of the source that a page names; not those that it tells to write or that were deleted."""
    text = page.read_text(encoding="utf-8")
    kept = re.sub(r"^.*in the history of this repository.*$", "", text, flags=re.MULTILINE)
    for name in FILE.findall(kept):
        of_the_source = "/" in name or name.endswith(".py")  # others are a competitor's own
        if of_the_source and name not in TO_BE_WRITTEN and "NAME" not in name:
            yield name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_of_the_source_that_a_page_names_exists(page):
    if page.name in OF_THE_PAST:
        return
    for name in files_named(page):
        if "/" in name:
            found = (ROOT / name).is_file() or (PACKAGE / name).is_file()
        else:
            found = name in {"tasks.py", *(path.name for path in SOURCES)}
        assert found, f"{page.name} names {name}, which is no file"


def test_every_test_that_a_page_names_exists():
    tests = "".join(path.read_text("utf-8") for path in SOURCES if path.name.startswith("test_"))
    defined = set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
    for page in PAGES:
        if page.name not in OF_THE_PAST:
            named = re.findall(r"(?:::|`)(test_\w+_\w+_\w+)`", page.read_text(encoding="utf-8"))
            assert set(named) <= defined, page.name


ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")


def rooms() -> list[tuple[str, ...]]:
    """The rooms of docs/architecture.md, a row each."""
    table = ARCHITECTURE.split("| room | what it is for |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    return [tuple(re.findall(r"`([^`]+)`", row)) for row in rows]


def imports_of(path: Path) -> Iterator[str]:
    """Rooms that a module imports when it is imported itself."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module == "competition":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("competition."):
            yield str(node.module).split(".")[1]


def test_every_part_of_the_package_is_a_room_or_stands_beside_them():
    beside = ARCHITECTURE.split("Beside the rooms stand")[1].split("\n")[0]
    named = {name for row in rooms() for name in row} | set(re.findall(r"`([^`]+)`", beside))
    there = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("_")}
    assert there == {name for name in named if "/" not in name}


def test_a_room_imports_only_from_the_rooms_before_it():
    place = {name: row for row, names in enumerate(rooms()) for name in names}
    for path in PACKAGE.glob("**/*.py"):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for other in imports_of(path):
            if own in place and other in place:
                assert place[other] <= place[own], f"{path} imports {other}, a room behind its own"


def test_pages_take_in_the_changelog_and_the_guide():
    taken = {page.name: INCLUDED.findall(page.read_text("utf-8")) for page in DOCS.glob("*.md")}
    assert taken["changelog.md"] == [("CHANGELOG.md", "")]
    assert taken["contributing.md"] == [("CONTRIBUTING.md", "work")]


def test_the_site_asks_for_nothing_elsewhere_and_ci_builds_it_strictly():
    assert SITE["theme"]["font"] is False
    assert not {"site_url", "repo_url", "extra_css", "extra_javascript"} & set(SITE)
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    runs = [step.get("run", "") for step in yaml.safe_load(workflow)["jobs"]["docs"]["steps"]]
    assert "zensical build --clean --strict" in runs
    assert f"/{SITE['site_dir']}/" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    (asked,) = PYPROJECT["optional-dependencies"]["docs"]
    assert asked in (ROOT / "constraints.txt").read_text(encoding="utf-8").split()


def test_citation_and_changelog_know_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["cff-version"], citation["type"]) == ("1.2.0", "software")
    assert (citation["version"], citation["license"]) == (PYPROJECT["version"], "MIT")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## (\S+)", changelog, re.MULTILINE)
    assert released[:2] == ["Unreleased", PYPROJECT["version"]]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_form_asks_and_says_for_what(form):
    asked = yaml.safe_load(form.read_text(encoding="utf-8"))
    if form.name == "config.yml":
        assert asked == {"blank_issues_enabled": False}
        return
    questions = [one for one in asked["body"] if one["type"] != "markdown"]
    assert asked["name"] and asked["description"]
    assert all(one["attributes"]["label"] for one in questions)
    ids = [one["id"] for one in questions]
    assert len(set(ids)) == len(ids)
    assert any(one.get("validations", {}).get("required") for one in questions)


def test_the_form_for_a_wrong_reading_asks_for_what_is_needed():
    text = (ROOT / ".github" / "ISSUE_TEMPLATE" / "wrong_reading.yml").read_text(encoding="utf-8")
    needed = ("Layout", "competition.toml", "podium doctor --json", "podium machine --json")
    assert all(word in text for word in needed)
