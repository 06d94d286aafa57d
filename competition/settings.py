"""The one frozen base of all settings and records: recipes, competition files, receipts, decisions."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from competition.errors import InputFault
from competition.workspace import read_json, write_json

DEFAULTS = 1
"""Number of the recipes' defaults: raised when one changes its value, since `chosen` leaves defaults
out and what was trained with the old value must not pass for fresh. A new field leaves it as it is."""

_TAG = "kind"
"""The field that tells groups apart; it is its own default, and never left out."""


class Settings(BaseModel):
    """Values that belong together: frozen, and an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, path: Path, *, what: str, again: str) -> Self:
        """What a JSON file holds; InputFault, saying `what` it should be, where it is damaged."""
        return cls.parsed(read_json(path), path, what=what, again=again)

    @classmethod
    def parsed(cls, value: object, path: Path, *, what: str, again: str) -> Self:
        """Plain values, found in the file at `path`; as `read`."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            found = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise InputFault(f"{path} is not {what} ({found}); {again}") from error

    def write(self, path: Path) -> None:
        """As JSON, whole or not at all; `read` reads it."""
        write_json(path, self.model_dump(mode="json"))

    def chosen(self) -> dict[str, Any]:
        """What differs from the defaults, as plain values: its hash outlives fields that come later.

        Settings inside are given in the same way, each with its `kind`, if it has one.
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
