"""The base of every group of choices."""

from typing import Any

from pydantic import BaseModel, ConfigDict

DEFAULTS = 1
"""Number of the defaults: raised when one changes its value, since `chosen` leaves defaults out and
what was trained with the old value must not pass for fresh. A new field leaves it as it is."""

_TAG = "kind"
"""The field that tells groups apart; it is its own default, and never left out."""


class Settings(BaseModel):
    """A group of choices: frozen, and a mistyped key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def chosen(self) -> dict[str, Any]:
        """What differs from the defaults, as plain values: its hash outlives fields that come later.

        Groups of choices in it are given in the same way, each with its `kind`, if it has one.
        """
        fields = type(self).model_fields
        values = {name: getattr(self, name) for name in fields}
        return {
            name: _plain(value)
            for name, value in values.items()
            if name == _TAG or _plain(value) != _plain(fields[name].get_default())
        }


def _plain(value: Any) -> Any:
    match value:
        case Settings():
            return value.chosen()
        case tuple():
            return [_plain(one) for one in value]
    return value
