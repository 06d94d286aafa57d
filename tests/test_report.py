"""The report: everything that was measured, in one file that loads nothing."""

import html
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from test_pseudo import logits_of, make, opened, write_oof_stores, write_store
from typer.testing import CliRunner

from competition import steps
from competition.cli import app
from competition.entry import entry_of
from competition.leaderboard import Leaderboard
from competition.masks import Runs
from competition.pictures import gains, outlined_image, training_curves
from competition.pictures.plots import TrainingCurve
from competition.pipeline import TUNED
from competition.project import Project
from competition.report import (
    Cell,
    Contradiction,
    Headline,
    ReportFigure,
    ReportPage,
    ReportPanel,
    ReportPicture,
    ReportSection,
    ReportTable,
    audit_counts,
    ranked,
    rendered_page,
    sections,
)
from competition.report.sections import MOST_ROWS, against_section, audit_section
from competition.steps import tune
from competition.steps.report_pictures import AGAINST, AUDITED, DISPUTED_SHOWN, OF_ROUND, WORST
from competition.workspace import read_json

SECTIONS = [
    "Scores",
    "Decisions",
    "Training curves",
    "Classes",
    "Worst groups",
    "Worst images",
    "Labels to look at",
    "Disagreement",
    "Fold balance",
    "Pseudo labels",
    "This submission against others",
    "How it was made",
]
FEW = 20_000_000
"""Bytes."""


def write_test_stores(project, member, shift):
    """The two folds' predictions of test images: what is on the left half of the first labels."""
    masks = project.labels[project.validation_images(0)[0]]
    images = list(project.rows("test")["image"])
    for fold in (0, 1):
        logits = {image: logits_of(masks, shift + fold) for image in images}
        write_store(project, member, fold, "test", logits)


def write_history(project, member):
    for fold in (0, 1):
        path = project.workspace.run(member, fold) / "history.csv"
        rows = [(epoch, 4 * epoch, 1e-3, 1 / epoch, 0.1 * epoch, "") for epoch in (1, 2, 3)]
        columns = ["epoch", "step", "learning_rate", "train_loss", "score", "dead_classes"]
        pd.DataFrame(rows, columns=columns).to_csv(path, index=False)


def draw_gains(project, folder, plain, together, tuned):
    """In the place of all figures of a choice, which take longer than the choice: one of them."""
    gains(folder / "gains.png", tuned.decisions.steps, title="gains")
    for name in TUNED:
        if name.endswith(".png") and name != "gains.png":
            shutil.copy(folder / "gains.png", folder / name)


@pytest.fixture(scope="module")
def made(tiny_data, tmp_path_factory):
    """Two entries without a training: one tuned and submitted, and the students of a round."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune, "draw_tuned", draw_gains)
        yield two_entries(tiny_data, tmp_path_factory)


def two_entries(tiny_data, tmp_path_factory):
    project = opened(tiny_data, tmp_path_factory.mktemp("work"))
    steps.make_split(project)
    entry = entry_of(project.competition)
    student = entry_of(project.competition, pseudo="round1")
    for one, shifts in ((entry, (0, 1, 3)), (student, (0, 1))):
        name = str(one.members[0])
        write_oof_stores(project, name, shifts)
        write_test_stores(project, name, len(shifts))
        write_history(project, name)
        steps.average_folds(project, one.members[0], one.folds)
        steps.score_ensemble(project, one)
    steps.tune_entry(project, entry)
    make(project, allow_missing=True)
    steps.judge_round(project, student)
    steps.submit_entry(project, student, plain=True)
    steps.submit_and_report(project, entry)
    steps.report_entry(project, student, plain=True)
    return project


def report_of(project, name="main"):
    return project.workspace.submissions.joinpath(f"{name}.html").read_text(encoding="utf-8")


def said(text):
    """A page's words, without its tags, styles, scripts and pictures."""
    bare = re.sub(r"<(style|script|svg).*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", bare)).split())


