"""Where things lie: `SiteFolder` is one MEDS dataset, `FederationFolder` holds several.

FEDERATION/federation.json        format, source, split key, tasks and their exclusions
FEDERATION/<site>/data/*.parquet
FEDERATION/<site>/metadata/{codes,subject_splits}.parquet  dataset.json
FEDERATION/<site>/labels/<task>.parquet
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedehr_shared.errors import DataError, MissingTaskError

FEDERATION_FILE = "federation.json"


@dataclass(frozen=True)
class SiteFolder:
    """One site's MEDS dataset."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def codes_file(self) -> Path:
        """`metadata/codes.parquet`."""
        return self.path / "metadata" / "codes.parquet"

    @property
    def splits_file(self) -> Path:
        """`metadata/subject_splits.parquet`."""
        return self.path / "metadata" / "subject_splits.parquet"

    @property
    def dataset_file(self) -> Path:
        """`metadata/dataset.json`."""
        return self.path / "metadata" / "dataset.json"

    @property
    def import_file(self) -> Path:
        """`metadata/import.json`."""
        return self.path / "metadata" / "import.json"

    @property
    def data_files(self) -> list[Path]:
        """The shards, by name.

        Raises:
            DataError: there is none.
        """
        # Shards are numbered: 10 comes after 9.
        found = (self.path / "data").glob("**/*.parquet")
        files = sorted(found, key=lambda file: (len(file.name), file))
        if not files:
            raise DataError(
                f"{self.path} holds no data/*.parquet. Import records there first "
                "(fedehr-client import --help)."
            )
        return files

    @property
    def tasks(self) -> list[str]:
        """The tasks that the site has labels for, by name."""
        return sorted(file.stem for file in (self.path / "labels").glob("*.parquet"))

    def labels_file(self, task: str) -> Path:
        """`labels/<task>.parquet`.

        Raises:
            MissingTaskError: the site has no such file.
        """
        file = self.path / "labels" / f"{task}.parquet"
        if not file.is_file():
            raise MissingTaskError(
                f"the site has no labels for task '{task}'; it has {self.tasks or 'none'}. "
                "Change [finetuning] tasks in the study, or add the labels."
            )
        return file


@dataclass(frozen=True)
class FederationFolder:
    """Sites side by side, with one split key."""

    path: Path

    @property
    def sites(self) -> list[SiteFolder]:
        """The sites, by name.

        Raises:
            DataError: the folder is missing or holds no site.
        """
        if not self.path.is_dir():
            raise DataError(f"there is no federation folder {self.path}. Check the path.")
        sites = [
            SiteFolder(folder)
            for folder in sorted(self.path.iterdir())
            if (folder / "metadata").is_dir()
        ]
        if not sites:
            raise DataError(
                f"{self.path} holds no site: each is a folder with data/ and metadata/. "
                "Make one with `fedehr-client import` or `fedehr-sim hospitals`."
            )
        return sites

    def describe(self) -> dict[str, Any]:
        """The content of `federation.json`.

        Raises:
            DataError: the file is missing or is not JSON.
        """
        file = self.path / FEDERATION_FILE
        try:
            content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {file}. Import the records again.") from error
        return content
