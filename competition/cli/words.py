"""Options as words again: what was parsed once, for a command that is run as a process."""

from collections.abc import Iterable, Mapping
from typing import Any


def words_of(parameters: Iterable[Any], values: Mapping[str, Any]) -> list[str]:
    """The words that give a command these values; what is the default is not said.

    parameters: click's, of the command; values: by the parameter's name, None where it was not given.
    """
    return [word for one in parameters for word in _said(one, values.get(one.name))]


def long_name(parameter: Any) -> str:
    """The option as it is spelled out, with its dashes."""
    return max(parameter.opts, key=len)


def _said(parameter: Any, value: Any) -> list[str]:
    if value is None or value == parameter.default:
        return []
    if parameter.param_type_name == "argument":
        return [str(value)] if parameter.nargs == 1 else [str(one) for one in value]
    if parameter.is_flag:
        return [long_name(parameter) if value else parameter.secondary_opts[0]]
    given = value if parameter.multiple else [value]
    return [word for one in given for word in (long_name(parameter), str(one))]
