"""Folders that hold a site's own records by link, with fewer labels or with other splits."""

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import HELD_OUT, SPLITS_SCHEMA


def link_members(folder: Path, sites: Sequence[SiteFolder]) -> list[SiteFolder]:
    """A federation folder of some sites, as they are. One that is there is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    for site in sites:
        _link(folder / site.name, site.path, "data", "metadata", "labels")
    return [SiteFolder(folder / site.name) for site in sites]


def link_unseen(folder: Path, site: SiteFolder) -> SiteFolder:
    """A site of which nothing is learnt: every subject of it is held out."""
    shutil.rmtree(folder, ignore_errors=True)
    return link_with_splits(folder, site, dict.fromkeys(read_splits(site), HELD_OUT))


def link_with_splits(folder: Path, site: SiteFolder, splits: Mapping[int, str]) -> SiteFolder:
    """A site with splits of its own, in the new folder `folder / <its name>`.

    Args:
        folder: of a federation.
        site: whose records it links.
        splits: by subject.
    """
    own = folder / site.name
    _link(own, site.path, "data", "labels")
    metadata = site.path / "metadata"
    _link(own / "metadata", metadata, *(file.name for file in sorted(metadata.iterdir())))
    linked = SiteFolder(own)
    linked.splits_file.unlink()
    subjects = sorted(splits)
    columns = {"subject_id": subjects, "split": [splits[subject] for subject in subjects]}
    pq.write_table(pa.table(columns, schema=SPLITS_SCHEMA), linked.splits_file)
    return linked


def link_with_labels(
    folder: Path,
    sites: Sequence[SiteFolder],
    tasks: Sequence[str],
    kept: Mapping[str, Collection[int]],
) -> list[SiteFolder]:
    """A federation folder whose sites hold the labels of some subjects and no other.

    Args:
        folder: made anew if it is there.
        sites: whose records it links.
        tasks: whose labels are kept.
        kept: by site, the subjects; a site that is not named is left out.

    Raises:
        MissingTaskError: a site has no labels for a task.
    """
    shutil.rmtree(folder, ignore_errors=True)
    cut = [site for site in sites if site.name in kept]
    for site in cut:
        own = folder / site.name
        _link(own, site.path, "data", "metadata")
        (own / "labels").mkdir()
        subjects = pa.array(sorted(kept[site.name]), pa.int64())
        for task in tasks:
            labels = pq.read_table(site.labels_file(task))
            rows = pc.is_in(labels.column("subject_id"), value_set=subjects)
            pq.write_table(labels.filter(rows), own / "labels" / f"{task}.parquet")
    return [SiteFolder(folder / site.name) for site in cut]


def _link(folder: Path, source: Path, *names: str) -> None:
    folder.mkdir(mode=0o700, parents=True)
    for name in names:
        (folder / name).symlink_to((source / name).resolve())
