"""`SiteLocator`: the one place that says where a site's records lie.

In a hospital's node `FEDEHR_SITE_FILE` names its `site.toml`. In a simulation, where many
sites share one machine, `FEDEHR_SITES_FOLDER` names a federation folder, `FEDEHR_WORK_FOLDER`
a private scratch folder, and the engine's partition number picks the site by sorted name;
`FEDEHR_COMPUTE` and `FEDEHR_CEILINGS` may hold the `[compute]` and the `[ceilings]` section of
all of them, as JSON; `FEDEHR_MIN_CELL` goes before the `min_cell` of the latter.
No message field ever names a path.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fedehr_client.compute.config import ComputeConfig
from fedehr_client.ledger.ceiling import Ceiling
from fedehr_client.site import CeilingsConfig, SiteConfig
from fedehr_shared.config.section import AnySection, parse
from fedehr_shared.errors import ConfigError, DataError
from fedehr_shared.meds.folder import FederationFolder, SiteFolder

SITE_FILE = "FEDEHR_SITE_FILE"
SITES_FOLDER = "FEDEHR_SITES_FOLDER"
WORK_FOLDER = "FEDEHR_WORK_FOLDER"
NUM_THREADS = "FEDEHR_NUM_THREADS"
MIN_CELL = "FEDEHR_MIN_CELL"
COMPUTE = "FEDEHR_COMPUTE"
CEILINGS = "FEDEHR_CEILINGS"
PARTITION = "partition-id"
LOCAL_PARTS_FOLDER = "local_parts"
"""In a site's work folder: the parts of models that each site has for itself, study by study."""


@dataclass(frozen=True)
class SiteLocation:
    """Where one site works, and within which bounds."""

    name: str
    records: SiteFolder
    work: Path
    """Private to this site; made on first use by whoever writes into it."""
    min_cell: int
    """The site's floor, in subjects."""
    compute: ComputeConfig
    """What it computes with."""
    ceiling: Ceiling = field(default_factory=Ceiling)
    """What it lets studies spend of its subjects' privacy."""


class SiteLocator:
    """Finds the site that this process speaks for."""

    def locate(self, environ: Mapping[str, str], node_config: Mapping[str, object]) -> SiteLocation:
        """The site named by `environ`, and in a simulation by `node_config`'s partition.

        Raises:
            ConfigError: neither way is set up, or a setting is wrong.
            DataError: the records' folder is missing, or there is no such partition.
        """
        if environ.get(SITE_FILE):
            return _from_site_file(Path(environ[SITE_FILE]), environ)
        if environ.get(SITES_FOLDER):
            return _from_partition(environ, node_config)
        raise ConfigError(
            f"neither {SITE_FILE} nor {SITES_FOLDER} is set, so the site's records cannot be "
            "found. Start the node with `fedehr-client start DIR`."
        )


def _from_site_file(path: Path, environ: Mapping[str, str]) -> SiteLocation:
    config = SiteConfig.load(path)
    site = config.site
    if not site.records.is_dir():
        raise DataError(
            f"there is no records folder {site.records}. Mend [site] records in {path}."
        )
    return SiteLocation(
        name=site.name,
        records=SiteFolder(site.records),
        work=site.work,
        min_cell=config.ceilings.min_cell,
        compute=_with_threads(config.compute, environ),
        ceiling=config.ceilings.ceiling,
    )


def _from_partition(environ: Mapping[str, str], node_config: Mapping[str, object]) -> SiteLocation:
    if not environ.get(WORK_FOLDER):
        raise ConfigError(f"{SITES_FOLDER} is set without {WORK_FOLDER}. Set both.")
    sites = FederationFolder(Path(environ[SITES_FOLDER])).sites
    partition = node_config.get(PARTITION)
    if not isinstance(partition, int) or isinstance(partition, bool):
        raise ConfigError(
            f"the node has no whole number '{PARTITION}' (found {partition!r}). "
            f"Set it in the node's configuration, or use {SITE_FILE}."
        )
    if not 0 <= partition < len(sites):
        raise DataError(
            f"there is no site number {partition}: the federation folder has {len(sites)}. "
            "Start as many nodes as there are sites."
        )
    records = sites[partition]
    ceilings = ceilings_of(environ)
    return SiteLocation(
        name=records.name,
        records=records,
        work=Path(environ[WORK_FOLDER]) / records.name,
        min_cell=_optional_count(environ, MIN_CELL) or ceilings.min_cell,
        compute=_with_threads(compute_of(environ), environ),
        ceiling=ceilings.ceiling,
    )


def compute_of(environ: Mapping[str, str]) -> ComputeConfig:
    """What the sites of a simulation compute with.

    Raises:
        ConfigError: `FEDEHR_COMPUTE` is no JSON, or holds a wrong key.
    """
    return _section(environ, COMPUTE, ComputeConfig)


def ceilings_of(environ: Mapping[str, str]) -> CeilingsConfig:
    """What the sites of a simulation allow.

    Raises:
        ConfigError: `FEDEHR_CEILINGS` is no JSON, or holds a wrong key.
    """
    return _section(environ, CEILINGS, CeilingsConfig)


def _section(environ: Mapping[str, str], name: str, kind: type[AnySection]) -> AnySection:
    text = environ.get(name, "").strip()
    if not text:
        return kind()
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"{name} is not valid JSON ({error}). Unset it, or mend it: it holds a section of a "
            "site file."
        ) from error
    return parse(values, kind, name)


def _with_threads(compute: ComputeConfig, environ: Mapping[str, str]) -> ComputeConfig:
    """A number of threads in the site file goes before one of the environment."""
    num_threads = compute.num_threads or _optional_count(environ, NUM_THREADS)
    return compute.model_copy(update={"num_threads": num_threads})


def _optional_count(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise ConfigError(f"{name} must be a whole number above 0, not {text!r}. Mend or unset it.")
    return int(text)
