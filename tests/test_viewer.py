"""The viewer: what it shows, its page without a browser, and the one address that it answers on."""

import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command_lines import ROOT
from test_pseudo import make, opened, write_oof_stores, write_test_stores

from competition import steps
from competition.decoding.blend import blend
from competition.decoding.decisions import ClassRule
from competition.entry import entry_of
from competition.errors import InputFault
from competition.marks import read_marks
from competition.steps.prediction_stores import out_of_fold
from competition.viewer import serve as serving
from competition.viewer.scenes import AS_TUNED, Viewer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


@pytest.fixture(scope="module")
def viewed(tiny_data, tmp_path_factory):
    """Predictions of both parts and a round; every third image's masks are moved to the right."""
    project = opened(tiny_data, tmp_path_factory.mktemp("viewed"))
    steps.make_split(project)
    write_oof_stores(project, "tiny", (0, 0, 7))
    write_test_stores(project)
    make(project)
    entry = entry_of(project.competition)
    for member in entry.members:
        steps.average_folds(project, member, entry.folds)
    return project, entry


@pytest.fixture
def viewer(viewed):
    viewed[0].workspace.marks.unlink(missing_ok=True)
    return Viewer(*viewed)


def test_there_are_parts_of_what_is_predicted_and_of_each_teacher(viewer):
    assert list(viewer.parts) == [
        *("out of fold", "test"),
        *("round1, teacher fold-0", "round1, teacher fold-1"),
    ]
    assert viewer.part("out of fold").marks == ("wrong",)
    assert viewer.part("test").marks == ("accept", "reject")
    with pytest.raises(InputFault, match="no part 'tset'; there are out of fold, test, "):
        viewer.part("tset")


def test_nothing_predicted_is_said_with_the_step_to_take(tiny_data, tmp_path):
    project = opened(tiny_data, tmp_path)
    steps.make_split(project)
    with pytest.raises(InputFault, match="podium run ensemble"):
        Viewer(project, entry_of(project.competition)).parts  # noqa: B018


def test_the_worst_image_comes_first_also_within_a_group(viewer):
    part = viewer.part("out of fold")
    values, listed = viewer.values(part), viewer.listed(part)
    moved = {image for fold in (0, 1) for image in viewer.project.validation_images(fold)[2::3]}
    assert set(listed[: len(moved)]) == moved
    scores = [values[image] for image in listed]
    assert scores == sorted(scores) and scores[0] < scores[-1]
    group = viewer.project.groups[listed[0]]
    own = viewer.listed(part, group=group, worst_first=False)
    assert own == sorted(i for i in listed if viewer.project.groups[i] == group) != sorted(listed)
    disputed = viewer.part("test")
    shares = [viewer.values(disputed)[image] for image in viewer.listed(disputed)]
    assert shares == sorted(shares, reverse=True)


def test_a_threshold_cuts_the_stored_logits_anew(viewer):
    project, part = viewer.project, viewer.part("out of fold")
    image = part.images[0]
    together = blend(out_of_fold(project, viewer.entry), exclusive=project.exclusive)
    for threshold in (0.2, 0.5, 0.9):
        (masks,) = together.runs_at(image, np.array([threshold]))
        scene = viewer.scene(part, image, threshold)
        assert np.array_equal(scene.areas, masks.area())
    assert viewer.scene(part, image, 0.9).areas.sum() < viewer.scene(part, image, 0.2).areas.sum()
    assert np.array_equal(scene.labelled, project.labels[image].area())
    rule = ClassRule(threshold=0.9, top=0.9, minimum_area=0)
    decided = SimpleNamespace(decisions=1, rules=dict.fromkeys(project.classes, rule), mix=blend)
    vars(viewer)["_decoder"] = decided
    assert np.array_equal(viewer.scene(part, image, AS_TUNED).areas, scene.areas)


def test_a_rounds_labels_are_shown_as_they_are_with_how_sure_they_are(viewer):
    part = viewer.part("round1, teacher fold-0")
    image = part.images[0]
    scene = viewer.scene(part, image, 0.9)
    assert ((scene.confidence >= 0) & (scene.confidence <= 1)).all() and scene.scores is None
    table = viewer._round_table("round1")
    table["confidence"] = np.linspace(0.2, 0.9, len(table))
    scene = Viewer._made(viewer, part.name, image, 0.5)
    assert np.ptp(scene.confidence) > 0
    assert viewer.values(part)[image] == pytest.approx(scene.confidence.mean())


def test_only_the_classes_that_are_chosen_are_drawn_and_labels_dashed(viewer):
    part = viewer.part("out of fold")
    scene = viewer.scene(part, part.images[0])
    every = range(len(viewer.project.classes))
    paths = re.findall(r"<path [^>]*stroke=[^>]*>", scene.svg(every))
    assert len(paths) == len(scene.outlined.truth) + len(scene.outlined.prediction)
    assert sum("dasharray" in path for path in paths) == len(scene.outlined.truth)
    one = scene.svg([0], labels=False)
    assert len(re.findall("<path [^>]*stroke=", one)) == 1 and "dasharray" not in one
    assert scene.svg([], masks=False).count("<path") == 0


