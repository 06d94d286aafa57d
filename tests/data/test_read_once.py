"""`new` and `doctor` read each image and label file once, and again only when it changed."""

import os
from collections import Counter

import pytest
from downloads import save
from test_search import MASKS, TRAIN, images, indexed, photograph, texts
from typer.testing import CliRunner

from competition.cli import app
from competition.data import catalog as catalogs
from competition.data.readers import masks, rle
from competition.doctor import image_checks


@pytest.fixture
def counted(monkeypatch, tmp_path):
    """How often labels are read, headers of images are, and images are decoded by the doctor."""
    counts = Counter()

    def counting(module, name, what):
        original = getattr(module, name)

        def wrapped(*arguments, **options):
            counts[what] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, wrapped)

    counting(masks, "read", "labels")
    counting(rle, "read", "labels")
    counting(catalogs, "size_of_pixels", "headers")
    counting(image_checks, "overview", "decoded")
    monkeypatch.chdir(tmp_path)
    return counts


def run(counts, *words):
    counts.clear()
    outcome = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


@pytest.mark.parametrize("labels", [indexed, texts])
def test_new_reads_labels_and_headers_once(tmp_path, counted, labels):
    images(tmp_path / "data", test=None)
    labels(tmp_path / "data")
    run(counted, "new", "--data", "data")
    assert counted == {"labels": 1, "headers": len(TRAIN)}
    run(counted, "doctor")
    assert counted == {"headers": len(TRAIN), "decoded": len(TRAIN)}


def test_new_reads_them_once_where_sizes_are_strata(tmp_path, counted):
    images(tmp_path / "data", test=None)
    for name, mask in MASKS.items():
        height = 20 if name in TRAIN[:6] else 24
        save(tmp_path / f"data/images/{name}.png", photograph(name)[:height])
        save(tmp_path / f"data/masks/{name}.png", mask[:height])
    run(counted, "new", "--data", "data")
    assert counted == {"labels": 1, "headers": len(TRAIN)}
    assert 'stratum = "size"' in (tmp_path / "competition.toml").read_text()


def test_the_doctor_says_the_same_of_unchanged_data_and_decodes_nothing(tmp_path, counted):
    images(tmp_path / "data", test=None)
    indexed(tmp_path / "data")
    run(counted, "new", "--data", "data")
    said = run(counted, "doctor")
    assert run(counted, "doctor") == said
    assert counted == {"headers": len(TRAIN)}
    os.utime(next((tmp_path / "data").rglob("*.png")), ns=(1, 1))
    run(counted, "doctor")
    assert counted["decoded"] == len(TRAIN)
