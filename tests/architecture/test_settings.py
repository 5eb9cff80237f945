"""Every setting of a study is read by some component, and explained to who writes one."""

import ast
import re
from collections.abc import Iterator
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


@pytest.mark.parametrize(("path", "name"), FIELDS, ids=[path for path, _ in FIELDS])
def test_each_setting_is_explained(path: str, name: str) -> None:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    in_pages = any(f"`{name}`" in page.read_text() for page in pages)
    # What `fedehr-sim study new` writes: the key, below a comment.
    in_template = re.search(rf"^# .+\n{name} = ", write_study_text("any", ["any"]), re.MULTILINE)
    assert in_pages or in_template, f"{path} stands in no page of docs/ and not in a new study"