@pytest.fixture
def page(viewer, monkeypatch):
    """The page, run by Streamlit without a server."""
    testing = pytest.importorskip("streamlit.testing.v1", reason="streamlit is not installed")
    monkeypatch.setattr(serving, "_shown", [viewer])
    app = testing.AppTest.from_file(str(Path(serving.__file__).with_name("page.py")))
    return app.run(timeout=60)


def test_the_page_goes_through_images_and_marks_them(page, viewer):
    assert not page.exception and not page.error
    part = viewer.part("out of fold")
    listed = viewer.listed(part)
    page.button(key="on").click().run()
    assert page.selectbox(key="image of out of fold").value == listed[1]
    page.button(key="back").click().run()
    page.button(key="back").click().run()
    assert page.selectbox(key="image of out of fold").value == listed[-1]
    page.slider(key="threshold").set_value(0.9).run()
    page.button(key="mark wrong").click().run()
    page.selectbox(key="part").set_value("test").run()
    name = viewer.project.classes[1]
    page.selectbox(key="on class").set_value(name).run()
    page.button(key="mark reject").click().run()
    assert not page.exception and f"Marked: {name}: reject" in [one.value for one in page.caption]
    first = viewer.listed(viewer.part("test"))[0]
    found = [one[:3] for one in read_marks(viewer.project.workspace.marks)]
    assert found == [(listed[-1], "wrong", ""), (first, "reject", name)]


def test_a_fault_stands_on_the_page(viewer, monkeypatch):
    testing = pytest.importorskip("streamlit.testing.v1", reason="streamlit is not installed")
    vars(viewer)["parts"] = {}
    monkeypatch.setattr(Viewer, "parts", property(_fault))
    monkeypatch.setattr(serving, "_shown", [viewer])
    app = testing.AppTest.from_file(str(Path(serving.__file__).with_name("page.py")))
    assert app.run(timeout=60).error[0].value == "nothing is predicted"


def _fault(viewer):
    raise InputFault("nothing is predicted")


def test_it_is_served_on_127_0_0_1_without_statistics_and_with_no_taken_port(viewer, monkeypatch):
    bootstrap = pytest.importorskip("streamlit.web.bootstrap", reason="streamlit is not installed")
    asked, said = {}, []
    monkeypatch.setattr(bootstrap, "load_config_options", asked.update)
    monkeypatch.setattr(bootstrap, "run", lambda path, *_: asked.update(page=path))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputFault, match=f"port {port} of 127.0.0.1 is taken"):
            serving.serve(viewer, port=port)
    serving.serve(viewer, port=0, say=said.append)
    assert asked["server_address"] == "127.0.0.1" and asked["server_port"] > 1023
    assert asked["browser_gatherUsageStats"] is False and Path(asked["page"]).name == "page.py"
    assert said[0].startswith(f"http://127.0.0.1:{asked['server_port']} ")
    monkeypatch.setitem(sys.modules, "streamlit.web", None)
    with pytest.raises(InputFault, match=r"pip install 'podium\[view\]'"):
        serving.serve(viewer)
    vars(viewer).pop("parts", None)
    monkeypatch.setattr(Viewer, "parts", property(_fault))
    with pytest.raises(InputFault, match="nothing is predicted"):
        serving.serve(viewer)


@contextmanager
def served(project):
    """The command in a process of its own; gives the port, and ends it by its id."""
    words = ["view", "-c", str(project.competition.root / "competition.toml"), "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "competition", *words],
        cwd=project.workspace.root,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        line = process.stdout.readline()
        port = int(re.match(r"http://127\.0\.0\.1:(\d+) ", line)[1])
        while "URL:" not in line:
            line = process.stdout.readline()
            assert line, "the server ended"
        yield port
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.long
def test_a_browser_shows_it_in_both_themes_and_on_a_phone_from_this_machine_alone(viewer):
    pytest.importorskip("streamlit", reason="streamlit is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with served(viewer.project) as port, playwright.sync_playwright() as driver:
        if Path("/proc/net/tcp").exists():
            tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
            listening = re.findall(rf": (\w+):{port:04X} \w+:0000 0A", "".join(tables))
            assert listening == ["0100007F"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width, height, scheme in (
            (1280, 900, "light"),
            (1280, 900, "dark"),
            (390, 844, "light"),
        ):
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme
            )
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{port}")
            page.locator("img").first.wait_for(timeout=120_000)
            page.get_by_text("Nothing is marked.").wait_for(timeout=120_000)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            shade = page.evaluate(
                "getComputedStyle(document.querySelector('.stApp')).backgroundColor"
            )
            assert (int(re.findall(r"\d+", shade)[0]) < 128) is (scheme == "dark")
            context.close()
        browser.close()