def test_every_section_is_there_and_the_score_comes_first(made):
    text, entry = said(report_of(made)), entry_of(made.competition)
    receipt = read_json(made.workspace.submissions / "main.receipt.json")
    expected, score = receipt["expected private"], receipt["out of fold"]
    places = [text.rindex(f" {title} ") for title in SECTIONS]
    assert places == sorted(places)
    head = text[: text.index(" Each image by ") if " Each image by " in text else places[0]]
    assert f"{score['value']:.4f} {score['low']:.4f} to {score['high']:.4f}" in head
    assert f"{expected['low']:.4f} to {expected['high']:.4f}" in head
    assert f"{score['images']} images of 6 groups" in head
    decisions = steps.tune_entry(made, entry)
    for step in decisions.steps:
        kept = "kept" if step.adopted else "not kept"
        assert f"{step.name} {kept} {step.gain:+.4f}" in text


def test_nothing_is_loaded_from_anywhere(made):
    for name in ("main", "main+round1-plain"):
        text = report_of(made, name)
        assert "://" not in text
        assert "default-src 'none'" in text
        assert not re.findall(r'(?:src|href)="(?!data:|#)', text)


def test_every_picture_shows_labels_and_masks_by_class(made):
    text = report_of(made)
    worst = text[text.index('<section id="worst">') : text.index('<section id="audit">')]
    assert worst.count("<figure") == min(WORST, len(made.folds))
    classes = {int(k) for k in re.findall(r'class="f" data-class="(\d+)"', worst)}
    assert classes == set(range(len(made.classes)))
    assert worst.count('class="d"') > 0
    assert worst.count("data:image/jpeg") == worst.count("<figure"), "both panels share the picture"


def test_the_training_curves_of_all_folds_are_drawn_as_text_that_follows_the_theme(made):
    folder = entry_of(made.competition).folder(made.workspace)
    alone, inside = (folder / "training.svg").read_text(), report_of(made)
    for fold in (0, 1):
        assert f">tiny fold {fold}</text>" in alone
        assert f">tiny fold {fold}</text>" in inside
    plot = inside[inside.index('id="training-figure_1"') :]
    assert "currentColor" in plot
    assert "<metadata" not in plot
    assert "#000000" not in plot[: plot.index("</svg>")]


def test_a_figure_is_there_as_svg_or_as_the_png_of_an_earlier_version(made):
    text = report_of(made)
    folder = entry_of(made.competition).folder(made.workspace)
    assert "apparent</text>" in (folder / "gains.svg").read_text()
    assert "apparent</text>" in text[text.index('id="gains-figure_1"') :]
    assert not (folder / "classes.svg").exists()
    assert text.count("data:image/png") == 4
    assert "A PNG of before; tune with --force draws it anew, as SVG." in said(text)


def test_the_same_figure_is_the_same_file(tmp_path):
    curve = TrainingCurve(np.arange(1.0, 4), np.ones(3), np.array([np.nan, 0.5, 0.6]))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        training_curves(tmp_path / name / "training.svg", {"unet fold 0": curve})
    first, second = ((tmp_path / name / "training.svg").read_bytes() for name in ("a", "b"))
    assert first == second
    assert b"unet fold 0</text>" in first


def test_a_round_is_told_by_class_with_its_balance_and_how_right_it_is(made):
    text = said(report_of(made, "main+round1-plain"))
    receipt = read_json(made.workspace.pseudo("round1") / "receipt.json")["round"]
    verdict = read_json(
        entry_of(made.competition, pseudo="round1").folder(made.workspace) / "verdict.json"
    )
    assert f"a gain of {verdict['gain']:+.4f}" in text
    for name, gain in verdict["classes"].items():
        before, after = receipt["labelled"][name], receipt["pseudo"][name]
        assert f"{name} {gain:+.4f} {before:.1%} {after:.1%}" in text
    assert "The answers are there:" in text
    assert "How right the labels are" in text
    assert "rank correlation" in text


def test_a_submission_is_set_against_the_best_other_one(made):
    text = said(report_of(made, "main+round1-plain"))
    assert "main+round1-plain (A) against main (B)" in text
    assert "images below 0.5" in text


