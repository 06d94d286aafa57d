"""One command per step, in pipeline order: parse, call one function, say what was written."""

# Imported in the order in which the commands are listed.
from competition.cli import data, networks, decisions, submissions, experiments  # isort: skip
from competition.cli.options import app

__all__ = ["app", "data", "decisions", "experiments", "networks", "submissions"]
