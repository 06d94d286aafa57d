"""docs/extending.md is followed to the letter: the code of each section is put where the page says.

A part that the page adds stands in copies of the files that change, or in a registry for as long as the
test runs. The network of the page is tried by `models/test_docs.py`.
"""

import ast
import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import competition
from competition import engines
from competition.__main__ import main
from competition.data.catalog import build_catalog
from competition.data.labels import label_files, read_labels
from competition.data.letterbox import letterboxed_images
from competition.doctor import prove
from competition.engines import ENGINES, StepFailed
from competition.errors import InputFault
from competition.inference import views
from competition.inference.predict import PredictionSettings, view_means
from competition.inference.views import VIEWS
from competition.machine import machine_of
from competition.masks import Runs
from competition.models.base import Output
from competition.new import write
from competition.new.write import new_competition, preset_names
from competition.recipes import recipe_named
from competition.scoring import METRICS, Metric, metrics, score_image
from competition.scoring.metrics import aggregate
from competition.spec import load_competition

ROOT = Path(competition.__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
NAMES = {"a.png": (12, 20), "b.png": (9, 14)}


def section(title: str) -> str:
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return found


def code_of(title: str, language: str = "python") -> list[str]:
    """The blocks of a section, in its order."""
    return re.findall(rf"```{language}\n(.*?)```", section(title), re.DOTALL)


def changed_module(monkeypatch, folder: Path, module: str, *changes: tuple[str, str]) -> ModuleType:
    """A copy of the module with an addition before each text: (text, addition)."""
    text = Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")
    for before, added in changes:
        assert text.count(before) == 1, f"{module} has changed: {before!r}"
        text = text.replace(before, added + before)
    return made_module(monkeypatch, folder, f"changed_{module.replace('.', '_')}", text)


def made_module(monkeypatch, folder: Path, name: str, text: str) -> ModuleType:
    file = folder / f"{name}.py"
    file.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def entry_in(module: ModuleType, *blocks: str) -> dict:
    """The last block, `"name": value,` of a registry of the module, after those before it."""
    *before, entry = blocks
    names = dict(vars(module))
    exec("".join(before), names)
    return eval("{" + entry + "}", names)


# The tables of the page


def test_every_part_has_its_row_and_its_files_exist():
    rows = re.findall(r"^\| \[([^]]+)\]\((#[^)]+)\) \| (.*) \|$", PAGE, re.MULTILINE)
    titles = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert [anchor for _, anchor, _ in rows] == [
        "#" + title.lower().replace(" ", "-") for title in titles
    ]
    for _, _, files in rows:
        for path in re.findall(r"`(competition/[^`]+)`", files):
            assert (ROOT / path).exists(), path


# A loss term


@pytest.mark.parametrize("exclusive", [False, True])
def test_the_loss_term_of_the_page_equals_its_formula(monkeypatch, tmp_path, exclusive):
    uses, case, formula = code_of("A loss term")
    schema = changed_module(
        monkeypatch,
        tmp_path,
        "competition.recipes.losses",
        ('    "bce": set(),\n', uses),
        ('        "bce",\n', '        "brier",\n'),
    )
    losses = changed_module(
        monkeypatch,
        tmp_path,
        "competition.training.losses",
        ('    raise InputFault(f"the loss term {term.name!r} has no values', case),
    )
    term = schema.LossTerm(name="brier", exclusive=exclusive)
    with pytest.raises(ValueError, match="does not use"):
        schema.LossTerm(name="brier", gamma=2.0)

    random = np.random.default_rng(0)
    x, t = random.normal(0, 2, (2, 3, 8, 8)), random.integers(0, 2, (2, 3, 8, 8))
    both = np.exp(x)
    p = both / (1 + both.sum(1, keepdims=True)) if exclusive else 1 / (1 + np.exp(-x))
    logits = torch.from_numpy(x).requires_grad_()
    value = losses.build_loss((term,))(logits, torch.from_numpy(t))
    written = ast.parse("match name:\n" + formula).body[0].cases[0].body[0].value
    expected = eval(compile(ast.Expression(written), "formula", "eval"), {"p": p, "t": t})
    assert value.item() == pytest.approx(expected, rel=1e-5)
    value.backward()
    assert logits.grad.abs().sum() > 0


# An optimiser


def test_the_optimiser_of_the_page_makes_a_network_better(monkeypatch, tmp_path):
    (case,) = code_of("An optimiser")
    recipe = changed_module(
        monkeypatch, tmp_path, "competition.recipes.recipe", ('"adamw", "sgd"]', '"nadam", ')
    )
    module = changed_module(
        monkeypatch, tmp_path, "competition.training.step", ('        case "sgd":\n', case)
    )
    chosen = recipe.Optimizer(name="nadam", learning_rate=0.05)
    with pytest.raises(ValueError, match="does not use momentum"):
        recipe.Optimizer(name="nadam", momentum=0.5)

    torch.manual_seed(0)
    network = nn.Linear(4, 1)
    optimizer = module.build_optimizer(network, chosen, fused=False)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [chosen.weight_decay, 0.0]
    x = torch.randn(32, 4)
    y, found = x.sum(1, keepdim=True), []
    for _ in range(40):
        loss = (network(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert found[-1] < found[0] / 10


# A metric


@pytest.fixture
def volumetric(monkeypatch) -> str:
    ((name, rule),) = entry_in(metrics, *code_of("A metric")).items()
    monkeypatch.setitem(METRICS, name, rule)
    return name


def test_the_metric_of_the_page_scores_images_and_sets_of_them(volumetric):
    truth = Runs.from_dense(np.array([[[1, 1, 0, 0]], [[1, 1, 1, 0]], [[0, 0, 0, 0]]]))
    prediction = Runs.from_dense(np.array([[[0, 0, 1, 1]], [[1, 0, 0, 0]], [[0, 0, 0, 0]]]))
    scores = score_image(truth, prediction, Metric(name=volumetric))
    assert scores.tolist() == [1.0, 0.5, 1.0]  # as large, half the similarity, both empty
    skipped = score_image(truth, prediction, Metric(name=volumetric, empty="skip"))
    assert np.isnan(skipped[2]) and aggregate(skipped[None], Metric(name=volumetric)) == 0.75
    counts = np.array([[[0, 2, 2], [1, 3, 1]], [[0, 4, 0], [1, 1, 3]]])
    assert aggregate(counts, Metric(name=volumetric, over="pixels")) == pytest.approx(
        (1 - 4 / 8 + 1) / 2
    )
    with pytest.raises(ValueError, match="does not use"):
        Metric(name=volumetric, beta=2.0)


# A test-time view


class TellsPlaces(nn.Module):
    """A logit a pixel: how bright it is. Of a changed image it says the same at the changed place."""

    def normalised(self, images):
        return images.float() / 255

    def forward(self, images):
        return Output(images.mean(1, keepdim=True))


def test_the_view_of_the_page_comes_back_to_its_place(monkeypatch, tmp_path):
    (entry,) = code_of("A test-time view")
    ((name, view),) = entry_in(views, entry).items()
    images = torch.randn(2, 3, 8, 6)
    assert not torch.equal(view.forward(images), images)
    assert torch.equal(view.backward(view.forward(images)), images)

    monkeypatch.setitem(VIEWS, name, view)
    random = np.random.default_rng(0)
    for image, size in NAMES.items():
        Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)).save(tmp_path / image)
    rows = [
        {"image": image, "path": image, "split": "test", "height": size[0], "width": size[1]}
        for image, size in NAMES.items()
    ]
    placed = letterboxed_images(
        pd.DataFrame(rows), tmp_path, tmp_path / "cache", form=((16, 24), "pad")
    )
    machine = machine_of({"PODIUM_DTYPE": "float32"})
    plain, seen_twice = (
        list(
            view_means(
                [TellsPlaces()], tuple(NAMES), placed, PredictionSettings(2, machine, chosen)
            )
        )
        for chosen in ((), (name,))
    )
    for (_, logits, _), (_, both, disagreement) in zip(plain, seen_twice, strict=True):
        assert np.allclose(logits, both, atol=1e-6) and disagreement.max() == 0


def test_a_view_that_the_page_does_not_have_is_refused_by_name():
    with pytest.raises(InputFault, match="no test-time view 'upside-down'"):
        views.checked_views(["upside-down"], may_mirror=True)


# A label format


def via_download(folder: Path) -> dict:
    """Two training images and a test image; images and regions in another order in the file."""
    for name, size in {
        "train/a.png": (12, 20),
        "train/b.png": (9, 14),
        "test/c.png": (8, 8),
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path)
    (folder / "sample.csv").write_text("image,class,rle\nc.png,cat,\nc.png,dog,\n")
    regions = {"b.png": [("dog", 0, 0, 3)], "a.png": [("cat", 2, 2, 4), ("cat", 10, 2, 2)]}
    return {
        "_via_img_metadata": {
            f"{name}123": {"filename": name, "regions": [region(*one) for one in own]}
            for name, own in regions.items()
        }
    }


def region(name: str, left: int, top: int, side: int) -> dict:
    right, bottom = left + side, top + side
    points = {
        "all_points_x": [left, right, right, left],
        "all_points_y": [top, top, bottom, bottom],
    }
    return {"shape_attributes": points, "region_attributes": {"what": name}}


VIA = {
    "name": "via",
    "classes": ["cat", "dog"],
    "horizontal_flip": "allowed",
    "data": {"root": ".", "train_images": "train/*.png", "test_images": "test/*.png"},
    "labels": {"kind": "via", "files": "labels.json", "attribute": "what"},
    "submission": {
        "sample": "sample.csv",
        "image": "image",
        "label": "class",
        "rle": "rle",
        "rows": "image-class",
        "order": "rows",
    },
    "metric": {"name": "dice"},
    "ensemble": {"recipes": ["unet"]},
}


@pytest.fixture
def read_via(monkeypatch, tmp_path):
    """Reads a download with the reader of the page, by the spec with its table."""
    table, union, reader = code_of("A label format")
    text = (ROOT / "competition" / "spec.py").read_text(encoding="utf-8")
    (old,) = re.findall(r"^Labels = .*?^\]\n", text, re.MULTILINE | re.DOTALL)
    changed = text.replace(old, f"{table}\n\n{union}\n")
    spec = made_module(monkeypatch, tmp_path, "competition.spec", changed)
    monkeypatch.setattr(competition, "spec", spec)
    for name in ("shapes", "exports"):  # they ask whether labels are of a class of the spec
        path = ROOT / "competition" / "data" / "readers" / f"{name}.py"
        text = path.read_text(encoding="utf-8")
        made_module(monkeypatch, tmp_path, f"competition.data.readers.{name}", text)
    made_module(monkeypatch, tmp_path, "competition.data.readers.via", reader)

    def read(content: dict, **labels):
        (tmp_path / "labels.json").write_text(json.dumps(content))
        made = {**VIA, "labels": {**VIA["labels"], **labels}}
        found = spec.parse_competition(made, folder=tmp_path, source="competition.toml")
        catalog = build_catalog(found)
        assert label_files(found, catalog) == [tmp_path.resolve() / "labels.json"]
        return read_labels(found, catalog)

    return read


def test_the_reader_of_the_page_has_the_classes_of_the_spec_in_its_order(read_via, tmp_path):
    labels = read_via(via_download(tmp_path))
    assert {image: runs.shape for image, runs in labels.items()} == {
        "a.png": (2, 12, 20),
        "b.png": (2, 9, 14),
    }
    found = {image: runs.area().tolist() for image, runs in labels.items()}
    assert (found["a.png"][1], found["b.png"][0]) == (0, 0)
    columns = np.flatnonzero(labels["a.png"][0].to_dense().any(0))
    assert columns.tolist() == [*range(2, 6), *range(10, 12)]  # of both polygons, united


def test_the_reader_of_the_page_ignores_what_the_competition_file_says(read_via, tmp_path):
    content = via_download(tmp_path)
    content["_via_img_metadata"]["a.png123"]["regions"].append(region("void", 5, 2, 1))
    labels = read_via(content, ignore=["void"])
    assert labels["a.png"].area().tolist() == [15 + 4, 0]
    assert labels.ignored["a.png"].area().tolist() == [1]


def test_the_reader_of_the_page_lists_its_faults_together(read_via, tmp_path):
    content = via_download(tmp_path)
    content["_via_img_metadata"]["a.png123"]["regions"] += [{}, region("doq", 0, 0, 1)]
    with pytest.raises(InputFault) as caught:
        read_via(content)
    assert "image 'a.png123', region 2 is no polygon in VIA's form" in str(caught.value)
    assert "region 3: no class 'doq'; did you mean 'dog'?" in str(caught.value)
    content["_via_img_metadata"]["a.png123"]["filename"] = "A.png"
    with pytest.raises(InputFault, match=r"labels of 'A.png', which is no training image; did you"):
        read_via(content)
    with pytest.raises(InputFault, match=r"labels.json is no project of VIA"):
        read_via({"images": []})


# A preset


def test_the_preset_of_the_page_reads_a_download_of_its_form(monkeypatch, tmp_path):
    (text,) = code_of("A preset", "toml")
    name = tomllib.loads(text)["name"]
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / f"{name}.toml").write_text(text)
    monkeypatch.setattr(write, "PRESETS", tmp_path / "presets")
    assert preset_names() == [name]

    data = tmp_path / "data"
    random = np.random.default_rng(0)
    for folder in ("train", "labels", "test"):
        (data / folder).mkdir(parents=True)
    for number in range(12):
        pixels = random.integers(0, 256, (16, 24, 3), np.uint8)
        mask = np.zeros((16, 24), np.uint8)
        mask[2:8, number : number + 6], mask[9:14, 4:9] = 1, 2
        Image.fromarray(pixels).save(data / "train" / f"{number}.png")
        Image.fromarray(mask).save(data / "labels" / f"{number}.png")
    Image.fromarray(pixels[::-1].copy()).save(data / "test" / "99.png")
    (data / "sample_submission.csv").write_text("image,class,rle\n99.png,nucleus,\n99.png,body,\n")

    new_competition(name, data, tmp_path / "competition.toml", "mine")
    made = load_competition(tmp_path / "competition.toml")
    assert made.name == "mine" and made.labels.kind == "masks"
    assert prove(made).errors == ()
    assert "# In the organisers' order" in (tmp_path / "competition.toml").read_text()


