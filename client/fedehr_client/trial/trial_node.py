"""A throw-away node folder over the site's own records: nothing in it counts for the site."""

from pathlib import Path
from typing import Any

from fedehr_client.node.folder import NodeFolder, create_node
from fedehr_client.site import SiteConfig
from fedehr_client.trial.toml_text import toml_text

SET_ASIDE = {
    "ceilings.min_sites": "the rehearsal has this site alone",
    "ceilings.studies": "the rehearsal's study has a name of its own",
    "outbox.hold": "nobody is asked to release its answers",
    "schedule.allowed_hours": "it runs now",
    "monitoring": "its ports are free ones",
}
"""Settings of the site file that a rehearsal does not keep, and why."""


def create_trial_node(
    path: Path, site: SiteConfig, coordinator: str, authority: Path, *, keeps_studies: bool
) -> NodeFolder:
    """A new node folder with a key, a ledger, an outbox and an audit of its own.

    Args:
        path: new.
        site: the real site file.
        coordinator: `host:port` of the throw-away coordinator.
        authority: its `ca.crt`.
        keeps_studies: whether `[ceilings] studies` stays, for a study that was named.
    """
    node = create_node(path, site.site.name, site.site.records, coordinator, authority)
    text = toml_text(_values(site, node.config(), keeps_studies=keeps_studies))
    node.site_file.write_text(text, encoding="utf-8")
    return node


def _values(site: SiteConfig, own: SiteConfig, *, keeps_studies: bool) -> dict[str, Any]:
    values = site.model_dump(mode="json")
    values["site"]["work"] = "work"
    values["network"] = own.network.model_dump(mode="json")
    values["ceilings"]["min_sites"] = 1
    if not keeps_studies:
        values["ceilings"]["studies"] = None
    values["outbox"]["hold"] = False
    values["schedule"]["allowed_hours"] = []
    values.pop("monitoring")
    return values
