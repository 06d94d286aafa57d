"""One command per step, in pipeline order: parse, call one function, say what was written."""

# Imported in the order in which the commands are listed.
from competition.cli import data, networks, decisions, submissions, experiments, run  # isort: skip
from competition.cli.options import app, first_line

for command in app.registered_commands:
    assert command.callback is not None
    command.short_help = first_line(command.callback)

__all__ = ["app", "data", "decisions", "experiments", "networks", "run", "submissions"]
