"""What the machine decides: each value, whatever this machine would choose."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from competition import machine
from competition.errors import InputFault, MachineFault
from competition.machine import MACHINE_SETTINGS, ask, machine_of, processes


@pytest.fixture
def cards(monkeypatch):
    """Stands for a machine with so many CUDA devices, which compute in bfloat16 or not."""

    def arrange(count, *, bfloat16=True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True: bfloat16
        )
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "a card")

    return arrange


@pytest.mark.parametrize(("able", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_a_processor_computes_in_bfloat16_only_where_it_is_not_emulated(
    cards, monkeypatch, able, dtype
):
    cards(0)
    monkeypatch.setattr(machine, "_cpu_computes_in_bfloat16", lambda: able)
    chosen = machine_of({})
    assert (chosen.device, chosen.dtype, chosen.workers) == ("cpu", dtype, 0)


@pytest.mark.parametrize(("able", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_a_card_computes_in_bfloat16_only_where_it_is_not_emulated(cards, able, dtype):
    cards(1, bfloat16=able)
    chosen = machine_of({})
    assert (chosen.device, chosen.dtype) == ("cuda:0", dtype)
    assert chosen.workers >= 1 and not chosen.keep_memory


def test_of_two_cards_one_is_used_and_a_line_says_that_the_other_idles(cards):
    cards(2)
    assert "the other 1 stay idle" in machine_of({}).line()
    assert "the other 1 stay idle" in machine_of({}).text()
    assert machine_of({"PODIUM_DEVICE": "cuda:1"}).device == "cuda:1"


def test_torch_is_asked_by_public_or_by_older_names(monkeypatch):
    for found in ({"avx512_bf16": True}, {"amx_bf16": True}):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        assert machine._cpu_computes_in_bfloat16()
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert not machine._cpu_computes_in_bfloat16()
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert machine._cpu_computes_in_bfloat16()


def test_what_is_asked_for_is_what_is_taken():
    asked = {
        "device": "cpu",
        "dtype": "float16",
        "workers": "3",
        "start_method": "spawn",
        "threads": "5",
        "processes": "1",
        "keep_memory": "no",
    }
    chosen = machine_of({f"PODIUM_{name.upper()}": value for name, value in asked.items()})
    assert chosen.recorded() == {
        "device": "cpu",
        "dtype": "float16",
        "workers": 3,
        "start_method": "spawn",
        "threads": 5,
        "processes": 1,
        "keep_memory": False,
        "card": chosen.found["device"],
    }
    assert set(asked) == {setting.name for setting in MACHINE_SETTINGS}
    text = chosen.text()
    for setting in MACHINE_SETTINGS:
        assert f"{setting.option} or {setting.variable}" in text
        assert "asked for" in chosen.why[setting.name]


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PODIUM_DTYPE", "float8", "expected float32, bfloat16, float16"),
        ("PODIUM_DEVICE", "gpu", "expected cpu, cuda, cuda:NUMBER or mps"),
        ("PODIUM_DEVICE", "cuda:x", "expected cpu, cuda, cuda:NUMBER or mps"),
        ("PODIUM_WORKERS", "-1", "expected a whole number of at least 0"),
        ("PODIUM_WORKERS", "two", "expected a whole number of at least 0"),
        ("PODIUM_THREADS", "0", "expected a whole number of at least 1"),
        ("PODIUM_PROCESSES", "0", "expected a whole number of at least 1"),
        ("PODIUM_START_METHOD", "thread", "expected fork, spawn, forkserver"),
        ("PODIUM_KEEP_MEMORY", "1", "expected yes, no"),
    ],
)
def test_a_value_that_it_cannot_have_is_refused(variable, value, expected):
    with pytest.raises(InputFault, match=expected) as fault:
        machine_of({variable: value})
    assert variable in str(fault.value) and repr(value) in str(fault.value)


def test_a_device_that_is_not_there_is_a_fault_of_the_machine(cards):
    cards(1)
    with pytest.raises(MachineFault, match="torch sees 1 CUDA devices"):
        machine_of({"PODIUM_DEVICE": "cuda:1"})
    cards(0)
    with pytest.raises(MachineFault, match="use --device cpu"):
        machine_of({"PODIUM_DEVICE": "cuda"})


def test_a_recipe_names_a_dtype_and_a_person_goes_before_it():
    free, asked = machine_of({}), machine_of({"PODIUM_DTYPE": "float32"})
    for precision, dtype in {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}.items():
        assert free.for_precision(precision).dtype == dtype
        assert asked.for_precision(precision).dtype == "float32"
    assert free.for_precision("auto") == free


def test_only_glibc_can_be_asked_to_keep_freed_memory(monkeypatch):
    """Elsewhere there is no mallopt: a training ended with an AttributeError of ctypes."""
    monkeypatch.setattr(machine.platform, "libc_ver", lambda *_: ("", ""))
    assert not machine_of({"PODIUM_KEEP_MEMORY": "no"}).keep_memory
    assert not machine_of({}).keep_memory
    with pytest.raises(MachineFault, match="glibc"):
        machine_of({"PODIUM_KEEP_MEMORY": "yes"})


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_where_forking_is_not_safe_processes_are_spawned_and_passes_take_one(monkeypatch, system):
    monkeypatch.setattr(machine.sys, "platform", system)
    chosen = machine_of({})
    assert (chosen.start_method, chosen.processes) == ("spawn", 1)
    with pytest.raises(MachineFault, match="only Linux"):
        processes({"PODIUM_PROCESSES": "2"})


def test_without_fork_it_cannot_be_asked_for(monkeypatch):
    monkeypatch.delattr(machine.os, "fork")
    with pytest.raises(MachineFault, match="use spawn"):
        machine_of({"PODIUM_START_METHOD": "fork"})


def test_a_containers_quota_counts_as_processors(monkeypatch, tmp_path):
    file = tmp_path / "cpu.max"
    monkeypatch.setattr(machine, "_QUOTA", file)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: set(range(64)))
    for text, expected in {"max 100000": 64, "150000 100000": 2, "50000 100000": 1}.items():
        file.write_text(text)
        assert machine.usable_cpus() == expected


def test_an_option_asks_for_this_process_and_those_that_it_begins(monkeypatch):
    monkeypatch.setenv("PODIUM_THREADS", "1")
    ask("threads", "3")
    code = "from competition.machine import machine_of; print(machine_of().threads)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3"
    with pytest.raises(InputFault, match="--threads"):
        ask("threads", "none")
    assert os.environ["PODIUM_THREADS"] == "3"


def test_the_machine_is_made_so_in_this_process():
    before = torch.get_num_threads()
    kept = "yes" if platform.libc_ver()[0] == "glibc" else "no"
    machine_of({"PODIUM_THREADS": str(before + 1), "PODIUM_KEEP_MEMORY": kept}).apply()
    assert torch.get_num_threads() == before + 1
    torch.set_num_threads(before)


def test_torch_takes_no_more_threads_than_there_are_usable_processors(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "usable_cpus", lambda: 2)
    for own, taken in {1: 1, 2: 2, 64: 2}.items():
        monkeypatch.setattr(torch, "get_num_threads", lambda own=own: own)
        assert machine_of({}).threads == taken
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert machine_of({}).threads == 64
