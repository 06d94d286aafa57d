"""`podium skeleton`: a row for each mask, and a sheet of centre lines."""

import csv

import numpy as np
import pytest

from competition.__main__ import main
from competition.errors import InputFault
from competition.masks import Runs
from competition.masks.skeleton import skeletonize, thickness
from competition.steps import measure_skeletons
from competition.submission import write_submission


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_labels_have_a_row_for_each_mask_with_length_and_thickness(project, tmp_path):
    target = tmp_path / "skeleton.csv"
    said = measure_skeletons(project, target)
    rows = rows_of(target)
    masks = {
        (image, name): project.labels[image][k]
        for image in project.rows("train")["image"]
        for k, name in enumerate(project.classes)
        if project.labels[image][k].area()[0]
    }
    assert [(row["image"], row["class"]) for row in rows] == list(masks) and len(rows) > 20
    for row, mask in zip(rows, masks.values(), strict=True):
        (width,) = thickness(mask)
        assert int(row["area"]) == mask.area()[0]
        assert int(row["length"]) == skeletonize(mask).area()[0] == len(width)
        assert float(row["median"]) == pytest.approx(np.median(width), abs=0.005)
        assert float(row["p05"]) <= float(row["mean"]) <= float(row["most"])
    assert f"{len(rows)} masks" in said and target.with_suffix(".png").stat().st_size > 1000


def test_a_submission_is_measured_as_it_is_and_one_of_another_size_is_refused(
    project, tiny_data, tmp_path, monkeypatch, capsys
):
    classes = len(project.classes)

    def bars(image):
        dense = np.zeros((classes, *project.sizes[image]), bool)
        dense[0, 4:9, 2:30] = True
        return Runs.from_dense(dense)

    path = tmp_path / "bars.csv"
    write_submission(project.competition, project.sample, bars, path, {})
    monkeypatch.chdir(tmp_path)
    file = str(tiny_data / "competition.toml")
    assert main(["skeleton", "-c", file, "--csv", str(path), "--target", "bars.skeleton.csv"]) == 0
    rows = rows_of(tmp_path / "bars.skeleton.csv")
    assert {row["class"] for row in rows} == {project.classes[0]}
    assert {(row["area"], row["median"]) for row in rows} == {("140", "5.00")}
    assert "look at bars.skeleton.png" in capsys.readouterr().out

    form = project.competition.submission.model_copy(update={"size": (32, 32)})
    project.competition = project.competition.model_copy(update={"submission": form})
    with pytest.raises(InputFault, match="widths in them are not those of the images"):
        measure_skeletons(project, tmp_path / "other.csv", submission=path)
    assert not (tmp_path / "other.csv").exists()
