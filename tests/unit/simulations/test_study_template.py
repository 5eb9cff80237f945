"""`fedehr-sim study new`, and the recipes: files that load, explain everything, and stay true."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedehr_shared.config.section import Section
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError
from fedehr_simulations.recipes import recipe_file
from fedehr_simulations.study_template import WORDS, write_study_text

PROGRAM = Path(sys.executable).parent / "fedehr-sim"
RECIPES = ("demo", "eicu")


def _paths(kind: type[Section], prefix: str = "") -> Iterator[str]:
    for name, about in kind.model_fields.items():
        yield prefix + name
        if isinstance(about.annotation, type) and issubclass(about.annotation, Section):
            yield from _paths(about.annotation, f"{prefix}{name}.")


def _new(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, "study", "new", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_new_study_loads_and_equals_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    made = _new(file, "--name", "first", "--tasks", "death,stay")
    assert made.returncode == 0, made.stderr
    tasks = {"tasks": ["death", "stay"]}
    assert StudyConfig.load(file) == StudyConfig.model_validate(
        {"name": "first", "finetuning": tasks}
    )


def test_a_new_study_with_noise_has_the_defaults_that_bear_it(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    made = _new(file, "--tasks", "death", "--epsilon", "3", "--delta", "1e-6")
    assert made.returncode == 0, made.stderr
    privacy = {"mechanism": "local", "target_epsilon": 3.0, "target_delta": 1e-6}
    values = {"name": "my-study", "finetuning": {"tasks": ["death"]}, "privacy": privacy}
    assert StudyConfig.load(file) == StudyConfig.model_validate(values)
    assert "[privacy] changes some defaults" in file.read_text()


def test_a_delta_without_meaning_is_refused(tmp_path: Path) -> None:
    refused = _new(tmp_path / "study.toml", "--epsilon", "3", "--delta", "0.5")
    assert refused.returncode == 3
    assert "target_delta" in refused.stderr


def test_every_section_and_key_stands_there_and_is_explained() -> None:
    text = write_study_text("first", ["death"])
    written = tomllib.loads(text)
    assert "[tasks.NAME]" in " ".join(text.replace("\n#", "").split())
    for path in set(_paths(StudyConfig)) - {"tasks"}:
        value = written
        for part in path.split("."):
            assert part in value, path
            value = value[part]
    assert set(WORDS) == set(_paths(StudyConfig))
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\[|\w+ = ", line):
            assert lines[number - 1].startswith("# "), line


def test_defaults_and_bounds_are_told_as_they_are() -> None:
    text = " ".join(write_study_text("first", ["death"]).replace("\n#", "").split())
    assert "(default 11; at least 2, at most 1_000) min_cell = 11" in text
    assert "(default 0.3; above 0.0, below 1.0) rate = 0.3" in text
    assert '(no default) tasks = ["death"]' in text


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text("mine", encoding="utf-8")
    refused = _new(file)
    assert refused.returncode == 4
    assert "exists already" in refused.stderr
    assert file.read_text(encoding="utf-8") == "mine"


def test_a_name_that_no_study_may_have_is_refused(tmp_path: Path) -> None:
    refused = _new(tmp_path / "study.toml", "--name", "My Study")
    assert refused.returncode == 3
    assert "name" in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_load_under_their_own_name(name: str) -> None:
    assert StudyConfig.load(recipe_file(name)).name == name


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(ConfigError, match=r"unheard-of\.toml"):
        recipe_file("unheard-of")