def test_the_contradicted_labels_lie_beside_it_as_csv(made):
    table = pd.read_csv(made.workspace.submissions / "label-audit" / "main.csv")
    assert {"image", "class", "contradicted", "dice"} <= set(table.columns)
    assert table["contradicted"].is_monotonic_decreasing
    assert table["contradicted"].iloc[0] > 0.1, "predictions were moved by cells"
    assert table["image"].iloc[0] in report_of(made)


def copied(project, folder):
    """The same in a workspace of its own, to be changed."""
    shutil.copytree(project.workspace.root, folder / "work")
    return opened(project.competition.root, folder / "work")


def test_it_is_made_once_and_again_after_a_change(made, tmp_path):
    project = copied(made, tmp_path)
    entry = entry_of(project.competition)
    step = project.pipeline.report(entry)
    assert step.state().kind == "fresh"
    history = project.workspace.run("tiny", 0) / "history.csv"
    history.write_text(history.read_text().replace("0.3", "0.25"))
    assert step.state().text() == "outdated: history tiny fold 0 changed"
    names = [stage.command[0] for stage in project.pipeline.stages("report", entry)]
    assert names[-2:] == ["submit", "report"]


def test_what_is_missing_is_said_in_its_place(made, tmp_path):
    """One fold, no tuning, no test part, no history, no round."""
    whole = made.competition
    alone = {
        "data": whole.data.model_copy(update={"test_images": None}),
        "submission": whole.submission.model_copy(update={"sample": None}),
    }
    project = Project(whole.model_copy(update=alone), tmp_path, say=lambda line: None)
    steps.make_split(project)
    write_oof_stores(project, "tiny", (0, 1))
    entry = entry_of(project.competition, folds=(0,))
    steps.score_ensemble(project, entry)
    path = steps.report_entry(project, entry)
    text = said(path.read_text(encoding="utf-8"))
    for sentence in (
        "Nothing is tuned here",
        "This data set has no test part",
        "Nothing is tuned for this entry",
        "No history of a training is here.",
        "groups; out of fold, threshold 0.5.",
        "There are no predictions of test images",
        "This entry learns from no pseudo round.",
        "There is no finished submission of this entry.",
        "Networks of 1 of 2 folds",
    ):
        assert sentence in text, sentence


def test_a_round_that_is_gone_is_said_in_its_place_too(made, tmp_path):
    project = copied(made, tmp_path)
    shutil.rmtree(project.workspace.pseudo("round1"))
    student = entry_of(project.competition, pseudo="round1")
    text = said(steps.report_entry(project, student, plain=True, force=True).read_text())
    assert "Of round1: no pseudo round 'round1'" in text
    assert "main+round1 round1 " in text, "its verdict is there still"


def test_submit_makes_the_report_and_the_command_finds_it_done(made, tmp_path, monkeypatch):
    project = copied(made, tmp_path)
    monkeypatch.chdir(project.workspace.root)
    file = str(project.competition.root / "competition.toml")
    (project.workspace.submissions / "main.html").unlink()
    for command in ("submit", "report"):
        outcome = CliRunner().invoke(app, [command, "-c", file])
        assert outcome.exit_code == 0, outcome.output
        assert (project.workspace.submissions / "main.html").exists()
    assert "report main: done already" in outcome.output


def plain_page(**changes):
    """A page of one section."""
    values = {
        "title": "main of demo",
        "subtitle": "",
        "classes": ["a", "b"],
        "headlines": [Headline("out of fold", "0.5")],
        "verdict": [],
        "cautions": [],
        "sections": [],
        "facts": {},
    }
    return ReportPage(**(values | changes))


def test_names_are_text_whatever_they_are():
    wicked = '<script>alert("&")</script>'
    picture = ReportPicture(wicked, wicked, (1, 1), "0 0 10 10", b"", [ReportPanel(wicked, {}, {})])
    table = ReportTable((wicked,), [[wicked], [Cell(wicked, "bad")]], wicked, wicked)
    figure = ReportFigure("plot", wicked, png=bytes(24))
    section = ReportSection("one", wicked, [wicked], [table], [figure], [picture])
    page = plain_page(
        title=wicked,
        classes=[wicked],
        verdict=[wicked],
        cautions=[wicked],
        sections=[section],
        facts={wicked: wicked},
    )
    text = rendered_page(page)
    assert text.count("<script>") == 1, "its own"
    assert text.count(html.escape(wicked, quote=False).replace('"', "&#34;")) > 12


