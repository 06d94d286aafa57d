"""What the machine decides, as plain values in one place: what was found, what was chosen, and why.

Each can be asked for by an environment variable (`PODIUM_DTYPE`, …); the options of the commands set
these variables, so that processes begun by a command follow it. What is not asked for is chosen from
what is found. torch is imported only where a choice depends on it.
"""

import ctypes
import os
import platform
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from competition.errors import InputFault, MachineFault

if TYPE_CHECKING:
    import torch

Dtype = Literal["float32", "bfloat16", "float16"]
StartMethod = Literal["fork", "spawn", "forkserver"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
START_METHODS: tuple[StartMethod, ...] = get_args(StartMethod)
DEVICES = ("cpu", "cuda", "cuda:1", "mps")
"""As examples: any number of a CUDA device will do."""
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
MOST_WORKERS = 8
MOST_PROCESSES = 4
"""Of a pass over images: each holds one image of all members."""


class Setting(NamedTuple):
    """One thing that the machine decides, and how to ask for it."""

    name: str
    help: str
    choices: tuple[str, ...] = ()
    """Empty: a whole number of `least` or more."""
    least: int = 0

    @property
    def values(self) -> str:
        return ", ".join(self.choices) or "a number"

    @property
    def variable(self) -> str:
        return f"PODIUM_{self.name.upper()}"

    @property
    def option(self) -> str:
        return f"--{self.name.replace('_', '-')}"


MACHINE_SETTINGS = (
    Setting("device", "Device that trains and predicts: one, always", DEVICES),
    Setting("dtype", "Floating-point type that networks compute in", DTYPES),
    Setting("workers", "Processes that load images; 0: the training process itself"),
    Setting("start_method", "How loader processes begin", START_METHODS),
    Setting("threads", "Threads of torch on the CPU", least=1),
    Setting("processes", "Processes that share a pass over images in `tune`", least=1),
    Setting("keep_memory", "Keep freed memory instead of giving it back (glibc)", ("yes", "no")),
)
_BY_NAME = {setting.name: setting for setting in MACHINE_SETTINGS}

Environment = Mapping[str, str]


@dataclass(frozen=True)
class Machine:
    """What was chosen for this process. `why` has a sentence for each; `found` what there is.

    device: as torch names it ("cpu", "cuda:0", "mps"). workers, start_method: of the loader; threads:
    of torch on the CPU; processes: of a pass over images; keep_memory: see `apply`.
    """

    device: str
    dtype: Dtype
    workers: int
    start_method: StartMethod
    threads: int
    processes: int
    keep_memory: bool
    why: Mapping[str, str] = field(default_factory=dict, compare=False)
    found: Mapping[str, str] = field(default_factory=dict, compare=False)
    dtype_is_asked: bool = field(default=False, compare=False)

    def for_precision(self, precision: str) -> "Machine":
        """With the dtype that a recipe's `precision` names; what was asked for goes before it.

        >>> machine_of({"PODIUM_DTYPE": "float32"}).for_precision("bf16").dtype
        'float32'
        """
        if precision == "auto" or self.dtype_is_asked:
            return self
        why = {**self.why, "dtype": f"the recipe's precision = {precision!r}"}
        return replace(self, dtype=_PRECISIONS[precision], why=why)

    def autocast(self) -> AbstractContextManager[Any]:
        """A context in which networks compute in the dtype."""
        import torch

        kind = torch.float16 if self.dtype == "float16" else torch.bfloat16
        return torch.autocast(self.kind, kind, enabled=self.dtype != "float32")

    @property
    def kind(self) -> str:
        """The device without its number: "cpu", "cuda", "mps"."""
        return self.device.split(":")[0]

    def torch_device(self) -> "torch.device":
        import torch

        return torch.device(self.device)

    def apply(self) -> None:
        """Make it so in this process: threads, and memory that is kept.

        glibc gives large tensors back to the kernel at every step of a training on a CPU; keeping
        them made a step 1.5 to 2.9 times faster (docs/training.md).
        """
        import torch

        torch.set_num_threads(self.threads)
        if self.keep_memory:
            keep_freed_memory()

    def recorded(self) -> dict[str, str | int | bool]:
        """For receipts: what the last digits and the time of a result depend on."""
        names = (setting.name for setting in MACHINE_SETTINGS)
        return {name: getattr(self, name) for name in names} | {"card": self.found["device"]}

    def line(self) -> str:
        """What computes, in one line before it begins; devices that stay idle are named."""
        loading = f"{self.workers} loader processes" if self.workers else "no loader process"
        idle = f"; {self.why['device']}" if "idle" in self.why["device"] else ""
        return f"{self.dtype} on {self.device} ({self.found['device']}), {loading}{idle}"

    def text(self) -> str:
        """A table: found, chosen, why, and how to ask for something else."""
        lines = [f"found: {what}: {value}" for what, value in self.found.items()]
        for one in MACHINE_SETTINGS:
            value = str(_shown(getattr(self, one.name)))
            asking = f"{one.option} or {one.variable}: {one.values}"
            lines.append(f"{one.name:13}{value:10}{self.why[one.name]}\n{'':23}{asking}")
        return "\n".join(lines)


def machine_of(environment: Environment | None = None) -> Machine:
    """The machine as it is found, with what the environment asks for; imports torch.

    InputFault where a variable has no value that it may have; MachineFault where the machine does not
    have what is asked for.
    """
    asked = _Asked(os.environ if environment is None else environment)
    device, why = _device(asked)
    chosen: dict[str, tuple[Any, str]] = {
        "device": (device, why),
        "dtype": _dtype(asked, device),
        "workers": _workers(asked, device),
        "start_method": _start_method(asked),
        "threads": _threads(asked),
        "processes": _processes(asked),
        "keep_memory": _keep_memory(asked, device),
    }
    return Machine(
        **{name: value for name, (value, _) in chosen.items()},
        why={name: reason for name, (_, reason) in chosen.items()},
        found=_found(device),
        dtype_is_asked=asked.text("dtype") is not None,
    )


def processes(environment: Environment | None = None) -> int:
    """How many processes share a pass over images; imports nothing heavy."""
    return _processes(_Asked(os.environ if environment is None else environment))[0]


def usable_cpus() -> int:
    """Processors that this process may use: affinity and a container's quota count."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(count or 1, _quota()))


def memory_for_steps(machine: "Machine") -> int:
    """Bytes that a training step may take: most of the card's, or of the system's; 0 where that is not
    told.
    """
    if machine.kind == "cuda":
        import torch

        whole = torch.cuda.get_device_properties(machine.torch_device()).total_memory
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    else:
        return 0
    return int(whole * _FOR_STEPS)


_FOR_STEPS = 0.85
"""Share of the memory."""


def ask(name: str, value: str) -> None:
    """Ask for a value of a setting, for this process and those that it begins."""
    asked = _Asked({_BY_NAME[name].variable: value})
    asked.value(name)
    os.environ[_BY_NAME[name].variable] = value


def asked_for() -> dict[str, str]:
    """The variables by which this process, and those that it begins, are asked for something."""
    variables = (setting.variable for setting in MACHINE_SETTINGS)
    return {name: os.environ[name] for name in variables if os.environ.get(name)}


def shares_of(jobs: int) -> list[dict[str, str]]:
    """For each of so many jobs side by side, the variables that ask for its share of this machine: a
    card each, as far as they go, or as many threads as the others; imports torch.

    What is asked for already stays, for each of them.
    """
    import torch

    machine, asked = machine_of(), asked_for()
    shares: list[dict[str, str]] = []
    for job in range(jobs):
        share: dict[str, Any] = {"PODIUM_THREADS": max(1, usable_cpus() // jobs)}
        if machine.kind == "cuda":
            share["PODIUM_DEVICE"] = f"cuda:{job % torch.cuda.device_count()}"
            share["PODIUM_WORKERS"] = max(1, machine.workers // jobs)
        shares.append({name: str(value) for name, value in share.items() if name not in asked})
    return shares


def settle_memory(environment: Environment | None = None) -> None:
    """Keep freed memory where it is chosen, for work on the CPU that needs no torch."""
    if _keep_memory(_Asked(os.environ if environment is None else environment), "cpu")[0]:
        keep_freed_memory()


def keep_freed_memory() -> None:
    """glibc: no memory maps for large blocks, no trimming, 256 MB asked for at a time (mallopt(3))."""
    library = ctypes.CDLL(None)
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    library.mallopt(mmap_max, 0)
    library.mallopt(trim_threshold, -1)
    library.mallopt(top_pad, 2**28)


class _Asked:
    """What the environment asks for; a variable that is empty asks for nothing."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def text(self, name: str) -> str | None:
        return self.environment.get(_BY_NAME[name].variable) or None

    def value(self, name: str) -> Any:
        """The value as its setting takes it, None where nothing is asked for; InputFault else."""
        given, setting = self.text(name), _BY_NAME[name]
        if given is None or name == "device":
            return given
        if setting.choices:
            if given not in setting.choices:
                raise self.fault(name, f"expected {setting.values}")
            return given
        if not (given.isascii() and given.isdecimal() and int(given) >= setting.least):
            raise self.fault(name, f"expected a whole number of at least {setting.least}")
        return int(given)

    def fault(self, name: str, expected: str) -> InputFault:
        setting = _BY_NAME[name]
        return InputFault(
            f"{setting.option} or {setting.variable} is {self.text(name)!r}: {expected}"
        )

    def reason(self, name: str) -> str:
        return f"asked for by {_BY_NAME[name].option} or {_BY_NAME[name].variable}"


_PRECISIONS: dict[str, Dtype] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def _device(asked: _Asked) -> tuple[str, str]:
    import torch

    given = asked.value("device")
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if given is None:
        if not cards:
            return "cpu", "torch sees no CUDA device"
        idle = f"; the other {cards - 1} stay idle" if cards > 1 else ""
        return "cuda:0", f"the first of {cards} CUDA devices{idle}"
    kind, _, number = given.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdecimal()):
        raise asked.fault("device", "expected cpu, cuda, cuda:NUMBER or mps")
    if kind == "cuda" and int(number or 0) >= cards:
        raise MachineFault(f"device {given!r}: torch sees {cards} CUDA devices; use --device cpu")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise MachineFault("device 'mps': torch finds no Metal device; use --device cpu")
    return (f"cuda:{number or 0}" if kind == "cuda" else kind), asked.reason("device")


