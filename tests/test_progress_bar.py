"""Progress where the output is no terminal: a line now and then."""

import io
import os
import re
import subprocess
import sys
import textwrap

import pytest
from rich.console import Console

from competition import progress_bar
from competition.progress_bar import bars_on


@pytest.fixture
def clock(monkeypatch):
    """Time that passes when it is told to."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress_bar, "time", clock)
    return clock


def work(clock, steps, *, first=1, seconds=10.0):
    file = io.StringIO()
    watch = bars_on(Console(file=file, width=40))
    with watch("predicting a network with a long name on [test]", steps) as advance:
        for step in range(first, steps + 1):
            clock.now += seconds
            advance(first if step == first else 1, note=f"loss {step / 10:.1f}")
    return file.getvalue().splitlines()


def test_a_log_file_shows_every_half_minute_how_far_the_work_is(clock):
    title = "predicting a network with a long name on [test]"
    assert work(clock, 8) == [
        f"{title}: 3/8, 0:50 left  loss 0.3",
        f"{title}: 6/8, 0:20 left  loss 0.6",
    ]


def test_what_was_done_before_a_run_went_on_does_not_count_as_done_now(clock):
    assert work(clock, 104, first=100)[0].endswith("102/104, 0:20 left  loss 10.2")


def test_short_work_says_nothing(clock):
    assert work(clock, 8, seconds=1.0) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal here")
def test_on_a_terminal_lines_stand_above_the_bar_not_in_it():
    """typer.echo wrote them behind the bar, past the console that moves it out of their way."""
    import pty

    script = """
        from competition.cli.options import say, watch
        with watch("working", 3) as advance:
            advance(2, "loss 0.5")
            say("epoch 1")
    """
    terminal, end = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "90"}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, stdout=end, stderr=end, env=environment, check=False)
    os.close(end)
    shown = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert done.returncode == 0
    assert re.search(r"\x1b\[2Kepoch 1\r?\n", shown), shown
    assert "2/3" in shown and "loss 0.5" in shown
