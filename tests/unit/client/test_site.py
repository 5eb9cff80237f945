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
