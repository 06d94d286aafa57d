"""The base of every group of choices."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A group of choices: frozen, and a mistyped key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
