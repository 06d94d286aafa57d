"""Which tools a training is logged by, besides its history: asked for by `--log`, or by a variable that
processes begun by a command follow.

Nothing of such a tool is imported unless it is asked for.
"""

import importlib.util
import os
from collections.abc import Sequence

from competition.errors import InputFault, nearest

LOGS = ("tensorboard", "wandb", "mlflow", "trackio")
"""Each is the name of its package's module and of an extra of ours."""
LOG_VARIABLE = "PODIUM_LOG"


def ask_logs(names: Sequence[str]) -> None:
    """Ask for these, for this process and those that it begins; InputFault as `asked_logs`."""
    os.environ[LOG_VARIABLE] = ",".join(_checked(names))


def asked_logs() -> tuple[str, ...]:
    """The tools that this process is asked to log to, each once.

    InputFault for a name that none of them has, and for one that is not installed.
    """
    given = os.environ.get(LOG_VARIABLE, "")
    return _checked([name.strip() for name in given.split(",") if name.strip()])


def _checked(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in LOGS:
            raise InputFault(
                f"--log or {LOG_VARIABLE} is {name!r}; {nearest(name, LOGS, all_by='--help')}"
            )
        if importlib.util.find_spec(name) is None:
            raise InputFault(f"--log {name} needs {name}: python -m pip install 'podium[{name}]'")
    return tuple(dict.fromkeys(names))