def _dtype(asked: _Asked, device: str) -> tuple[Dtype, str]:
    """bfloat16 only where the hardware computes in it: emulated on a CPU with AVX2 alone, one step
    of the ResNet18-UNet at 192² took 36 times as long as in float32.
    """
    import torch

    given = asked.value("dtype")
    if given is not None:
        return given, asked.reason("dtype")
    if device.startswith("cuda"):
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", "the card computes in it"
        return "float32", "the card does not compute in bfloat16; float16 scales the loss"
    if device == "mps":
        return "float32", "Metal computes in it"
    if _cpu_computes_in_bfloat16():
        return "bfloat16", "the processor computes in it"
    return "float32", "the processor would emulate bfloat16, many times slower"


def _workers(asked: _Asked, device: str) -> tuple[int, str]:
    given = asked.value("workers")
    if given is not None:
        return given, asked.reason("workers")
    if device == "cpu":
        return 0, "training on a CPU uses every core itself"
    count = min(MOST_WORKERS, usable_cpus())
    return count, f"as many as there are processors, up to {MOST_WORKERS}"


def _start_method(asked: _Asked) -> tuple[StartMethod, str]:
    given = asked.value("start_method")
    if given == "fork" and not hasattr(os, "fork"):
        raise MachineFault(f"start method 'fork': {platform.system()} has none; use spawn")
    if given is not None:
        return given, asked.reason("start_method")
    if sys.platform == "linux":
        return "fork", "Linux forks, and shares what is loaded"
    return "spawn", f"{platform.system()} does not fork safely"


