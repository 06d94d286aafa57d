"""The report in a browser: both themes, a phone's width, its switches; nothing is fetched."""

import shutil

import numpy as np
import pytest

from competition.masks import Runs
from competition.pictures import TrainingCurve, outlined_image, training_curves
from competition.report import (
    Headline,
    ReportFigure,
    ReportPage,
    ReportPanel,
    ReportPicture,
    ReportSection,
    ReportTable,
    rendered_page,
)

CLASSES = tuple(f"a-rather-long-name-of-class-{k}" for k in range(29))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The file of a report of 29 classes with every kind of content."""
    folder = tmp_path_factory.mktemp("report")
    curve = TrainingCurve(np.arange(1.0, 5), 1 / np.arange(1.0, 5), np.linspace(0.2, 0.8, 4))
    training_curves(folder / "training.svg", {f"unet fold {fold}": curve for fold in range(5)})
    figure = ReportFigure("training", "Curves.", svg=(folder / "training.svg").read_text())
    rows, columns = np.indices((60, 90))
    discs = [np.hypot(rows - 30, columns - 3 * k) < 12 for k in range(29)]
    masks = Runs.from_dense(np.stack(discs))
    shown = outlined_image(np.full((60, 90, 3), 80, np.uint8), masks, masks, longest=180)
    panels = [
        ReportPanel("labels", shown.truth, {}),
        ReportPanel("masks", shown.prediction, shown.truth),
    ]
    picture = ReportPicture("image-1", "", shown.size, shown.view_box, shown.jpeg, panels)
    cells = [[name, f"{0.9 - 0.01 * k:.4f}", "a text"] for k, name in enumerate(CLASSES)]
    cells.append(["none", "–", "a text"])
    table = ReportTable(("class", "score", "what"), cells, "All classes:")
    sections = [
        ReportSection("first", "First", ["A sentence."], [table], [figure]),
        ReportSection("second", "Second", pictures=[picture, picture]),
    ]
    made = ReportPage(
        title="main-of-a-competition-with-a-very-long-name-that-fits-no-line-of-a-phone",
        subtitle="",
        classes=CLASSES,
        headlines=[Headline("out of fold", "0.7813", "0.7552 to 0.8041", "65 images")],
        verdict=["Kept by tuning: nothing."],
        cautions=["`tune` is outdated."],
        sections=sections,
        facts={"competition": "demo"},
    )
    path = folder / "main.html"
    path.write_text(rendered_page(made), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium of this machine; nothing is downloaded."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    program = program or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed, so the report is looked at in none")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, page):
    """Opens the report; afterwards nothing may have been complained of, or asked for elsewhere."""
    complaints, contexts = [], []

    def opened(width=1280, theme="light", place=""):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda asked: complaints.append(asked.url) if other(asked.url) else None)
        tab.goto(page.as_uri() + place)
        return tab

    def other(address):
        return not address.startswith(("data:", page.as_uri()))

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def colour(tab, selector, name):
    return tab.eval_on_selector(selector, f"one => getComputedStyle(one).{name}")


def brightness(text):
    return sum(float(part) for part in text[text.index("(") + 1 : -1].split(",")[:3]) / 765


@pytest.mark.parametrize(("theme", "dark"), [("light", False), ("dark", True)])
def test_page_and_plots_follow_the_theme(visit, theme, dark):
    tab = visit(theme=theme)
    assert (brightness(colour(tab, "body", "backgroundColor")) < 0.5) == dark
    for selector, name in (("h1", "color"), (".plot svg text", "fill")):
        assert (brightness(colour(tab, selector, name)) > 0.5) == dark


def test_a_phone_needs_not_be_scrolled_sideways(visit):
    for width in (390, 1280):
        tab = visit(width)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


def visible(tab, k):
    """How many paths of a class are seen."""
    return tab.evaluate(
        'k => [...document.querySelectorAll(`svg [data-class="${k}"]`)]'
        ".filter(one => getComputedStyle(one).display != 'none').length",
        k,
    )


def test_a_class_is_switched_off_and_on_in_all_pictures_and_stays_so_in_the_address(visit):
    tab = visit()
    assert [visible(tab, k) for k in (0, 3)] == [6, 6]
    tab.click(".chip >> nth=3")
    assert [visible(tab, k) for k in (0, 3)] == [6, 0]
    assert tab.get_attribute(".chip >> nth=3", "aria-pressed") == "false"
    assert tab.url.endswith("#off=3")
    tab.click("[data-all=off]")
    assert visible(tab, 0) == 0
    tab.click("[data-all=on]")
    assert [visible(tab, k) for k in (0, 3)] == [6, 6]
    again = visit(place="#second&off=0.3")
    assert [visible(again, k) for k in (0, 1, 3)] == [0, 6, 0]
    again.click(".chip >> nth=0")
    assert again.url.endswith("#second&off=3")


def test_a_column_sorts_its_table_and_what_is_not_known_stays_last(visit):
    tab = visit()

    def column():
        return tab.eval_on_selector_all(
            "tbody td:nth-child(2)", "all => all.map(one => one.textContent)"
        )

    tab.click("th button >> text=score")
    first = column()
    assert first[:-1] == sorted(first[:-1])
    tab.click("th button >> text=score")
    assert column() == [*first[-2::-1], "–"]


def test_both_panels_show_the_picture(visit):
    tab = visit()
    sizes = tab.eval_on_selector_all(
        ".panel svg", "all => all.map(one => (one.querySelector('image, use')).getBBox().width)"
    )
    assert sizes == [1800] * 4
