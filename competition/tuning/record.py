"""What the files of decisions are made of."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A part of a file: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
