"""The benchmark measures like with like, on images small enough for a test."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import fields, growth, masks, measure, others, report, submission, usual

SETS = [
    fields.bones(classes=3, grid=64),
    fields.teeth(classes=3, grid=64),
    fields.noise(classes=2, grid=16),
]


@pytest.mark.parametrize("masks_", SETS, ids=lambda masks_: masks_.name)
def test_every_item_gives_what_the_usual_way_gives(masks_):
    for item in masks.items_of(masks_):
        assert item.agree(item.ours(), item.usual()), item.name


@pytest.mark.parametrize("masks_", SETS, ids=lambda masks_: masks_.name)
def test_other_libraries_give_what_the_usual_way_gives(masks_):
    pytest.importorskip("pycocotools")
    stack = usual.masks_from_logits(masks_.logits, masks_.size)
    assert others.pycocotools_texts(stack) == [usual.rle_columns(mask) for mask in stack]


def test_the_text_of_the_usual_way_reads_back_to_the_mask():
    mask = np.random.default_rng(0).random((7, 9)) > 0.5
    assert np.array_equal(usual.unrle_rows(usual.rle_rows(mask), (7, 9)), mask)


def test_peak_memory_sees_an_array_that_is_gone_again():
    assert measure.peak_megabytes(lambda: np.ones(8_000_000).sum()) > 50
    assert measure.peak_megabytes(lambda: None) < 10


def test_a_submission_is_written_and_checked():
    for kind in ("image", "object"):
        assert submission.submitted(kind, 2000).rows == 2000


def test_the_report_holds_every_line_and_a_plot(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    figures = measure.Measured(0.002, 3.0)
    lines = [
        masks.Line(f"item {name}", name, figures, measure.Measured(0.5, 90.0), {}, 0.001, 300.0, {})
        for name in ("bones", "teeth", "noise")
    ]
    point = growth.Point(4, 10, 0.001, 0.1)
    report.write(
        lines,
        {name: (point, point) for name in ("size", "classes", "runs")},
        [SimpleNamespace(rows=10, kind="image", write=1.0, check=1.0, megabytes=5.0)],
        7,
    )
    text = (tmp_path / "performance.md").read_text()
    assert "| item teeth | 2.0 ms | 500 ms | **250** |" in text
    assert "- item bones (bones) beside the usual way: 250 of 300. Reading the input once is 1.0 of" in text
    assert (tmp_path / "performance.png").stat().st_size > 1000
