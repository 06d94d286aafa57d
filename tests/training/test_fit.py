"""Training: the same weights straight or resumed, and what it refuses."""

import csv
from pathlib import Path

import pytest
import torch
from training_runs import ONE, Killed, task_of, weights

from competition.errors import InputFault
from competition.models import SegmentationNetwork, build
from competition.pipeline import Pipeline
from competition.recipes import derive, recipe_named
from competition.steps import train_network
from competition.training.checkpoint import (
    load_checkpoint,
    move_torch,
    read_torch,
    save_checkpoint,
    write_torch,
)
from competition.training.fit import fit
from competition.training.progress import Progress
from competition.training.step import TrainingStep
from competition.training.weight_averaging import Average, ema_step, measure_norms


def test_a_killed_run_ends_with_the_weights_of_the_straight_one(project, straight_and_resumed):
    straight, resumed = straight_and_resumed(task_of(project))
    assert (straight / "history.csv").read_text() == (resumed / "history.csv").read_text()
    assert not (resumed / "last.pt").exists()


def test_going_on_with_other_settings_is_refused_and_says_which(
    project, tmp_path, killed_after, monkeypatch
):
    with pytest.raises(Killed):
        killed_after(1)
        fit(task_of(project), tmp_path)
    monkeypatch.undo()
    with pytest.raises(InputFault, match=r"optimizer.learning_rate .* → 0.5.*delete last.pt"):
        fit(task_of(project, optimizer={"learning_rate": 0.5}), tmp_path)


def test_the_history_has_a_line_an_epoch_with_every_class(project, tmp_path):
    task = task_of(project)
    fit(task, tmp_path)
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [row["epoch"] for row in rows] == ["1.0", "2.0", "3.0"]
    for name in task.training.classes:
        assert 0 <= float(rows[-1][f"score[{name}]"]) <= 1
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])


def test_the_checkpoint_knows_its_recipe_fold_and_classes(project, tmp_path):
    task = task_of(project)
    fit(task, tmp_path)
    network, training = load_checkpoint(tmp_path / "checkpoint.pt", classes=task.training.classes)
    assert training == task.training and not network.training
    with pytest.raises(InputFault, match="was trained for the classes"):
        load_checkpoint(tmp_path / "checkpoint.pt", classes=task.training.classes[::-1])


def test_a_learning_rate_that_explodes_stops_and_saves_nothing(project, tmp_path):
    task = task_of(project, optimizer={"learning_rate": 1e30}, precision="fp32")
    with pytest.raises(InputFault, match=r"the loss is nan at step|weights are NaN"):
        fit(task, tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": [{"name": "dice"}, {"name": "boundary", "weight": 0.01}]},
        {"loss": [{"name": "metric"}, {"name": "bce", "class_weights": "inverse-root"}]},
        {"network": {"kind": "unet-resnet18", "presence": 0.1}},
    ],
)
def test_what_a_loss_needs_of_the_data_reaches_it(project, tmp_path, changes):
    task = task_of(project, schedule={"epochs": 1}, **changes)
    fit(task, tmp_path)
    assert (tmp_path / "checkpoint.pt").exists()


def test_the_first_share_of_a_run_sees_images_at_half_the_size(project, tmp_path, monkeypatch):
    seen, forward = [], SegmentationNetwork.forward

    def spy(network, images):
        if network.training:
            seen.append(tuple(images.shape[-2:]))
        return forward(network, images)

    monkeypatch.setattr(SegmentationNetwork, "forward", spy)
    task = task_of(project, schedule={"iterations": 4, "halved": 0.5}, size=[64, 96])
    fit(task, tmp_path)
    assert seen == [(32, 48)] * 2 + [(64, 96)] * 2


