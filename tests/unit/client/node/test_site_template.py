"""The site file that `init` writes: every key is there, and no comment lies."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedehr_client.node.site_template import site_file_text
from fedehr_client.site import SiteConfig
from fedehr_shared.config.section import Section

TEXT = site_file_text(Path("/srv/node"), "north", Path("records"), "fedehr.example.org:443")
SETTING = re.compile(r"^(#?)([a-z_]+) = (.+)$")
HEADING = re.compile(r"^\[([a-z]+)\]$")


def _settings() -> Iterator[tuple[str, str, str, bool]]:
    """Section, key, value as written, and whether it is in force."""
    section = ""
    for line in TEXT.splitlines():
        if heading := HEADING.match(line):
            section = heading.group(1)
        elif setting := SETTING.match(line):
            yield section, setting.group(2), setting.group(3), not setting.group(1)


OUT_OF_FORCE = [(section, key, value) for section, key, value, live in _settings() if not live]


def _sections() -> dict[str, type[Section]]:
    found = {}
    for name, field in SiteConfig.model_fields.items():
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, Section)
        found[name] = field.annotation
    return found


def _load(text: str, folder: Path) -> SiteConfig:
    file = folder / "site.toml"
    file.write_text(text, encoding="utf-8")
    return SiteConfig.load(file)


def test_every_key_of_every_section_is_there_once() -> None:
    written = [(section, key) for section, key, _, _ in _settings()]
    known = {(name, key) for name, kind in _sections().items() for key in kind.model_fields}
    assert len(written) == len(set(written))
    assert set(written) == known


def test_each_key_is_explained_on_the_line_before_it() -> None:
    lines = TEXT.splitlines()
    for number, line in enumerate(lines):
        if SETTING.match(line):
            assert re.match(r"^# \S", lines[number - 1]), line
    assert max(map(len, lines)) <= 100


def test_the_file_loads_and_says_what_was_asked(tmp_path: Path) -> None:
    config = _load(TEXT, tmp_path)
    assert config.site.name == "north"
    assert config.site.records == tmp_path / "records"
    assert config.network.coordinator == "fedehr.example.org:443"
    assert config.network.contract_authority == config.network.root_certificates


@pytest.mark.parametrize(("section", "key", "value"), OUT_OF_FORCE)
def test_a_commented_key_is_its_default_or_a_valid_example(
    section: str, key: str, value: str, tmp_path: Path
) -> None:
    uncommented = TEXT.replace(f"\n#{key} = {value}\n", f"\n{key} = {value}\n", 1)
    assert uncommented != TEXT
    read = getattr(getattr(_load(uncommented, tmp_path), section), key)
    written = tomllib.loads(f"value = {value}")["value"]
    assert read == (tuple(written) if isinstance(written, list) else written)
    field = _sections()[section].model_fields[key]
    explanation = TEXT[: TEXT.index(f"\n#{key} = ")].splitlines()[-1]
    if "(example" in explanation:
        assert field.default is None
    else:
        assert read == field.default


def test_settings_in_force_are_the_defaults_where_there_is_one(tmp_path: Path) -> None:
    config = _load(TEXT, tmp_path)
    sections = _sections()
    compared = 0
    for section, key, _, live in _settings():
        field = sections[section].model_fields[key]
        if live and not field.is_required() and field.default is not None and key != "work":
            assert getattr(getattr(config, section), key) == field.default, key
            compared += 1
    assert compared >= 4


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a # b"])
def test_a_path_of_any_spelling_comes_back(name: str, tmp_path: Path) -> None:
    records = tmp_path / name
    text = site_file_text(tmp_path / "node", "north", records, "localhost:443")
    assert _load(text, tmp_path).site.records == records
