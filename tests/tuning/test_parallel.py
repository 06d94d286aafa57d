"""The same work for every image, in several processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from competition.errors import InputFault, MachineFault
from competition.tuning.parallel import over_images

HANGS = 600
"""Seconds after which something hangs, on however busy a machine."""

IMAGES = [f"image {number}" for number in range(11)]


@pytest.fixture(params=[1, 3], ids=["one process", "three processes"])
def processes(request, monkeypatch):
    monkeypatch.setenv("PODIUM_PROCESSES", str(request.param))
    return request.param


def test_results_come_in_the_order_of_the_images(processes):
    advanced = []
    found = over_images(
        lambda place, image: (place, image, np.full(40_000, place)),
        IMAGES,
        advance=lambda: advanced.append(1),
    )
    assert [(place, image) for place, image, _ in found] == list(enumerate(IMAGES))
    assert all((array == place).all() for place, _, array in found)
    assert len(advanced) == len(IMAGES)


def test_several_processes_work(processes):
    """Any process may take any image, so the first images wait until all processes have one."""
    count = processes if sys.platform == "linux" else 1
    together = multiprocessing.get_context("fork").Barrier(count) if count > 1 else None

    def work(place, image):
        if together and place < count:
            together.wait(HANGS)
        return os.getpid()

    found = set(over_images(work, IMAGES))
    assert len(found) == count
    assert (os.getpid() in found) == (count == 1)


def test_no_image_is_no_work(processes):
    assert over_images(lambda place, image: 1 / 0, []) == []


def test_an_error_comes_through_as_it_is(processes):
    def work(place, image):
        if place == 5:
            raise InputFault(f"{image} is broken")

    before = children_of(os.getpid())
    with pytest.raises(InputFault, match="image 5 is broken"):
        over_images(work, IMAGES)
    assert children_of(os.getpid()) == before


@pytest.mark.skipif(sys.platform != "linux", reason="no process is forked here")
def test_a_killed_child_is_a_fault_of_the_machine(monkeypatch):
    monkeypatch.setenv("PODIUM_PROCESSES", "2")

    def work(place, image):
        if place == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    before = children_of(os.getpid())
    with pytest.raises(MachineFault, match=r"before image 'image [0-5]' was done"):
        over_images(work, IMAGES)
    assert children_of(os.getpid()) == before


@pytest.mark.skipif(sys.platform != "linux", reason="no process is forked here")
def test_children_do_not_outlive_a_killed_parent():
    script = textwrap.dedent("""
        import os, time
        from competition.tuning.parallel import over_images
        os.environ["PODIUM_PROCESSES"] = "3"
        print("begun", flush=True)
        over_images(lambda place, image: time.sleep(0.2), [str(n) for n in range(100_000)])
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "begun\n"
    children = eventually(lambda: children_of(parent.pid), lambda found: len(found) == 3)
    parent.kill()
    parent.wait()
    left = eventually(lambda: [pid for pid in children if is_alive(pid)], lambda left: not left)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def eventually(look, good):
    """The first good answer, or the last one once nothing more is to be expected."""
    end = time.monotonic() + HANGS
    while not good(found := look()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def children_of(pid):
    if sys.platform != "linux":
        return []
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except FileNotFoundError:
        return []


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
