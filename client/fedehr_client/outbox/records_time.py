"""`records_time`: when a site's records were last written, by an import or an erasure.

An answer that is older may rest on subjects who have withdrawn since, and is not sent any more.
"""

from datetime import UTC, datetime

from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.withdrawn import withdrawn_file


def records_time(records: SiteFolder) -> datetime:
    """The latest time of events, splits and of who has withdrawn, in UTC.

    A folder that is not there has not changed.

    Raises:
        OSError: a file cannot be looked at.
    """
    # The folder too: an erasure may leave nothing of a file.
    data = records.path / "data"
    places = [data, *data.glob("**/*.parquet"), records.splits_file, withdrawn_file(records)]
    latest = max((place.stat().st_mtime for place in places if place.exists()), default=0.0)
    return datetime.fromtimestamp(latest, UTC)
