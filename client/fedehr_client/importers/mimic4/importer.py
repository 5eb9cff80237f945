"""MIMIC-IV as the mapping that is shipped beside this file."""

import tomllib
from importlib.resources import files
from pathlib import Path

from fedehr_client.importers.csv.importer import CsvImporter
from fedehr_client.importers.csv.mapping import Mapping
from fedehr_shared.config.section import parse


def mimic4_mapping() -> Mapping:
    """`mapping.toml`."""
    text = files(__package__).joinpath("mapping.toml").read_text(encoding="utf-8")
    return parse(tomllib.loads(text), Mapping, "the mapping of MIMIC-IV")


def mimic4_importer(source: Path) -> CsvImporter:
    """An importer of the folder that holds `hosp/` and `icu/`."""
    return CsvImporter(source, mimic4_mapping(), source, kind="mimic4")