@pytest.mark.parametrize("network", [{"kind": "unet-resnet18", "stride": 4}, {"kind": "fcn"}])
def test_a_loss_at_the_logits_size_asks_for_the_share_of_each_of_their_pixels(network):
    """Averaged masks keep every class's area, and logits that give that share are the best."""
    planes = torch.zeros(2, 1, 64, 64, dtype=torch.uint8)
    planes[:, :, 8:24, 4:30] = 5  # classes 0 and 2
    recipe = derive(
        recipe_named("unet-resnet18-cpu", {}), {"network": network, "loss_at": "logits"}
    )
    step = TrainingStep(
        build(recipe.network, 3, pretrained=False), recipe, classes=3, steps=1, seed=0
    )
    logits = step.network(torch.zeros(2, 3, 64, 64)).logits
    targets, *_ = step._asked_for({"planes": planes}, logits.shape[-2:])
    assert targets.shape == logits.shape
    pixels = (64 // logits.shape[-1]) ** 2
    assert targets[0].sum((1, 2)).mul(pixels).tolist() == [16 * 26, 0, 16 * 26]


def test_the_average_forgets_the_beginning_of_a_short_run():
    move, average = ema_step(0.99), [torch.tensor(100.0)]
    for updates in range(1, 100):
        move(average, [torch.tensor(1.0)], torch.tensor(updates))
    assert average[0] < 1.01
    late = [torch.tensor(0.0)]
    move(late, [torch.tensor(1.0)], torch.tensor(10_000))
    assert late[0].item() == pytest.approx(0.01)


def test_a_counter_of_batch_normalisation_is_taken_over_not_averaged():
    counter = [torch.tensor(3)]
    ema_step(0.99)(counter, [torch.tensor(7)], 100)
    assert counter[0] == 7


def test_a_training_set_of_one_more_than_a_batch_trains(project, tmp_path):
    """DeepLabv3+ refuses a batch of one, so the odd image is left for the next epoch's order."""
    network = {"kind": "smp", "decoder": "DeepLabV3Plus", "encoder": "resnet18"}
    task = task_of(project, batch=5, network=network, schedule={"epochs": 1})
    assert len(task.train) % 5 == 1
    fit(task, tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"<html>not here</html>",
        lambda content: content[:5000] + bytes(64) + content[5064:],
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "checkpoint.pt"
    write_torch(path, {"kind": "podium checkpoint 1", "weights": {"a": torch.ones(9999)}})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputFault, match="sha256 differs"):
        read_torch(path)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "marker"), "w"))

    path = tmp_path / "checkpoint.pt"
    write_torch(path, {"kind": Trap()})
    with pytest.raises(InputFault, match="cannot be read"):
        read_torch(path)
    assert not (tmp_path / "marker").exists()


def test_weights_that_are_not_finite_are_not_saved(project, tmp_path):
    task = task_of(project)
    network = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(network.bias, float("nan"))
    with pytest.raises(InputFault, match="'bias'; nothing was saved"):
        save_checkpoint(tmp_path / "checkpoint.pt", network, task.training)
    assert not list(tmp_path.glob("*.pt"))


def test_swa_is_the_mean_of_the_last_rounds_with_norms_of_its_own(project, tmp_path, monkeypatch):
    """Weights equal those averaged by hand; running means are neither of the rounds'."""
    seen, networks = [], []
    begin, round_done = Average.__init__, Progress.round_done

    def watched(self, *given):
        state = networks[0].state_dict()
        seen.append({name: value.clone() for name, value in state.items()})
        round_done(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Average, "__init__", lambda s, n, m: networks.append(n) or begin(s, n, m))
        patched.setattr(Progress, "round_done", watched)
        fit(task_of(project, swa=2), tmp_path)
    found = weights(tmp_path)
    assert len(seen) == 3
    for name, value in found.items():
        mean = (seen[1][name].float() + seen[2][name].float()) / 2
        if "running" in name or "num_batches" in name:
            continue
        assert torch.allclose(value.float(), mean, atol=1e-6), name
    running = [name for name in found if name.endswith("running_mean")]
    assert any(
        not torch.allclose(found[n], (seen[1][n] + seen[2][n]) / 2, atol=1e-4) for n in running
    )


@pytest.mark.long
def test_a_killed_swa_ends_with_the_weights_of_the_straight_one(project, straight_and_resumed):
    straight_and_resumed(task_of(project, swa=2))


def test_norms_are_those_of_the_images_and_nothing_else_changes():
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Dropout(0.9)).eval()
    images = torch.randint(0, 256, (8, 3, 4, 4), dtype=torch.uint8)
    batches = [{"images": images[:4]}, {"images": images[4:]}]
    network.normalised = lambda images: images.float() / 255 - 0.5
    measure_norms(network, batches)
    values = network.normalised(images)
    assert torch.allclose(network[0].running_mean, values.mean(dim=(0, 2, 3)), atol=1e-6)
    assert network[0].momentum == 0.1 and not network[0].training


def test_a_run_begun_before_a_setting_came_goes_on_and_an_unknown_one_is_told(
    project, tmp_path, killed_after, monkeypatch
):
    with pytest.raises(Killed):
        killed_after(1)
        fit(task_of(project), tmp_path)
    monkeypatch.undo()
    begun = read_torch(tmp_path / "last.pt")
    del begun["podium_training"]["recipe"]["optimizer"]["name"]
    write_torch(tmp_path / "last.pt", begun)
    said = []
    fit(task_of(project), tmp_path, say=said.append)
    assert sum("epoch" in line for line in said) == 2

    begun["podium_training"]["recipe"]["optimizer"]["warp"] = 9
    write_torch(tmp_path / "last.pt", begun)
    with pytest.raises(InputFault, match=r"not known \(recipe.optimizer.warp: .*delete last.pt"):
        fit(task_of(project), tmp_path)


@pytest.mark.parametrize("changes", [{"accumulate": 2}, {"swa": 2}])
@pytest.mark.long
def test_a_run_goes_on_with_the_state_of_its_averages(project, straight_and_resumed, changes):
    """Half a batch behind, a moving average that forgot its place would move once too often."""
    straight_and_resumed(task_of(project, **changes, schedule={"epochs": 4}))


