"""Which hospitals make up a site: eICU hospitals are tiny, so a site is a group of them."""

import re

import duckdb

from fedehr_client.importers.eicu.site_by import SiteBy


def add_sites(connection: duckdb.DuckDBPyConnection, site_by: SiteBy) -> None:
    """Make table `sites` (hospitalid, site) for every hospital of `patient`."""
    rows = connection.execute(
        """SELECT DISTINCT p.hospitalid, h.region, h.numbedscategory
        FROM patient p LEFT JOIN hospital h USING (hospitalid) ORDER BY ALL"""
    ).fetchall()
    connection.execute("CREATE TABLE sites (hospitalid BIGINT PRIMARY KEY, site VARCHAR)")
    named = {hospital: _name_site(region, beds, site_by) for hospital, region, beds in rows}
    connection.executemany("INSERT INTO sites VALUES (?, ?)", list(named.items()))


def _name_site(region: str | None, beds: str | None, site_by: SiteBy) -> str:
    place = _slug(region) or "no-region"
    return place if site_by is SiteBy.REGION else f"{place}-{_name_beds(beds)}"


def _name_beds(beds: str | None) -> str:
    size = _slug(beds)
    if beds is None or not size:
        return "beds-unknown"
    if beds.strip().startswith("<"):
        return f"beds-under-{size}"
    return f"beds-{size}-up" if beds.strip().startswith(">") else f"beds-{size}"


def _slug(text: str | None) -> str:
    return re.sub(r"[^a-z0-9]+", "-", (text or "").lower()).strip("-")
