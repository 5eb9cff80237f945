"""The records and labels: a quick look; `fedehr-client check` looks at every row."""

from collections.abc import Iterator
from pathlib import Path

from fedehr_client.doctor.finding import Finding, fail, ok, warn
from fedehr_client.site import SiteConfig
from fedehr_shared.meds.folder import FEDERATION_FILE, SiteFolder


def check_records(config: SiteConfig, folder: Path) -> Iterator[Finding]:
    """Are the files there, of MEDS's columns, with enough subjects; which labels are there?

    Args:
        config: the site file.
        folder: the node's folder, for the lines that mend.
    """
    site = SiteFolder(config.site.records)
    several = site.path / FEDERATION_FILE
    if several.is_file():
        yield fail(
            "records",
            f"{site.path} holds several sites.",
            f"name one of its folders as [site] records in {folder / 'site.toml'}",
        )
        return
    if not (site.path / "data").is_dir():
        yield fail(
            "records",
            f"there are no records at {site.path}.",
            f"fedehr-client import omop SOURCE --out {site.path}   "
            "(or csv, mimic4, eicu, meds: fedehr-client import --help)",
        )
        return
    yield from _look(site, config)


def _look(site: SiteFolder, config: SiteConfig) -> Iterator[Finding]:
    from fedehr_client.check.report import Verdict
    from fedehr_client.check.structure import check_erasure, check_schema

    for finding in (*check_schema(site), check_erasure(site)):
        if finding.verdict is Verdict.FAILED:
            yield fail("records", finding.text, f"fedehr-client check {site.path}")
            return
    yield from _count(site, config)
    yield _labels(site, config)


def _count(site: SiteFolder, config: SiteConfig) -> Iterator[Finding]:
    import pyarrow.parquet as pq

    from fedehr_client.check.cell_rule import CellRule

    # What the doctor says is what a hospital sends when it asks for help.
    rule = CellRule(config.ceilings.min_cell)
    splits = pq.read_table(site.splits_file, columns=["split"]).column("split").to_pylist()
    num_subjects, num_training = len(splits), splits.count("train")
    least = config.ceilings.min_subjects or 0
    told = f"{rule.words(num_subjects)} subjects, {rule.words(num_training)} of them for training"
    figures = {
        "num_subjects": rule.subjects(num_subjects),
        "num_training": rule.subjects(num_training),
    }
    if num_training < max(rule.min_cell, least):
        which = "min_subjects" if num_training >= rule.min_cell else "min_cell"
        yield fail(
            "records",
            f"{told}: fewer than [ceilings] {which} asks for, so this site can join no study.",
            f"fedehr-client import --help   (import more records to {site.path})",
            **figures,
        )
        return
    yield ok(
        "records",
        f"{told}. Every row is looked at by: fedehr-client check {site.path}",
        **figures,
    )


def _labels(site: SiteFolder, config: SiteConfig) -> Finding:
    tasks = site.tasks
    allowed = config.ceilings.tasks
    if not tasks:
        return warn(
            "labels",
            "there are no labels: the site can take part in pre-training alone.",
            f"fedehr-client label make {site.path} in_hospital_death",
        )
    missing = sorted(set(allowed or ()) - set(tasks))
    if missing:
        return warn(
            "labels",
            f"[ceilings] tasks names {', '.join(missing)}, which has no labels here.",
            f"fedehr-client label make {site.path} {' '.join(missing)}",
        )
    return ok("labels", f"labels of {len(tasks)} task(s): {', '.join(tasks)}.", num=len(tasks))