def _threads(asked: _Asked) -> tuple[int, str]:
    import torch

    given = asked.value("threads")
    if given is not None:
        return given, asked.reason("threads")
    own, cpus = torch.get_num_threads(), usable_cpus()
    if os.environ.get("OMP_NUM_THREADS"):
        return own, "OMP_NUM_THREADS"
    return min(own, cpus), f"what torch takes on {cpus} usable processors"


def _processes(asked: _Asked) -> tuple[int, str]:
    """Processes of a pass are forked: macOS has fork too, but its libraries do not survive it."""
    given = asked.value("processes")
    if given is not None and given > 1 and sys.platform != "linux":
        raise MachineFault(f"{given} processes: a pass is forked, which only Linux does safely")
    if given is not None:
        return given, asked.reason("processes")
    if sys.platform != "linux":
        return 1, f"{platform.system()} does not fork safely"
    count = min(MOST_PROCESSES, usable_cpus())
    return count, f"as many as there are processors, up to {MOST_PROCESSES}"


def _keep_memory(asked: _Asked, device: str) -> tuple[bool, str]:
    given = asked.value("keep_memory")
    glibc = platform.libc_ver()[0] == "glibc"
    if given == "yes" and not glibc:
        raise MachineFault("keeping freed memory is asked of glibc, which this system has not")
    if given is not None:
        return given == "yes", asked.reason("keep_memory")
    if not glibc:
        return False, "only glibc gives freed tensors back at every step"
    if device != "cpu":
        return False, "the tensors lie on the card"
    return True, "glibc would give freed tensors back at every step"


def _found(device: str) -> dict[str, str]:
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else processor_name()
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {
        "device": name,
        "CUDA devices": str(cards),
        "processors": f"{usable_cpus()} usable of {os.cpu_count()}",
        "system": platform.platform(),
        "Python, torch": f"{platform.python_version()}, {torch.__version__}",
    }


def processor_name() -> str:
    """The processor as its system names it.

    >>> bool(processor_name())
    True
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cpu_computes_in_bfloat16() -> bool:
    """AVX-512 BF16 or AMX; asked of torch, which older versions answer by private names alone."""
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        able = torch.cpu.get_capabilities()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in asked)


def _quota() -> int:
    """Processors that a container's quota comes to (cgroup 2), rounded up; many where there is none."""
    words = _QUOTA.read_text().split() if _QUOTA.is_file() else ["max"]
    if words[0] == "max":
        return sys.maxsize
    return -(-int(words[0]) // int(words[1]))


def _shown(value: str | int | bool) -> str | int:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
