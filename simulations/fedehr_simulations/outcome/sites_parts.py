"""The parts of the model that each site has for itself, kept beside the run that trained them.

A hospital's own lie in its work folder. Of a simulation that folder is gone at the end:

    RUN/sites/<site>/local_parts/<study>/
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from fedehr_client.locator import LOCAL_PARTS_FOLDER

_SITES_FOLDER = "sites"


def site_folder(run_folder: Path, site: str) -> Path:
    """What the run folder holds of a site, laid out as the site's work folder."""
    return run_folder / _SITES_FOLDER / site


def keep_local_parts(works: Iterable[Path], run_folder: Path, study: str) -> None:
    """Copy what sites keep of a study for themselves; nothing where it has no local parts.

    Args:
        works: the sites' work folders, each named after its site.
        run_folder: the run's.
        study: the study's digest.

    Raises:
        OSError: it cannot be read or written.
    """
    for work in works:
        parts = work / LOCAL_PARTS_FOLDER / study
        if parts.is_dir():
            kept = site_folder(run_folder, work.name) / LOCAL_PARTS_FOLDER / study
            shutil.copytree(parts, kept, dirs_exist_ok=True)
