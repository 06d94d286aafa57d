"""There is one run-length code, one Dice and one upsampling of predictions in the package."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "competition"
TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}

# What may resize, and what it resizes: no mask at native size, no logits that become one.
RESIZERS = {
    "demo/xray.py": "the made X-rays",
    "data/duplicates.py": "images, to look alike or not",
    "data/letterbox.py": "images, to what the network sees",
    "data/strips.py": "images, to look at",
    "inference/predict.py": "logits of a view at a scale, back to the grid of the image as it is",
    "inference/views.py": "images, to a view at a scale",
    "models/base.py": "logits inside a network, to its own input: what the loss is computed on",
    "models/unet.py": "features inside a network",
    "planning/recognition.py": "images, to see what is left of them at a size",
    "pictures": "images and masks, to look at",
    "steps/contact_sheets.py": "maps of disagreement, to look at",
    "steps/data_sheets.py": "images that look alike, to look at",
    "steps/pseudo.py": "maps of disagreement, to say how sure a class is",
}
RESIZING = {"interpolate", "resize", "zoom", "warpAffine", "remap", "grid_sample", "Upsample"}
DRAWING = {"fillPoly", "findContours", "connectedComponents", "connectedComponentsWithStats"}
COUNTING = {"dice_statistics", "intersection_area", "score_image", "score_from_statistics"}


def names_called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            yield called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def modules_that_call(names: set[str]) -> set[str]:
    found = {path for path, tree in TREES.items() if names & set(names_called(tree))}
    return {"pictures" if path.startswith("pictures") else path for path in found}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def divides_twice_a_product(function: ast.FunctionDef) -> bool:
    """Whether it computes 2 · something / something: the form that every Dice has."""
    return any(
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div)
        and any(
            isinstance(part, ast.BinOp)
            and isinstance(part.op, ast.Mult)
            and isinstance(part.left, ast.Constant)
            and part.left.value == 2
            for part in ast.walk(node.left)
        )
        for node in ast.walk(function)
    )


def test_nothing_else_resizes() -> None:
    """The mean of models of unequal grids had a bilinear formula of its own once.

    It is the one of `masks/sampling_grid.py` now.
    """
    assert modules_that_call(RESIZING) == RESIZERS.keys()
    halves = {p for p, t in TREES.items() if any(adds_half_a_pixel(f) for f in functions(t))}
    found = {
        p
        for p in halves
        if p.startswith(("tuning", "decoding", "evaluation", "inference", "training", "steps"))
    }
    # It looks up the native pixel under a node, for curves; nothing is interpolated.
    assert found <= {"decoding/calibration.py"}


def adds_half_a_pixel(function: ast.FunctionDef) -> bool:
    """Whether it computes arange(n) + .5, as all half-pixel-centred resampling does."""
    return any(
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add)
        and isinstance(node.right, ast.Constant)
        and node.right.value == 0.5
        and "arange" in set(names_called(node.left))
        for node in ast.walk(function)
    )


def test_polygons_and_parts_are_found_in_one_module_each() -> None:
    found = {p for p in modules_that_call(DRAWING) if not p.startswith("demo/")}
    # Pictures draw outlines; examples are mixed of parts of laid-out masks.
    assert found == {"masks/polygons.py", "pictures", "data/mixing.py"}
    labelling = {p for p, t in TREES.items() if "ndimage" in set(imported(t))}
    assert {
        p
        for p in labelling
        if p.startswith(("masks", "scoring", "tuning", "decoding", "evaluation"))
    } == set()


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[-1] for alias in node.names)


def test_run_length_text_is_written_and_read_in_the_masks_room_alone() -> None:
    defined = {
        (path, function.name)
        for path, tree in TREES.items()
        for function in functions(tree)
        if function.name in ("encode", "decode") or "rle" in function.name.split("_")
    }
    assert {path for path, _ in defined} == {"masks/rle.py"}


@pytest.mark.parametrize("path", sorted(TREES))
def test_no_dice_of_masks_is_computed_outside_scoring(path: str) -> None:
    """The doctor had one once; `training/losses.py` has the differentiable one, of probabilities."""
    found = {f.name for f in functions(TREES[path]) if divides_twice_a_product(f)}
    if path != "training/losses.py" and not path.startswith("scoring/"):
        dice = {
            f.name
            for f in functions(TREES[path])
            if f.name in found and COUNTING & set(names_called(f))
        }
        assert dice == set()
