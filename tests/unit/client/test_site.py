"""A hospital's `site.toml`: bounds, relative paths, unknown keys."""

from pathlib import Path

import pytest

from fedehr_client.site import DEFAULT_MIN_CELL, SiteConfig
from fedehr_shared.errors import ConfigError

GOOD = """
[site]
name = "north"
records = "records"

[network]
coordinator = "fedehr.example.org:443"
root_certificates = "ca.crt"
private_key = "/keys/node.key"
"""


def _write(folder: Path, text: str) -> Path:
    file = folder / "site.toml"
    file.write_text(text)
    return file


def test_relative_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    _write(tmp_path, GOOD)
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = SiteConfig.load(Path("../site.toml"))
    assert config.site.records.resolve() == tmp_path / "records"
    assert config.site.work.resolve() == tmp_path / "work"
    assert config.network.root_certificates.resolve() == tmp_path / "ca.crt"
    assert config.network.private_key == Path("/keys/node.key")
    assert config.ceilings.min_cell == DEFAULT_MIN_CELL


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('name = "north"', 'name = "Not A Name"', "site.name"),
        ('records = "records"', 'records = "records"\nrecord = 1', "site.record"),
        ("example.org:443", "example.org", "network.coordinator"),
        ("example.org:443", "example.org:70000", "network.coordinator"),
        ("fedehr.example.org:443", "https://x:443", "network.coordinator"),
        ("[network]", "[ceilings]\nmin_cell = 1\n[network]", "ceilings.min_cell"),
        ("[network]", "[ceilings]\nrequire_privacy = true\n[network]", "any noise, however little"),
        ("[network]", "[other]\n[network]", "other"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        SiteConfig.load(_write(tmp_path, GOOD.replace(old, new)))


@pytest.mark.parametrize(
    ("section", "key", "value", "needed"),
    [
        ("outbox", "hold", '"yes"', "true or false"),
        ("outbox", "hold", '"no"', "true or false"),
        ("outbox", "hold", "1", "true or false"),
        ("ceilings", "require_privacy", '"false"', "true or false"),
        ("limits", "num_cpus", "true", "a whole number"),
        ("limits", "num_cpus", "4.0", "a whole number"),
        ("ceilings", "min_cell", '"11"', "a whole number"),
        ("ceilings", "subject_epsilon", '"3"', "a number"),
        ("ceilings", "subject_epsilon", "true", "a number"),
        ("compute", "token_budget", '"4096"', "a whole number"),
    ],
)
def test_a_value_is_taken_as_what_it_is(
    tmp_path: Path, section: str, key: str, value: str, needed: str
) -> None:
    file = _write(tmp_path, f"{GOOD}[{section}]\n{key} = {value}\n")
    with pytest.raises(ConfigError, match=rf"{section}\.{key}.*: {needed}.* is needed"):
        SiteConfig.load(file)


def test_a_whole_number_is_a_number_too(tmp_path: Path) -> None:
    text = f"{GOOD}[ceilings]\nsubject_epsilon = 3\ntasks = ['death']\n"
    ceilings = SiteConfig.load(_write(tmp_path, text)).ceilings
    assert ceilings.subject_epsilon == 3.0
    assert ceilings.tasks == ("death",)


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"site\.toml"):
        SiteConfig.load(tmp_path / "site.toml")


def test_a_wrong_setting_is_told_as_somebody_who_writes_toml_knows_it(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    for value, said in (('"22:00-06:00"', "square brackets"), ('["22-6"]', "'22-6' is not a span")):
        file.write_text(f"[schedule]\nallowed_hours = {value}\n")
        with pytest.raises(ConfigError, match=said) as refused:
            SiteConfig.load(file)
        assert "tuple" not in str(refused.value)
        assert "Value error" not in str(refused.value)
