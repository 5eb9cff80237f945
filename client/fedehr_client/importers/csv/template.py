"""A commented mapping to start from."""

from importlib.resources import files


def template_text() -> str:
    """`template.toml`, as `fedehr-client import csv --template` prints it."""
    return files(__package__).joinpath("template.toml").read_text(encoding="utf-8")
