"""`SiteConfig`: what a hospital says about itself, in one `site.toml`.

It names where the records lie, the site's own floors, and how to reach the coordinator.
A study never changes it; the site can only refuse a study.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from fedehr_client.child.config import LimitsConfig
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.ledger.ceiling import Ceiling
from fedehr_client.outbox.config import OutboxConfig
from fedehr_client.supervision.config import MonitoringConfig, ScheduleConfig
from fedehr_shared.config.name import Name
from fedehr_shared.config.section import FilePath, Section, read_toml

DEFAULT_MIN_CELL = 11
"""The usual floor: no number that rests on fewer subjects leaves a hospital."""


class RecordsConfig(Section):
    """`[site]`: who the site is and where its records lie."""

    name: Name
    """The site's name, as the coordinator registers it."""
    records: FilePath
    """A MEDS site folder (`data/`, `metadata/`, `labels/`); relative to the file."""
    work: FilePath = Path("work")
    """A private folder for caches; relative to the file."""


class CeilingsConfig(Section):
    """`[ceilings]`: what no study may go beyond."""

    min_cell: Annotated[int, Field(ge=2, le=1_000)] = DEFAULT_MIN_CELL
    """The site's floor; a study that asks for less is refused."""
    subject_epsilon: Annotated[float, Field(ge=0, le=1_000)] | None = None
    """What all studies of these records may spend together of each subject's privacy; what would
    pass it is refused. Left out, what is spent is written down and nothing is refused."""
    subject_delta: Annotated[float, Field(ge=1e-12, lt=0.01)] = 1e-5
    """The delta at which that epsilon is reckoned: well below one in the number of subjects."""
    require_privacy: bool = False
    """Refuse studies whose training adds no noise here, in any of its phases. How little noise
    is none is for `subject_epsilon` to say, which must be given with it."""
    studies: tuple[Name, ...] | None = None
    """Names of the studies that may be approved; left out, any."""
    tasks: tuple[Name, ...] | None = None
    """Tasks whose labels studies may use; left out, any."""
    max_bytes_per_day: Annotated[int, Field(ge=1_000)] | None = None
    """Of answers to all studies together, in any 24 hours."""
    min_sites: Annotated[int, Field(ge=1, le=10_000)] = 2
    """A study must not end a round with the answers of fewer sites."""
    min_subjects: Annotated[int, Field(ge=1)] | None = None
    """Training subjects that the site must have, to take part in any study."""

    @model_validator(mode="after")
    def _some_noise_is_too_little(self) -> "CeilingsConfig":
        if self.require_privacy and self.subject_epsilon is None:
            raise ValueError(
                "require_privacy without subject_epsilon would take any noise, however little, "
                "for privacy: give subject_epsilon too"
            )
        return self

    @property
    def ceiling(self) -> Ceiling:
        """The part of them that is about privacy spent."""
        return Ceiling(self.subject_epsilon, self.subject_delta, self.require_privacy)


class ConnectionConfig(Section):
    """`[network]`: the coordinator and the key that it knows this site by."""

    coordinator: str
    """`host:port` of the coordinator's proxy."""
    root_certificates: FilePath
    """The coordinator's certificate authority (PEM); relative to the file."""
    private_key: FilePath
    """This site's EC key (OpenSSH format, no passphrase); relative to the file."""
    contract_authority: FilePath | None = None
    """Whose signer may sign contracts (PEM); relative to the file. Left out, `root_certificates`;
    needed where these are of a proxy that opens TLS."""

    @field_validator("coordinator")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        host, separator, port = value.rpartition(":")
        is_port = port.isascii() and port.isdigit() and 1 <= int(port) <= 65_535
        if not (separator and host and is_port) or "/" in host or any(map(str.isspace, host)):
            raise ValueError("must be host:port, for example fedehr.example.org:443")
        return value


class SiteConfig(Section):
    """A whole `site.toml`."""

    site: RecordsConfig
    compute: ComputeConfig = ComputeConfig()
    ceilings: CeilingsConfig = CeilingsConfig()
    outbox: OutboxConfig = OutboxConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    limits: LimitsConfig = LimitsConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    network: ConnectionConfig

    @classmethod
    def load(cls, path: Path) -> "SiteConfig":
        """Read a `site.toml`; its relative paths become absolute, from the file's folder.

        Raises:
            ConfigError: the file is missing, is not TOML or holds a wrong key.
        """
        config = read_toml(path, cls)
        folder = path.absolute().parent
        site = config.site.model_copy(
            update={"records": folder / config.site.records, "work": folder / config.site.work}
        )
        network = config.network.model_copy(
            update={
                "root_certificates": folder / config.network.root_certificates,
                "private_key": folder / config.network.private_key,
                "contract_authority": folder
                / (config.network.contract_authority or config.network.root_certificates),
            }
        )
        return config.model_copy(update={"site": site, "network": network})
