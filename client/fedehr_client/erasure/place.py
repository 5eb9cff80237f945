"""`Place`: one site's folders, as an erasure finds them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedehr_client.audit.log import AUDIT_FILE, Audit
from fedehr_shared.errors import DataError, UsageError
from fedehr_shared.meds.folder import FEDERATION_FILE, FederationFolder, SiteFolder
from fedehr_shared.meds.folder_lock import try_lock_folder
from fedehr_shared.meds.new_folder import undisturbed


@dataclass(frozen=True)
class Place:
    """Where one site's records and what was made of them lie.

    Attributes:
        records: the site folder.
        work: the site's private folder with its token stores, or None where it is not known.
        imported: the folder that an import writes as one: the site's, or the federation's.
    """

    records: SiteFolder
    work: Path | None
    imported: Path

    @property
    def audit(self) -> Audit:
        """The site's audit: in the work folder, or beside the records' metadata without one."""
        return Audit((self.work or self.records.path / "metadata") / AUDIT_FILE)

    @property
    def data_files(self) -> list[Path]:
        """The shards, possibly none."""
        return _tables(self.records.path / "data")

    @property
    def label_files(self) -> list[Path]:
        """The label files, possibly none."""
        return _tables(self.records.path / "labels")

    @property
    def split_files(self) -> list[Path]:
        """The file of the splits, or nothing where there is none."""
        return [self.records.splits_file] if self.records.splits_file.is_file() else []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other erasures and imports away from the site meanwhile.

        Raises:
            DataError: another one is at work, or there is no such folder.
        """
        with try_lock_folder(self.records.path / "metadata") as locked:
            if not locked:
                raise DataError(
                    f"another process is changing {self.records.path}. Repeat when it has ended."
                )
            with undisturbed(self.imported):
                yield


def find_places(folder: Path, work: Path | None) -> list[Place]:
    """The site at `folder`, or every site of the federation folder there.

    Of a federation folder `work` holds one folder a site, by the site's name.

    Raises:
        DataError: `folder` is neither.
        UsageError: `work` lies around or within the records.
    """
    folder = folder.absolute()
    if (folder / FEDERATION_FILE).is_file():
        sites = FederationFolder(folder).sites
        places = [Place(site, None if work is None else work / site.name, folder) for site in sites]
    elif (folder / "metadata").is_dir():
        places = [Place(SiteFolder(folder), work, _imported(folder))]
    else:
        raise DataError(
            f"{folder} is neither a site folder (data/, metadata/) nor a federation folder "
            f"({FEDERATION_FILE}). Check the path."
        )
    for place in places:
        _require_apart(place)
    return places


def _imported(site: Path) -> Path:
    return site.parent if (site.parent / FEDERATION_FILE).is_file() else site


def _require_apart(place: Place) -> None:
    """Caches are searched for in the work folder: records must not lie under it."""
    if place.work is None:
        return
    work, records = place.work.resolve(), place.records.path.resolve()
    if records.is_relative_to(work) or work.is_relative_to(records):
        raise UsageError(
            f"the work folder {place.work} and the records {place.records.path} lie one within the "
            "other. Name the folder that [site] work in site.toml names."
        )


def _tables(folder: Path) -> list[Path]:
    return sorted(folder.glob("**/*.parquet"))
