"""The benchmark measures like with like, on images small enough for a test."""

import multiprocessing
import sys
import time

import numpy as np
import pytest

from benchmarks import fields, growth, lines, masks, measure, others, report, submission, usual
from benchmarks import record as records
from competition.tuning.parallel import over_images

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


@pytest.fixture
def record(tmp_path, monkeypatch):
    """A small record, kept and reported in a folder of its own."""
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    monkeypatch.setattr(records, "FILE", tmp_path / "kept" / "masks.json")
    figures, usual_figures = measure.Measured(0.002, 3.0), measure.Measured(0.5, 90.0)
    record, asked = records.Record(), {"pycocotools": 45.0}
    for name in ("bones", "teeth", "noise"):
        line = lines.Line(
            f"item {name}",
            name,
            figures,
            usual_figures,
            {"pycocotools": figures},
            0.001,
            300.0,
            asked,
            7,
        )
        record.lines[f"{name}: item {name}"] = line
    point = growth.Point(4, 10, 0.001, 0.1)
    record.curves = dict.fromkeys(("size", "classes", "runs"), (point, point))
    record.submissions = {"image": submission.Submitted("image", 10, 1.0, 1.0, 5.0)}
    return record


def test_the_report_holds_every_line_and_a_plot(tmp_path, record):
    report.write(record)
    text = (tmp_path / "performance.md").read_text()
    assert "| item teeth | 2.0 ms | 500 ms | **250** |" in text
    assert (
        "- item bones (bones) beside the usual way: 250 of 300. Reading the input once is 1.0 of"
        in text
    )
    assert "- item bones (bones) beside pycocotools: 1 of 45." in text
    assert "over 7 calls" in text
    assert (tmp_path / "performance.png").stat().st_size > 1000


def test_what_was_measured_is_kept_until_it_is_measured_again(tmp_path, record, monkeypatch):
    record.write()
    kept = records.Record.read()
    assert (kept.lines, kept.curves, kept.submissions) == (
        record.lines,
        record.curves,
        record.submissions,
    )
    monkeypatch.setattr(masks, "SETS", (small_teeth := named("teeth"), named("bones")))
    masks.run(only="teeth: label map", repeats=1)
    again = records.Record.read()
    assert small_teeth.__name__ == "teeth"
    assert again.lines.keys() - record.lines.keys() == {"teeth: label map to text"}
    assert all(again.lines[name] == line for name, line in record.lines.items())
    assert "label map to text (teeth) of 1" in (tmp_path / "performance.md").read_text()


def named(name):
    """A maker of a small set under the name of a large one."""

    def make():
        return getattr(fields, name)(classes=3, grid=64)

    make.__name__ = name
    return make


def test_tuning_is_timed_beside_the_dense_way_on_stores_of_several_models(tmp_path, monkeypatch):
    from benchmarks import tuned, tuning

    for name, value in {"GRID": 32, "CLASSES": 3, "MODELS": 2, "DRAWN": 6}.items():
        monkeypatch.setattr(tuned, name, value)
    truths = tuned.drawn(tmp_path)
    readers = {f"model-{m}": tuned.Repeated(s, 10) for m, s in enumerate(tuned.opened(tmp_path))}
    truth = {image: truths[n % 6] for n, image in enumerate(readers["model-0"].images)}
    lines = tuning._lines(readers, truth)
    assert [line.asked for line in lines] == [30, None, 60, 120]
    assert all(line.time.clock > 0 for line in lines)
    drawing, weights, heads = (line.time.clock for line in lines[1:])
    assert drawing < min(weights, heads)  # they include it
    text = tuning._text(lines, 10, (500.0, 700.0))
    assert "10 images" in text and "| < 30 |" in text


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count of shared pages")
def test_the_highest_memory_is_that_of_all_processes_together(monkeypatch):
    from benchmarks import together

    looks = multiprocessing.Value("i", 0)  # shared with the processes that hold memory

    class Counted(together.HighestMemory):
        def _look(self):
            super()._look()
            looks.value += 1

    def hold(place, image):
        block = np.ones(15_000_000)
        seen = looks.value + 2
        while looks.value < seen:
            time.sleep(0.01)
        return block.nbytes

    monkeypatch.setattr(together, "EVERY", 0.05)
    with Counted() as memory:
        before = memory.megabytes
        assert over_images(hold, ["a", "b"]) == [120_000_000] * 2
    assert 100 < memory.megabytes - before < 400  # 120 MB for each process at work
