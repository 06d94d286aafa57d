"""The demo competition: a complete download of generated hand X-rays, in the hand-bone layout.

train/DCM/ID001/image00001_L.png             both hands of a person lie in the person's folder
train/outputs_json/ID001/image00001_L.json   polygons
test/DCM/ID049/…
sample_submission.csv  solution.csv  classes.txt  competition.toml

anatomy.py people and their bones, xray.py the images, annotation.py the masks: the constants at
their heads are the numbers that calibration turns. hand.toml has an average hand, competition.toml
is the template of the file above.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

import cv2
import numpy as np

from competition.demo.anatomy import CLASSES, draw_hand, draw_person
from competition.demo.annotation import BIAS, annotate
from competition.demo.xray import draw_view, render
from competition.errors import InputFault
from competition.masks import RleFormat, Runs, polygons_from_runs
from competition.masks.rle import encode_rows
from competition.recipes import recipe_named
from competition.recipes.weights_file import has_weights
from competition.workspace import whole_folder

PUBLIC = 0.3
"""Share of the test people whose scores the public leaderboard shows."""

MOST_PEOPLE = 999
"""With more, ID1000 would sort before ID101."""

TEXT_FORM = RleFormat(order="rows", base=1, rows="image-class")


@dataclass(frozen=True)
class Picture:
    """One image of the competition and its annotated masks."""

    folder: str
    name: str
    pixels: np.ndarray
    """uint8 (H, W)"""
    masks: list[Runs]
    """One (H, W) a class, in the order of CLASSES."""


def make_demo(
    folder: Path, *, seed: int = 0, people: int = 48, test_people: int = 32, size: int = 256
) -> None:
    """Write the demo competition into `folder`, whole or not at all; what was there is replaced.

    The same arguments give the same bytes. `people` and `test_people` have two images each, of
    `size` × `size` pixels; a person does not depend on how many there are.
    """
    text = demo_toml("demo", examples=560)
    _write(folder, text, seed=seed, people=people, test_people=test_people, size=size)


def make_short_demo(folder: Path, *, seed: int = 0) -> None:
    """The same in little, named demo-short: to see that every step runs, not how well."""
    text = demo_toml("demo-short", examples=16)
    _write(folder, text, seed=seed, people=6, test_people=4, size=96)


def demo_toml(name: str, *, examples: int) -> str:
    """Text of a demo's competition.toml; its recipes train on so many examples, at 64 × 64.

    Whether published weights are at hand is looked up here and written down, so that the demo runs
    without them, and a file means the same recipes wherever it goes.
    """
    template = (Path(__file__).parent / "competition.toml").read_text(encoding="utf-8")
    classes = "".join(f'    "{label}",\n' for label in CLASSES)
    batches = {"iterations": examples // 2, "half": examples // 4}  # of 2 and of 4 images
    published = has_weights(recipe_named("light-unet-lite0", {}).weights)
    weights = {
        "published": "true" if published else "false",
        "is_installed": "is installed" if published else "was not installed",
    }
    return Template(template).substitute(batches, **weights, name=name, classes=classes)


def photograph(number: int, *, seed: int, size: int) -> Iterator[Picture]:
    """The two images of the person with a number, left hand first."""
    random = np.random.default_rng([seed, number])
    person = draw_person(random)
    bias = random.normal(0, BIAS)
    for place, side in enumerate("LR"):
        hand = draw_hand(random, person)
        view = draw_view(random, size, left=side == "L")
        pixels = render(hand, view, random)
        masks = annotate(hand.bones, view, random, bias=bias)
        yield Picture(f"ID{number:03d}", f"image{2 * number - 1 + place:05d}_{side}", pixels, masks)


def _write(
    folder: Path, competition_text: str, *, seed: int, people: int, test_people: int, size: int
) -> None:
    enough = people >= 1 and test_people >= 2 and size >= 64
    if not enough or people + test_people > MOST_PEOPLE:
        raise InputFault(
            "a demo needs at least 1 training person, 2 test people (at most "
            f"{MOST_PEOPLE} in all) and 64 pixels; found {people=}, {test_people=}, {size=}"
        )
    # Which of the test people are public.
    order = np.random.default_rng(seed).permutation(test_people)
    public = np.argsort(order) < max(1, round(PUBLIC * test_people))
    sample, solution = ["image_name,class,rle"], ["image_name,class,rle,Usage"]
    with whole_folder(folder) as root:
        for place in range(people + test_people):
            for picture in photograph(1 + place, seed=seed, size=size):
                part = root / ("train" if place < people else "test")
                _, encoded = cv2.imencode(".png", picture.pixels)
                image = part / "DCM" / picture.folder / f"{picture.name}.png"
                _write_file(image, encoded.tobytes())
                if place < people:
                    polygons = part / "outputs_json" / picture.folder / f"{picture.name}.json"
                    _write_file(polygons, _annotations(picture))
                    continue
                usage = "Public" if public[place - people] else "Private"
                texts = encode_rows(picture.masks, TEXT_FORM)
                for label, text in zip(CLASSES, texts, strict=True):
                    sample.append(f"{image.name},{label},")
                    solution.append(f"{image.name},{label},{text},{usage}")
        _write_file(root / "competition.toml", competition_text.encode())
        for name, lines in (
            ("sample_submission.csv", sample),
            ("solution.csv", solution),
            ("classes.txt", CLASSES),
        ):
            _write_file(root / name, "".join(f"{line}\n" for line in lines).encode())


def _write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _annotations(picture: Picture) -> bytes:
    """The polygons of an image; one that is filled alone, as annotation tools do."""
    labelled = [
        (label, polygon)
        for label, mask in zip(CLASSES, picture.masks, strict=True)
        for polygon in polygons_from_runs(mask)
    ]
    annotations = [
        {
            "id": f"{picture.name}-{number:03d}",
            "type": "poly_seg",
            "attributes": {},
            "points": polygon.tolist(),
            "label": label,
        }
        for number, (label, polygon) in enumerate(labelled, start=1)
    ]
    text = json.dumps({"filename": f"{picture.name}.png", "annotations": annotations})
    return (text + "\n").encode()
