"""Checks before anything starts: can this study run over this folder?"""

import os
from collections.abc import Sequence
from pathlib import Path

from fedehr_client.locator import ceilings_of, compute_of
from fedehr_shared.config import StudyConfig
from fedehr_shared.errors import DataError, MissingTaskError
from fedehr_shared.meds.folder import FederationFolder, SiteFolder


def check_request(study: StudyConfig, sites: Path) -> list[SiteFolder]:
    """The sites that will take part, by name.

    Raises:
        ConfigError: the environment holds wrong settings for the sites.
        DataError: the folder is missing, holds no site, holds fewer than the study wants,
            or a site has no records.
        MissingTaskError: a site has labels for none of the study's tasks, or no site has any
            for one of them.
    """
    ceilings_of(os.environ)
    compute_of(os.environ)
    folders = FederationFolder(sites).sites
    if len(folders) < study.federation.min_sites:
        raise DataError(
            f"{sites} holds {len(folders)} site(s), the study wants "
            f"{study.federation.min_sites}. Add sites, or lower [federation] min_sites."
        )
    for folder in folders:
        _ = folder.data_files  # raises where there are none
    _check_tasks(folders, study.finetuning.tasks)
    return folders


def _check_tasks(folders: Sequence[SiteFolder], tasks: Sequence[str]) -> None:
    # It brings threads of its own, and the keeper must have none (see the package).
    from fedehr_client.tasks.cohort import held_tasks

    held: set[str] = set()
    for folder in folders:
        try:
            held.update(held_tasks(folder, tasks))
        except MissingTaskError as error:
            raise MissingTaskError(f"site '{folder.name}': {error}") from error
    for task in tasks:
        if task not in held:
            raise MissingTaskError(
                f"no site has labels for task '{task}'. Change [finetuning] tasks in the study, or "
                "add labels."
            )
