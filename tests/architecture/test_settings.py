"""Every setting of a study is read by some component, and explained to who writes one."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from fedehr_shared.config.section import Section
from fedehr_shared.config.study import StudyConfig
from fedehr_simulations.study_template import write_study_text

ROOT = Path(__file__).parents[2]
ROOMS = ("shared", "client", "server", "simulations")


def _fields(kind: type[Section], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, about in kind.model_fields.items():
        inner = about.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from _fields(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", name


@cache
def _read_attributes() -> set[str]:
    names: set[str] = set()
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    names.add(node.attr)
    return names


FIELDS = list(_fields(StudyConfig))


def test_there_are_settings() -> None:
    assert len(FIELDS) > 30
    assert "finetuning.tasks" in dict(FIELDS)


@pytest.mark.parametrize(("path", "name"), FIELDS, ids=[path for path, _ in FIELDS])
def test_each_setting_is_read_somewhere(path: str, name: str) -> None:
    assert name in _read_attributes(), f"{path} changes nothing"


@cache
def _pages() -> str:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    return "\n".join(page.read_text() for page in pages)


@cache
def _template() -> str:
    """What `fedehr-sim study new` writes: each key below a comment."""
    return write_study_text("any", ["any"])


@pytest.mark.parametrize(("path", "name"), FIELDS, ids=[path for path, _ in FIELDS])
def test_each_setting_is_explained(path: str, name: str) -> None:
    in_pages = f"`{name}`" in _pages()
    in_template = re.search(rf"^# .+\n{name} = ", _template(), re.MULTILINE)
    assert in_pages or in_template, f"{path} stands in no page of docs/ and not in a new study"
