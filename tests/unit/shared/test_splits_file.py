"""`read_splits` refuses foreign splits without repeating what the file holds."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits


@pytest.mark.parametrize("cells", [["train", "Jane Doe"], ["train", None], [None, "Jane Doe"]])
def test_foreign_splits_are_counted_and_not_quoted(tmp_path: Path, cells: list[str | None]) -> None:
    site = SiteFolder(tmp_path)
    site.splits_file.parent.mkdir()
    pq.write_table(pa.table({"subject_id": [1, 2], "split": cells}), site.splits_file)
    with pytest.raises(DataError, match="split") as caught:
        read_splits(site)
    assert "Jane" not in str(caught.value)
