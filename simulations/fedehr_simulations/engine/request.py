"""Checks before anything starts: can this study run over this folder?"""

from pathlib import Path

from fedehr_shared.config import StudyConfig
from fedehr_shared.errors import DataError, MissingTaskError
from fedehr_shared.meds.folder import FederationFolder, SiteFolder


def check_request(study: StudyConfig, sites: Path) -> list[SiteFolder]:
    """The sites that will take part, by name.

    Raises:
        DataError: the folder is missing, holds no site, holds fewer than the study wants,
            or a site has no records.
        MissingTaskError: a site has no labels for a task of the study.
    """
    folders = FederationFolder(sites).sites
    if len(folders) < study.federation.min_sites:
        raise DataError(
            f"{sites} holds {len(folders)} site(s), the study wants "
            f"{study.federation.min_sites}. Add sites, or lower [federation] min_sites."
        )
    for folder in folders:
        _ = folder.data_files  # raises where there are none
        for task in study.finetuning.tasks:
            _check_task(folder, task)
    return folders


def _check_task(folder: SiteFolder, task: str) -> None:
    try:
        folder.labels_file(task)
    except MissingTaskError as error:
        raise MissingTaskError(f"site '{folder.name}': {error}") from error
