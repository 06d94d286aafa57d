"""Images of five channels and 16 bits, the whole way: files → training → csv → ONNX → pictures."""

import csv

import numpy as np
import pytest
import torch
from tiny_competition import whole_way
from typer.testing import CliRunner

from competition.cli import app
from competition.data.loader import PlainSet
from competition.doctor import examine
from competition.entry import entry_of
from competition.errors import InputFault
from competition.pipeline import Pipeline, states
from competition.project import Project
from competition.steps.predict import letterboxed
from competition.training.checkpoint import load_checkpoint

TOML = """
name = "deep"
classes = ["blob"]
horizontal_flip = "allowed"
vertical_flip = "allowed"

[data]
root = "."
train_images = "train/*.npy"
test_images = "test/*.npy"
image_id = "stem"
channels = 5
bits = 16
range = [[0, 65535], [0, 65535], [0, 65535], [0, 65535], [29000, 31000]]

[labels]
kind = "masks"
files = "masks/{stem}.npy"
values = "nonzero"

[submission]
image = "id"
rle = "rle"
rows = "image"
order = "rows"

[metric]
name = "dice"

[split]
folds = 2

[ensemble]
recipes = ["tiny"]
folds = [0]
views = ["mirror", "flip"]

[recipes.tiny]
base = "unet-cpu"
network.base = 8
network.stages = 3
size = [32, 32]
batch = 4
schedule = { iterations = 6 }
augmentation = { noise = 0.5 }
"""


def mask_of(number: int) -> np.ndarray:
    mask = np.zeros((24, 28), bool)
    mask[3 + number : 15 + number, 4:20] = True
    return mask


def pixels_of(number: int) -> np.ndarray:
    """uint16 (24, 28, 5); the blob is 200 brighter in the last channel, which 8 bits hardly see."""
    noise = np.random.default_rng(number).integers(0, 65536, (24, 28, 5))
    noise[..., 4] = 30000 + 200 * mask_of(number)
    return noise.astype(np.uint16)


