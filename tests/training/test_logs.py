"""What a training can be watched by: curves, and its history told to other tools and read back."""

import json
import sqlite3
import struct
import subprocess
import sys
import time

import pytest
from PIL import Image
from training_runs import ONE, Killed, same_weights

from competition.errors import InputFault
from competition.steps import train as step
from competition.steps.train import SHARE_FOR_CURVES, train_network
from competition.training import logs
from competition.training.logs import LOG_VARIABLE, LOGS, ask_logs, asked_logs
from competition.training.progress import Progress

ROWS = [
    {"step": 4.0, "train_loss": 0.9, "learning_rate": 1e-3, "dead_classes": ""},
    {"step": 8.0, "train_loss": 0.7, "score": 0.5, "score[a]": 0.25, "score[b]": float("nan")},
    {"step": 12.0, "train_loss": 0.6, "score": 0.75, "score[a]": 0.5, "score[b]": 1.0},
]


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
    for name in (LOG_VARIABLE, "WANDB_MODE", "MLFLOW_TRACKING_URI", "TRACKIO_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def run(tmp_path):
    from competition.training.logs import LoggedRun

    runs = tmp_path / "runs" / "demo"
    settings = {"size": [64, 64], "seed": 0}
    return LoggedRun("demo", "tiny", 0, runs, runs / "tiny" / "fold-0", settings)


def told(name, run):
    """Two rounds by a process that is killed then, and all three by the one that goes on."""
    from competition.training.loggers import logged

    with pytest.raises(Killed), logged((name,), run) as tell:
        tell(ROWS[:1])
        tell(ROWS[:2])
        raise Killed
    with logged((name,), run) as tell:
        tell(ROWS[:2])
        tell(ROWS)


def test_tensorboard_has_every_round_once(run):
    read = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    told("tensorboard", run)
    events = read.EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    assert [(one.step, one.value) for one in events.Scalars("score")] == [(8, 0.5), (12, 0.75)]
    assert [one.step for one in events.Scalars("train_loss")] == [4, 8, 12]
    assert [one.step for one in events.Scalars("class/b")] == [12]


def test_mlflow_has_one_run_of_a_network_with_every_round_once(run):
    mlflow = pytest.importorskip("mlflow")
    told("mlflow", run)
    client = mlflow.MlflowClient((run.runs / "mlflow").as_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("demo").experiment_id])
    assert found.info.run_name == "tiny fold 0" and found.info.status == "FINISHED"
    assert found.data.params["seed"] == "0"
    history = client.get_metric_history(found.info.run_id, "score")
    assert [(one.step, one.value) for one in history] == [(8, 0.5), (12, 0.75)]


def test_wandb_lies_offline_in_the_folder_of_the_run(run):
    record = pytest.importorskip("wandb.proto.wandb_internal_pb2").Record
    told("wandb", run)
    (file,) = (run.folder / "wandb").glob("offline-run-*/*.wandb")
    until, begun = time.monotonic() + 60, []
    while not begun and time.monotonic() < until:  # its service writes when it comes to it
        records = [record.FromString(data) for data in records_in(file.read_bytes())]
        begun = [one.run for one in records if one.HasField("run")]
        time.sleep(0.1)
    (begun,) = begun
    rows = [
        {".".join(item.nested_key) or item.key: item.value_json for item in one.history.item}
        for one in records
        if one.HasField("history")
    ]
    assert begun.display_name == "tiny fold 0" and begun.project == "demo"
    scores = [(row["trainer/global_step"], row.get("score")) for row in rows]
    assert scores == [("4", None), ("8", "0.5"), ("12", "0.75")]