def test_a_run_that_an_older_version_left_is_refused_and_kept(project, tmp_path):
    task = task_of(project)
    left = {"podium_training": task.training.model_dump(mode="json"), "state_dict": {}}
    write_torch(tmp_path / "last.pt", left)
    with pytest.raises(InputFault, match=r"last.pt was left by an older version.* delete last.pt"):
        fit(task, tmp_path)
    assert (tmp_path / "last.pt").is_file()


def test_a_run_goes_on_with_the_data_that_it_was_begun_with_only(project, tmp_path, killed_after):
    task, inputs = task_of(project), {"labels": "1", "fold": "2"}
    with pytest.raises(Killed):
        killed_after(1)
        fit(task, tmp_path, inputs=inputs)
    changed = {"labels": "1", "fold": "3", "pseudo": "4"}
    with pytest.raises(
        InputFault, match=r"other settings or data \(fold changed; pseudo changed\)"
    ):
        fit(task, tmp_path, inputs=changed)


def test_a_killed_training_knows_the_labels_that_it_was_begun_with(
    project, killed_after, monkeypatch
):
    with pytest.raises(Killed):
        killed_after(1)
        train_network(project, ONE, 0)
    monkeypatch.undo()
    split = Pipeline.split
    monkeypatch.setattr(Pipeline, "split", lambda self, fold: split(self, fold)[::-1])
    with pytest.raises(InputFault, match=r"other settings or data \(fold changed\)"):
        train_network(project, ONE, 0)


def test_damage_or_a_kill_between_two_files_costs_a_round_at_most(
    project, tmp_path, killed_after, monkeypatch
):
    task = task_of(project, schedule={"epochs": 2})
    with pytest.raises(Killed):
        killed_after(2)
        fit(task, tmp_path)
    monkeypatch.undo()
    last, before = tmp_path / "last.pt", tmp_path / "before.pt"
    assert [len(read_torch(path)["podium_rows"]) for path in (last, before)] == [2, 1]
    last.write_bytes(last.read_bytes()[:-100])
    said = []
    fit(task, tmp_path, say=said.append)
    assert any("last.pt is not what was written" in line and "before.pt" in line for line in said)
    assert sum("epoch" in line for line in said) == 1
    assert not last.exists() and not before.exists()
    last.write_bytes(b"damaged")
    before.write_bytes(b"damaged too")
    with pytest.raises(
        InputFault, match=r"last.pt is not .*; delete last.pt and before.pt to start"
    ):
        fit(task, tmp_path)


def test_whatever_file_operation_is_the_last_one_a_state_can_be_read(tmp_path, monkeypatch):
    """A kill right after each rename and each removal, and between them."""
    moved = 0
    replace = Path.replace

    def killed_at(number):
        def counted(self, target):
            nonlocal moved
            moved += 1
            if moved == number:
                raise Killed
            return replace(self, target)

        return counted

    path, before = tmp_path / "last.pt", tmp_path / "before.pt"
    for number in range(1, 7):
        for value in (1, 2):
            write_torch(path, {"value": value})
        write_torch(before, {"value": 1})
        moved = 0
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(Path, "replace", killed_at(number))
            move_torch(path, before)
            write_torch(path, {"value": 3})
        newest = path if path.exists() else before
        assert read_torch(newest)["value"] == (2 if number < 6 else 3), number
    write_torch(path, {"value": 3})
    assert read_torch(path)["value"] == 3


@pytest.mark.parametrize("damage", [{"podium_training": None}, {"podium_training": {"fold": 0}}])
def test_what_a_run_would_go_on_from_is_told_where_it_is_of_another_kind(project, tmp_path, damage):
    write_torch(tmp_path / "last.pt", damage)
    with pytest.raises(InputFault, match=r"last.pt is of settings that .* delete last.pt"):
        fit(task_of(project), tmp_path)


def test_a_checkpoint_of_another_network_is_refused(project, tmp_path):
    task = task_of(project)
    path = tmp_path / "checkpoint.pt"
    content = {"kind": "podium checkpoint 2", "training": task.training.model_dump(mode="json")}
    for found, told in (({}, "Missing key"), ({"warp": torch.ones(1)}, "Unexpected key")):
        write_torch(path, {**content, "weights": found})
        with pytest.raises(InputFault, match=f"holds another network .*{told}"):
            load_checkpoint(path, classes=task.training.classes)
    write_torch(path, {"kind": "podium checkpoint 2"})
    with pytest.raises(InputFault, match="of settings that are not known"):
        load_checkpoint(path, classes=task.training.classes)
    (tmp_path / "checkpoint.pt.sha256").write_bytes(b"\xff\xfe")
    with pytest.raises(InputFault, match="sha256 differs"):
        read_torch(path)
