"""`PreviousSite`: what of the folder that an import replaces must outlive it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fedehr_client.importers.engine.split_writer import KnownSplits
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import SPLITS, SPLITS_SCHEMA
from fedehr_shared.meds.withdrawn import Withdrawn, read_withdrawn

_OUTLIVING = ("withdrawn.json", "erasing.json", "audit.jsonl")
"""Files of `metadata/` about erasures: who withdrew, one that has not ended, what was done."""


class PreviousSite:
    """A site folder that an earlier import made.

    Attributes:
        split_key: the key of its splits, which its successor keeps.
        splits: by subject.
        withdrawn: subjects that its successor leaves out, too.
    """

    split_key: str
    splits: KnownSplits
    withdrawn: Withdrawn

    def __init__(self, path: Path, kind: str, split_key: str | None) -> None:
        """Read the folder.

        Raises:
            DataError: no import made it, or one from another source; the split key differs;
                or a file is damaged.
        """
        self._site = SiteFolder(path)
        about = self._describe()
        if about.get("source") != kind:
            raise DataError(
                f"{path} was imported from '{about.get('source')}', not from '{kind}': its "
                "subjects are others. Import into a new folder."
            )
        self.split_key = str(about.get("split_key"))
        if split_key is not None and split_key != self.split_key:
            raise DataError(
                f"{path} was split with another --split-key; a subject would change sides. "
                "Leave --split-key out, or import into a new folder."
            )
        self.splits = KnownSplits(self._read_splits())
        self.withdrawn = read_withdrawn(self._site)

    def carry_over(self, folder: Path, subject_ids: pa.ChunkedArray) -> int:
        """Copy labels and what is known of erasures into the new `folder`.

        Args:
            subject_ids: the subjects that the new folder holds.

        Returns:
            Labels left out because their subjects are gone.

        Raises:
            DataError: a labels file is damaged.
        """
        for name in _OUTLIVING:
            if (self._site.path / "metadata" / name).is_file():
                shutil.copy2(self._site.path / "metadata" / name, folder / "metadata" / name)
        source, target = self._site.path / "labels", folder / "labels"
        if not source.is_dir():
            return 0
        target.mkdir(exist_ok=True)
        num_dropped = 0
        for file in sorted(source.iterdir()):
            if file.suffix == ".parquet":
                num_dropped += _copy_labels(file, target / file.name, subject_ids)
            elif file.is_file():
                shutil.copy2(file, target / file.name)
        return num_dropped

    def _describe(self) -> dict[str, Any]:
        try:
            about: dict[str, Any] = json.loads(self._site.import_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise DataError(
                f"{self._site.path} is no folder that an import made: it has no readable "
                "metadata/import.json, and --replace takes the place of nothing else. "
                "Name a new folder, or remove it first."
            ) from None
        return about

    def _read_splits(self) -> pa.Table:
        try:
            table = pq.read_table(self._site.splits_file).select(SPLITS_SCHEMA.names)
            table = table.cast(SPLITS_SCHEMA)
        except (OSError, KeyError, pa.ArrowException):
            raise DataError(
                f"cannot read {self._site.splits_file}: it is missing or damaged, and subjects "
                "would change sides. Restore it from a backup."
            ) from None
        if set(table.column("split").unique().to_pylist()) - set(SPLITS):
            raise DataError(f"{self._site.splits_file} names unknown splits. Use {SPLITS}.")
        return table


def _copy_labels(file: Path, target: Path, subject_ids: pa.ChunkedArray) -> int:
    try:
        labels = pq.read_table(file)
        ids = labels.column("subject_id").to_numpy()
    except (OSError, KeyError, pa.ArrowException):
        raise DataError(f"cannot read the labels {file}: they are damaged. Remove them.") from None
    stays = np.isin(ids, subject_ids.to_numpy())
    if stays.all():
        shutil.copy2(file, target)
    else:
        pq.write_table(labels.filter(pa.array(stays)), target)
    return int((~stays).sum())