def records_in(data):
    """Of wandb's file: a LevelDB log after 7 bytes, in blocks of 32 KiB."""
    place, parts = 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def test_trackio_has_one_run_of_a_network_with_every_round_once(run, monkeypatch):
    sqlite_storage = pytest.importorskip("trackio.sqlite_storage")
    # It reads TRACKIO_DIR as it is imported, which another test may have done.
    monkeypatch.setattr(sqlite_storage, "TRACKIO_DIR", run.runs / "trackio")
    told("trackio", run)
    with sqlite3.connect(run.runs / "trackio" / "demo.db") as base:
        rows = base.execute("SELECT run_name, step, metrics FROM metrics ORDER BY step").fetchall()
    assert [(name, at, json.loads(text).get("score")) for name, at, text in rows] == [
        ("tiny fold 0", 4, None),
        ("tiny fold 0", 8, 0.5),
        ("tiny fold 0", 12, 0.75),
    ]


def test_what_is_not_known_or_not_installed_is_refused_before_anything_is_trained(
    project, monkeypatch
):
    monkeypatch.setenv(LOG_VARIABLE, "tensorboart")
    with pytest.raises(InputFault, match="--log or PODIUM_LOG is 'tensorboart'; there are tensor"):
        train_network(project, ONE, 0)
    monkeypatch.setattr(logs.importlib.util, "find_spec", lambda name: None)
    for name in LOGS:
        with pytest.raises(InputFault, match=rf"needs {name}: .* 'podium\[{name}\]'"):
            ask_logs([name])
    assert not project.workspace.run("tiny", 0).exists()


def test_logs_that_are_asked_for_reach_the_processes_of_a_goal(monkeypatch):
    monkeypatch.setattr(logs.importlib.util, "find_spec", lambda name: name)
    ask_logs(["wandb", "tensorboard", "wandb"])
    assert asked_logs() == ("wandb", "tensorboard")


@pytest.mark.long
def test_nothing_of_the_tools_is_imported_unasked():
    code = (
        "import sys, competition.steps, competition.training.fit, competition.training.loggers; "
        f"print({set(LOGS)!r} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.long
def test_a_training_that_is_logged_killed_and_resumed_ends_as_one_that_is_not(
    project, tmp_path, monkeypatch
):
    read = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    plain = train_network(project, ONE, 0).parent.rename(tmp_path / "plain")
    monkeypatch.setenv(LOG_VARIABLE, "tensorboard")
    with pytest.raises(Killed), monkeypatch.context() as patched:
        patched.setattr(Progress, "line", killing(Progress.line))
        train_network(project, ONE, 0)
    logged = train_network(project, ONE, 0).parent
    assert same_weights(plain, logged)
    assert (plain / "history.csv").read_text() == (logged / "history.csv").read_text()
    events = read.EventAccumulator(str(logged / "tensorboard"))
    events.Reload()
    assert len(events.Scalars("score")) == 3 == len({one.step for one in events.Scalars("score")})
    assert Image.open(logged / "curves.png").size == Image.open(plain / "curves.png").size


def killing(line):
    def wrapped(progress):
        if len(progress.rows) == 2:
            raise Killed
        return line(progress)

    return wrapped


def test_drawing_takes_a_percent_of_the_time_and_the_end_is_always_drawn(tmp_path, monkeypatch):
    now, drawn = [0.0], []

    def draw(path, rows, *, title):
        now[0] += 2.0
        drawn.append(len(rows))

    monkeypatch.setattr(step.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(step, "history_curves", draw)
    curves = step._Curves(tmp_path / "curves.png", "tiny")
    rows = []
    for _ in range(100):
        now[0] += 10.0
        rows.append(ROWS[2])
        curves.grow(rows)
    curves.draw()
    curves.draw()
    assert drawn[0] == 5 and drawn[-1] == 100 and len(drawn) == len(set(drawn))
    assert 3 <= len(drawn) - 1 <= SHARE_FOR_CURVES * now[0] / 2


def test_curves_of_a_history_without_a_score_yet_are_drawn(tmp_path):
    from competition.pictures import history_curves

    for rows in (ROWS[:1], ROWS):
        history_curves(tmp_path / "curves.png", rows, title="tiny")
        assert min(Image.open(tmp_path / "curves.png").size) > 300