# An engine


@pytest.fixture
def jobs(monkeypatch, tmp_path):
    """The engine of the page, and a sbatch that writes down what it was given and ends as asked."""
    function, entry = code_of("An engine")
    ((name, engine),) = entry_in(engines, function, entry).items()
    monkeypatch.setitem(ENGINES, name, engine)
    taken, codes = [], {}

    def run(words, *, stdout, check):
        assert words[:3] == ["sbatch", "--wait", "--wrap"]
        taken.append(words[3].split(" -m competition ")[1])
        return type("Done", (), {"returncode": codes.get(taken[-1].split()[0], 0)})

    monkeypatch.setattr(engines.subprocess, "run", run)
    return name, engine, taken, codes


def test_the_engine_of_the_page_is_found_by_its_name_and_gets_every_command(
    jobs, tiny_data, monkeypatch, tmp_path
):
    name, _, taken, _ = jobs
    monkeypatch.chdir(tmp_path)
    file = str(tiny_data / "competition.toml")
    assert main(["folds", "-c", file]) == 0
    assert main(["run", "submit", "-c", file, "--engine", name]) == 0
    assert [job.split()[0] for job in taken] == ["train", "predict", "ensemble", "tune", "submit"]
    assert main(["run", "submit", "-c", file, "--engine", "sllurm"]) == 2


def test_the_engine_of_the_page_passes_a_failure_on(jobs, tiny_data, monkeypatch, tmp_path):
    name, engine, taken, codes = jobs
    monkeypatch.chdir(tmp_path)
    codes["predict"] = 3
    with pytest.raises(StepFailed):
        engine(["predict"])
    file = str(tiny_data / "competition.toml")
    assert main(["folds", "-c", file]) == 0
    assert main(["run", "submit", "-c", file, "--engine", name]) == 3
    assert taken[-1].split()[0] == "predict"


# A recipe


def test_the_recipe_of_the_page_is_one():
    (text,) = code_of("A recipe", "toml")
    assert recipe_named("mine", tomllib.loads(text)["recipes"]).size == (256, 256)