def write_data(root, text=TOML):
    for folder in ("train", "test", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(10):
        part = "train" if number < 8 else "test"
        np.save(root / part / f"a{number}.npy", pixels_of(number % 8))
        if part == "train":
            np.save(root / f"masks/a{number}.npy", mask_of(number).astype(np.uint8))
    np.save(root / "test/a8.npy", pixels_of(5)[::-1])
    (root / "competition.toml").write_text(text)
    return root / "competition.toml"


def opened(file, work):
    return Project.open(file, work, say=lambda line: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    data, work = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("work")
    project = opened(write_data(data), work)
    entry = entry_of(project.competition, pretrained=False)
    whole_way(project, entry)
    return project, entry


def test_the_network_is_for_the_images_of_the_competition(finished):
    project, entry = finished
    checkpoint = project.workspace.run(str(entry.members[0]), 0) / "checkpoint.pt"
    network, training = load_checkpoint(
        checkpoint, classes=("blob",), pixels=project.competition.data
    )
    assert (network.channels, network.white) == (5, 65535)
    assert training.recipe.network.channels == 5 and training.pixels.bits == 16
    laid = letterboxed(project, training.recipe, "train")
    assert laid.pixels.dtype == np.uint16 and laid.pixels.shape == (8, 32, 32, 5)
    shown = PlainSet(("a0",), laid)[0]["images"]
    share = np.array((laid["a0"] / 65535).transpose(2, 0, 1), np.float32)
    expected = (torch.from_numpy(share) - network.mean) / network.deviation
    assert torch.allclose(network.normalised(shown[None])[0], expected, atol=1e-6)
    inside = laid["a0"][10:14, 10:16, 4]
    assert abs(int(np.median(inside)) - round(65535 * 1200 / 2000)) < 2  # 30200 of 29000…31000


def test_a_csv_is_handed_in(finished):
    project, entry = finished
    with open(project.workspace.submission(entry.name), newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["a8", "a9"]


def test_what_is_kept_of_images_makes_networks_stale_and_is_never_mixed(finished, tmp_path):
    project, entry = finished
    file = project.competition.folder / "competition.toml"

    def kinds(text):
        file.write_text(text)
        try:
            pipeline = Pipeline(opened(file, project.workspace.root))
            found = states(pipeline.stages("predict", entry))
            return {step.name.split()[0]: state.kind for step, state in found}
        finally:
            file.write_text(TOML)

    assert kinds(TOML) == {"folds": "fresh", "train": "fresh", "predict": "fresh", "mean": "fresh"}
    for change in (("[29000, 31000]", "[29000, 31001]"), ("bits = 16", "bits = 8")):
        found = kinds(TOML.replace(*change))
        assert found["train"] == found["predict"] == "stale"
    checkpoint = project.workspace.run(str(entry.members[0]), 0) / "checkpoint.pt"
    other = project.competition.data.model_copy(update={"bits": 8})
    with pytest.raises(InputFault, match=r"bits = 16.*the competition has .*bits = 8.*train again"):
        load_checkpoint(checkpoint, classes=("blob",), pixels=other)


def test_onnx_takes_sixteen_bits(finished, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    project, entry = finished
    checkpoint = project.workspace.run(str(entry.members[0]), 0) / "checkpoint.pt"
    file = str(project.competition.folder / "competition.toml")
    words = ["export", str(checkpoint), "--folder", str(tmp_path), "--competition", file]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    network, training = load_checkpoint(checkpoint, classes=("blob",))
    laid = letterboxed(project, training.recipe, "test")
    images = PlainSet(("a8",), laid)[0]["images"][None]
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    (found,) = session.run(None, {"images": images.numpy().astype(np.float32)})
    with torch.no_grad():
        expected = network(network.normalised(images)).logits.numpy()
    assert np.abs(found - expected).max() < 1e-3


def test_pictures_and_the_doctor_see_three_channels_of_eight_bits(finished):
    project, _ = finished
    shown = project.pixels("a1")
    assert shown.dtype == np.uint8 and np.array_equal(shown, pixels_of(1)[..., :3] >> 8)
    report = examine(project.competition, project.workspace)
    assert not report.errors
    assert any("NPY uint16" in str(line) for line in report.found)


def test_a_shift_of_one_channel_is_told_with_its_number(tmp_path):
    for number in range(24):
        folder = tmp_path / ("train" if number < 12 else "test")
        folder.mkdir(exist_ok=True)
        image = np.random.default_rng(number).integers(0, 40000, (24, 28, 5)).astype(np.uint16)
        image[..., 1] += 9000 if number < 12 else 0
        image[..., 3] += 9000 if number >= 12 else 0  # the mean of all stays
        np.save(folder / f"b{number}.npy", image)
    write_data(tmp_path)
    text = TOML.replace("train/*.npy", "train/b*.npy").replace("test/*.npy", "test/b*.npy")
    masks = tmp_path / "masks"
    for number in range(12):
        np.save(masks / f"b{number}.npy", mask_of(number % 8).astype(np.uint8))
    (tmp_path / "competition.toml").write_text(text)
    project = opened(tmp_path / "competition.toml", tmp_path)
    lines = examine(project.competition, project.workspace).warnings
    brighter = [line for line in lines if "brighter" in line]
    assert [line.split("brighter ")[1][:12] for line in brighter] == [
        "in channel 1",
        "in channel 3",
    ]


@pytest.mark.parametrize("key", ["channels", "bits"])
def test_a_recipe_that_says_another_number_is_refused(tmp_path, key):
    text = TOML + f"network.{key} = 4\n"
    file = write_data(tmp_path, text)
    with pytest.raises(
        InputFault, match=rf"recipes.tiny.network.{key} is 4, and images have"
    ) as said:
        opened(file, tmp_path)
    assert "\n" not in str(said.value)