def test_a_thousand_images_of_29_classes_stay_small():
    """As many pictures as there can be, of what no JPEG makes small, and full tables."""
    random = np.random.default_rng(0)
    classes = [f"class-{k}" for k in range(29)]
    images = [f"patient-{n:04}/slice" for n in range(1000)]
    rows, columns = np.indices((512, 512))
    masks = Runs.from_dense(
        np.stack(
            [
                np.hypot(rows - 256 - 8 * k, columns - 16 * k) < 30 + 20 * np.sin(rows / 9)
                for k in range(29)
            ]
        )
    )
    pixels = random.normal(120, 25, (512, 512, 3)).clip(0, 255).astype(np.uint8)
    shown = outlined_image(pixels, masks, masks)
    panels = [ReportPanel("a", shown.truth, {}), ReportPanel("b", shown.prediction, shown.truth)]
    picture = ReportPicture("x", "", shown.size, shown.view_box, shown.jpeg, panels)
    most = WORST + AUDITED + 2 * DISPUTED_SHOWN + AGAINST + OF_ROUND  # a disputed one has two JPEGs
    found = [Contradiction(i, c, 0.5, 0.5, 9, 9, 9) for i in images for c in classes]
    empty = Leaderboard((), np.zeros((0, 0)))
    sections = [
        audit_section(found, len(images), [], "audit.csv", [picture] * most),
        against_section("main", empty, {}, images, classes, [], []),
    ]
    text = rendered_page(plain_page(classes=classes, sections=sections))
    assert 1_000_000 < len(text.encode()) < FEW
    assert text.count("<tr>") == MOST_ROWS + 1


def counts_of(truth, sure, *, ignored=None):
    """What the audit counts of dense masks (K, H, W) of a network that is sure everywhere."""
    found = Runs.from_dense(sure)
    nothing = Runs.empty((1, *truth.shape[1:])) if ignored is None else Runs.from_dense(ignored)
    return audit_counts(Runs.from_dense(truth), found, found, found, ignored=nothing)


def test_a_label_that_the_networks_contradict_stands_before_a_frayed_one():
    clean = np.zeros((3, 2, 20, 20), bool)
    clean[:, :, 5:15, 5:15] = True
    seen = clean.copy()
    seen[0, 0, 4] = True  # frayed
    seen[1, 1, 5:15, 5:15] = False  # labelled, and nothing is seen
    truth = clean.copy()
    truth[2, 0] = False  # seen, and not labelled
    found = ranked(
        ["frayed", "surplus", "missing"],
        [counts_of(*pair) for pair in zip(truth, seen, strict=True)],
        ("a", "b"),
    )
    assert [(one.image, one.name) for one in found] == [
        ("surplus", "b"),
        ("missing", "a"),
        ("frayed", "a"),
    ]
    assert [one.share for one in found[:2]] == [1.0, 1.0]
    assert found[2].share < 0.2
    assert found[0].what() == "a label where they find none"
    assert found[1].what() == "no label where they are sure of one"


def test_a_speck_is_measured_by_the_usual_mask_and_what_is_ignored_does_not_count():
    truth = np.zeros((2, 1, 20, 20), bool)
    truth[0, 0, 5:15, 5:15] = True
    seen = truth.copy()
    seen[1, 0, 0, 0] = True
    found = ranked(["whole", "speck"], [counts_of(*p) for p in zip(truth, seen, strict=True)], "a")
    assert [(one.image, one.share) for one in found] == [("speck", 0.01)]
    assert not ranked(["speck"], [counts_of(truth[1], seen[1], ignored=seen[1])], "a")


def test_a_gain_of_nothing_has_no_minus():
    assert sections._signed(-0.00004) == "+0.0000" and sections._signed(-0.5) == "-0.5000"
