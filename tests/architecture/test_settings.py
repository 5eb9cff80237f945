"""Every setting of a study is read by some component, and explained to who writes one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedehr_shared.config.section import Section
from fedehr_shared.config.study import StudyConfig

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
    templates = [*(ROOT / "simulations").rglob("*.toml"), *(ROOT / "simulations").rglob("*.py")]
    written = re.compile(rf"^#? ?{name} = ", re.MULTILINE)
    in_templates = any(written.search(file.read_text()) for file in templates)
    assert in_pages or in_templates, f"{path} stands in no page of docs/ and in no template"
