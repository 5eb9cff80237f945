"""The study that a site is tried with where none is named: default settings, a tiny model."""

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import SiteFolder

_MOST_TASKS = 64


def default_study(site: SiteFolder, min_cell: int) -> StudyConfig:
    """Default settings with the site's own tasks, or a stand-in where it has none.

    Args:
        site: the site.
        min_cell: the site's floor, in subjects.
    """
    return StudyConfig.model_validate(
        {
            "name": "check",
            "vocabulary": {"min_cell": min_cell},
            "finetuning": {"tasks": (site.tasks or ["outcome"])[:_MOST_TASKS]},
        }
    )
