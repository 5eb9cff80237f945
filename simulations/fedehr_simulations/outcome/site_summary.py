"""What each site brought to a study: counts by the cell rule, and unknown codes."""

from pathlib import Path

import pyarrow.parquet as pq

from fedehr_client.answers.site_data import SiteData
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_simulations.outcome.finished_run import site_location
from fedehr_simulations.verdict.verdict import SiteSummary


def summarize_site(
    study: StudyConfig, site: SiteFolder, vocabulary: Vocabulary, work: Path
) -> SiteSummary:
    """The site's subjects and events; both null below `min_cell` subjects.

    Raises:
        DataError: a file is damaged.
    """
    store = SiteData(site_location(study, site, work), study, vocabulary).store
    num_events = sum(pq.read_metadata(file).num_rows for file in site.data_files)
    is_told = store.num_subjects >= study.vocabulary.min_cell
    return SiteSummary(
        name=site.name,
        num_subjects=store.num_subjects if is_told else None,
        num_events=num_events if is_told else None,
        unknown_code_share=store.back_off.unknown,
    )
